"""Figures of every test image by a run of a study, kept beside the runs so that each is made once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from charmnet.arrays import UInt8Array
from charmnet.codecs import decode_rgb, encode_png
from charmnet.methods import HarmonizationMethod
from pipelines.evaluation.datasets import score_dataset
from pipelines.evaluation.per_image import per_image_parquet
from pipelines.evaluation.scoring import Scoring
from pipelines.runs.models import load_harmonization_model
from pipelines.runtime.storage import Location
from pipelines.shards.selection import Selection
from pipelines.study.pictures import ChosenPicture, harmonized
from pipelines.study.selections import RealData

_OWN_FILE, _PASTED_FILE, _ABOUT_FILE = "own.parquet", "pasted.parquet", "about.json"
_SCORING = Scoring(ssim=False, tricks=False)


@dataclass(frozen=True)
class ImageTable:
    """Figures of test images, in the order of the data set.

    Attributes:
        ids: names of the images.
        photographs: photograph that each is made of.
        parts: test set of each.
        figures: [N] by name: mse, fmse, psnr of the run, and composite_mse and so on; NaN where undefined.
    """

    ids: list[str]
    photographs: list[str]
    parts: list[str]
    figures: dict[str, np.ndarray[Any, np.dtype[np.float64]]]


@dataclass(frozen=True)
class RunScores:
    """Folder of a run's figures; `about.json` is written last.

    Attributes:
        location: folder.
    """

    location: Location

    def exist(self, model: str) -> bool:
        """Return whether the figures of this model are complete."""
        about = self.location / _ABOUT_FILE
        return about.exists() and about.read_json().get("model") == model

    def make(self, model: str, real: RealData, pictures: Sequence[ChosenPicture], workers: int) -> None:
        """Evaluate a model on both test sets, with its own output and with its foreground alone.

        Args:
            model: URI of the model.
            real: data.
            pictures: pictures of the qualitative figure.
            workers: number of models at work.

        Raises:
            CharmNetError: data or model are not usable.
        """
        method = load_harmonization_model(model)
        selection = Selection(real.select("all", "test"))
        pastes = method.requirements.pastes or method.has_color_maps
        rules = {_OWN_FILE: _SCORING} | ({} if pastes else {_PASTED_FILE: replace(_SCORING, paste=True)})
        for name, rule in rules.items():
            results = list(score_dataset(method, real.dataset, selection, rule, workers))
            (self.location / name).write_bytes(per_image_parquet(results))
        self._write_pictures(method, pictures)
        about = {"model": model, "images": len(results), "pastes": pastes}
        (self.location / _ABOUT_FILE).write_json(about)

    def _write_pictures(self, method: HarmonizationMethod, pictures: Sequence[ChosenPicture]) -> None:
        for number, picture in enumerate(harmonized(method, pictures)):
            self._picture(number).write_bytes(encode_png(picture))

    def pictures(self, count: int) -> list[UInt8Array]:
        """Return the run's outputs for the pictures of the qualitative figure."""
        return [decode_rgb(self._picture(number).read_bytes()) for number in range(count)]

    def _picture(self, number: int) -> Location:
        return self.location / f"picture-{number}.png"

    def tables(self, real: RealData) -> tuple[ImageTable, ImageTable]:
        """Return the figures of the run's own output, and of its foreground in the composite."""
        own = _read(self.location / _OWN_FILE, real)
        pasted = self.location / _PASTED_FILE
        return own, _read(pasted, real) if pasted.exists() else own


def _read(file: Location, real: RealData) -> ImageTable:
    table = pq.read_table(pa.BufferReader(file.read_bytes()))
    columns = table.to_pydict()
    figures = {
        f"{prefix}{figure}": np.array(
            [np.nan if value is None else value for value in columns[f"{whose}_{figure}"]], np.float64
        )
        for prefix, whose in (("", "harmonized"), ("composite_", "composite"))
        for figure in ("mse", "fmse", "psnr")
    }
    parts = [
        real.part_of(category, splits)
        for category, splits in zip(columns["category"], columns["splits"], strict=True)
    ]
    return ImageTable(columns["id"], columns["photograph"], parts, figures)
