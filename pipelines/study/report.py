"""Files of a study's results: tables, plots, pictures and the page, in its folder and in MLflow."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.runtime.storage import Location
from pipelines.study.page import page
from pipelines.study.pictures import RULE
from pipelines.study.plots import Curve, base_against_novel, fmse_against_samples
from pipelines.study.results import RowResult
from pipelines.study.tables import NOTE, result_table, to_csv, to_latex, to_markdown
from pipelines.tracking import Tracker

FOLDER = "report"
PAGE_FILE = "index.html"
_SHEET_CAPTION = f"Rows: pictures of the novel, then of the base categories; {RULE}. Columns as named."


@dataclass(frozen=True)
class StudyReport:
    """What a study found.

    Attributes:
        title: heading.
        about: what was compared and how, by name.
        captions: captions of the tables by number.
        results: rows, the composites' first.
        curves: errors in validation against samples seen, by label.
        sheet: JPEG of the qualitative figure, if there is one.
    """

    title: str
    about: Mapping[str, object]
    captions: Mapping[str, str]
    results: Sequence[RowResult]
    curves: Mapping[str, Curve]
    sheet: bytes | None

    def files(self) -> dict[str, bytes]:
        """Return all files by name."""
        shown = {str(row.table) for row in self.results}
        tables = [
            result_table(int(number), caption, self.results)
            for number, caption in self.captions.items()
            if number in shown
        ]
        plots = {
            "fMSE on base and novel categories": ("base-against-novel.svg", base_against_novel(self.results)),
            "fMSE against samples seen": ("fmse-against-samples.svg", fmse_against_samples(self.curves)),
        }
        drawn = {caption: svg for caption, (_, svg) in plots.items() if svg is not None}
        figures = {
            "title": self.title,
            "about": dict(self.about),
            "rows": [row.to_json() for row in self.results],
        }
        sheet = None if self.sheet is None else (self.sheet, _SHEET_CAPTION)
        texts = {
            "tables.md": f"{''.join(map(to_markdown, tables))}{NOTE}\n",
            "tables.tex": "".join(map(to_latex, tables)),
            "tables.csv": to_csv(self.results),
            "tables.json": json.dumps(figures, indent=1),
            PAGE_FILE: page(self.title, self.about, tables, self.results, drawn, sheet),
            **{name: svg for name, svg in plots.values() if svg is not None},
        }
        files = {name: text.encode() for name, text in texts.items()}
        return files | ({} if self.sheet is None else {"pictures.jpg": self.sheet})

    def write(self, dest: Location) -> None:
        """Write all files to the study's folder."""
        for name, data in self.files().items():
            (dest / FOLDER / name).write_bytes(data)

    def log(self, tracker: Tracker) -> None:
        """Record the files and the rows' figures in the study's MLflow run."""
        with tempfile.TemporaryDirectory() as folder:
            for name, data in self.files().items():
                path = Path(folder, name)
                path.write_bytes(data)
                tracker.log_file(path, artifact_path=f"{FOLDER}/{name}")
        metrics = {
            f"study/{row.name}/{part}/{name}": figure.interval.value
            for row in self.results
            for part, figures in row.figures.items()
            for name, figure in figures.items()
        }
        tracker.log_metrics(metrics, 0)
