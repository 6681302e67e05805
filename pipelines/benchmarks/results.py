"""Results of benchmarks as files, and the table of docs/benchmarks.md that is made from them.

A result is a JSON file of `BenchmarkResult`. `charmnet bench SUBJECT --json FILE` writes one; copied to
docs/results, it has its rows in the table that `charmnet bench table --write docs/benchmarks.md` makes.
Results of benchmarks that are run as `python -m pipelines.benchmarks.NAME` are written down by hand in the
same form. Where a question is measured again, the newer file replaces the older one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.runtime.storage import Location

START_MARKER = "<!-- results: made by `charmnet bench table --write`, do not edit -->"
END_MARKER = "<!-- end of results -->"

SUBJECT_ORDER = (
    "quickstart",
    "update",
    "train",
    "workers",
    "worker_batch_norms",
    "peers",
    "ingest",
    "many_tasks",
    "stalled_consumer",
    "checkpoints",
    "memory",
    "growth",
    "scaling",
    "evaluate",
    "serve",
    "color_transfer",
    "rendering",
    "chaos",
)
"""Subjects in the order of the table; others follow."""

Text = Annotated[str, Field(min_length=1, pattern=r"^[^|\n]+$")]
"""A cell of a Markdown table."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Machine(_Record):
    """The machine of a measurement."""

    processor: Text
    """Name of the processor, with the instructions that matter where they were noted."""

    cores: int = Field(ge=1)
    """Cores that the process might use."""

    memory_bytes: int | None = Field(default=None, ge=1)
    """Memory of the machine."""

    gpus: tuple[Text, ...] = ()
    """Names of the GPUs."""

    versions: dict[str, str] = {}
    """Versions of Python and of packages, by name."""

    def summary(self) -> str:
        """Return the machine in a few words."""
        memory = [f"{self.memory_bytes >> 30} GiB"] if self.memory_bytes else []
        return ", ".join([*self.gpus, f"{self.cores} cores of {self.processor}", *memory])


class Comparison(_Record):
    """One row of the table: a figure beside another one that was measured with it."""

    question: Text
    """The quantity and its circumstances."""

    values: tuple[float, ...] = Field(min_length=1)
    """The figure, once for each repetition."""

    unit: Text
    """Unit of the figure and of that which it is compared with."""

    beside: Text
    """The thing that the figure is compared with."""

    beside_values: tuple[float, ...] = ()
    """Its figures, where they were noted."""

    ratios: tuple[float, ...] = Field(min_length=1)
    """The figure over the one beside it; of times and memory less is better. For each repetition."""


class BenchmarkResult(_Record):
    """A benchmark's comparisons and all its figures."""

    subject: Text
    """Module of pipelines.benchmarks, or the command, that measured."""

    date: date
    """Day of the measurement."""

    command: Text
    """The command line, with upper-case words in place of the user's own locations."""

    machine: Machine

    comparisons: tuple[Comparison, ...] = ()
    """Rows of the table, in order."""

    figures: dict[str, Any] = {}
    """All figures of the benchmark; `charmnet bench plot` draws some subjects' from them."""


def load_result(file: str | Path) -> BenchmarkResult:
    """Read a result from a path or URI.

    Raises:
        ValueError: the file is none; the message names the file and the field.
        StorageError: it cannot be read.
    """
    try:
        return BenchmarkResult.model_validate_json(Location.of(file).read_bytes())
    except ValidationError as error:
        raise ValueError(f"{file}: not a benchmark's result: {error}") from error


def load_results(folder: Path) -> list[BenchmarkResult]:
    """Read all results of a folder, in the order of `SUBJECT_ORDER`, then of their names.

    Raises:
        ValueError: there is none, or a file is not a result.
    """
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise ValueError(f"{folder}: no results there; expected files that `charmnet bench X --json` wrote")
    return sorted(map(load_result, paths), key=_position)


def _position(result: BenchmarkResult) -> int:
    if result.subject in SUBJECT_ORDER:
        return SUBJECT_ORDER.index(result.subject)
    return len(SUBJECT_ORDER)


def markdown_table(results: Iterable[BenchmarkResult]) -> str:
    """Return the table of all comparisons."""
    columns = ("question", "figure", "beside", "ratio", "machine", "date", "command")
    rows = [
        (
            comparison.question,
            f"{_numbers(comparison.values)} {comparison.unit}",
            ", ".join(filter(None, (comparison.beside, _numbers(comparison.beside_values)))),
            _numbers(comparison.ratios),
            result.machine.summary(),
            result.date.isoformat(),
            f"`{result.command}`",
        )
        for result in results
        for comparison in result.comparisons
    ]
    lines = [columns, ("---",) * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" for value in values)


def with_table(page: str, table: str) -> str:
    """Return a page with the table between its two marker lines.

    Raises:
        ValueError: the page lacks the markers.
    """
    before, start, rest = page.partition(START_MARKER)
    _, end, after = rest.partition(END_MARKER)
    if not (start and end):
        raise ValueError(f"the page lacks the lines {START_MARKER!r} and {END_MARKER!r} around its table")
    return f"{before}{start}\n\n{table}\n\n{end}{after}"
