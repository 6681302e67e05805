"""Scoring images in one process: `charmnet evaluate` spreads it over a cluster, training validates with it.

report = Report()
for batch in batched(evaluation_images(dataset, selection, shard_index, group_index), 8):
    report.merge(Report.over(evaluate_images(method, batch)))
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from charmnet.augment import TRAINING_SIZE, resize
from charmnet.batch import image_from_uint8, mask_from_uint8
from charmnet.composition import exchange_foreground
from charmnet.errors import DataError, WeightsError
from charmnet.images import UInt8Array, decode_mask, decode_rgb
from charmnet.methods import Method
from charmnet.metrics import (
    ErrorSums,
    ImageErrors,
    Protocol,
    foreground_ratio_bin,
    image_errors,
    reference_uint8,
    scoring_mask,
    to_uint8,
)
from charmnet.vocabulary import NUM_CONDITIONS
from pipelines.shards.manifest import Stratum
from pipelines.shards.reading import Dataset
from pipelines.shards.rows import Row, row_kind, stratum_of
from pipelines.shards.schema import RowKind
from pipelines.shards.selection import Selection

NO_NAME = "none"
"""Stands for the category of images that have none."""

DIMENSIONS = ("subset", "split", "category", "foreground_ratio")  # a split wins where a subset has its name
_UNUSUAL = re.compile(r"[^\w\-. ]")  # what the tracking server refuses in names, and "/", which divides them


@dataclass(frozen=True)
class EvaluationImage:
    """One composite with its ground truth at the evaluation's size.

    Attributes:
        id: the row's; of a scene's composites `<id>:<background condition>:<foreground condition>`.
        composite, ground_truth: [S,S,3] uint8.
        foreground_mask: [S,S] uint8 as the network takes it. scoring_mask: [S,S] uint8 for fMSE.
        foreground_ratio: of the stored picture.
    """

    id: str
    composite: UInt8Array
    ground_truth: UInt8Array
    foreground_mask: UInt8Array
    scoring_mask: UInt8Array
    stratum: Stratum
    foreground_ratio: float


@dataclass(frozen=True)
class ImageResult:
    """What was measured of one image: the composite's errors and the harmonized image's."""

    id: str
    stratum: Stratum
    foreground_ratio: float
    composite: ImageErrors
    harmonized: ImageErrors


def evaluation_images(
    dataset: Dataset, selection: Selection, shard_index: int, group_index: int, size: int = TRAINING_SIZE
) -> Iterator[EvaluationImage]:
    """The images of one row group that a selection picks, in file order; see `row_images`."""
    for row in selected_rows(dataset, selection, shard_index, group_index):
        yield from row_images(row, size)


def selected_rows(
    dataset: Dataset, selection: Selection, shard_index: int, group_index: int
) -> Iterator[Row]:
    """The rows of one row group that a selection picks: read at once, unpacked one at a time."""
    table = dataset.read_row_group(shard_index, group_index)
    return (table.slice(index, 1).to_pylist()[0] for index in dataset.selected_rows(table, selection))


def image_count(row: Row) -> int:
    """How many images a row is evaluated as: one, or of a scene all its ordered pairs."""
    return 1 if row_kind(row) is RowKind.PAIR else len(_ordered_pairs(row))


def row_images(row: Row, size: int = TRAINING_SIZE) -> Iterator[EvaluationImage]:
    """A row's images; of a scene all ordered pairs of conditions, or those that its list names.

    Raises:
        DataError: a picture is broken or sizes differ; names the row.
    """
    try:
        mask = decode_mask(row["foreground_mask"])
        common = {
            "stratum": stratum_of(row),
            "foreground_ratio": row["foreground_ratio"],
            "foreground_mask": resize(mask, size),
            "scoring_mask": scoring_mask(row["foreground_mask"], size),
        }
        for identity, composite, ground_truth in _full_size_images(row, mask):
            if not composite.shape == ground_truth.shape == (*mask.shape, 3):
                raise DataError(f"sizes differ: {composite.shape}, {ground_truth.shape} and {mask.shape}")
            yield EvaluationImage(identity, resize(composite, size), resize(ground_truth, size), **common)
    except (DataError, ValueError) as error:
        raise DataError(f"{row['id']}: {error}") from error


def evaluate_images(
    method: Method,
    images: Sequence[EvaluationImage],
    protocol: Protocol = Protocol.STANDARD,
    device: torch.device | str = "cpu",
) -> list[ImageResult]:
    """Harmonizes a batch and measures it.

    Args:
        images: one batch, all of one size.
        device: where the method is.

    Raises:
        WeightsError: an output holds NaN or infinite values; names the images.
    """
    output = method.harmonize(*network_inputs(images, device))
    _require_finite(output, [image.id for image in images])
    results = []
    for image, harmonized in zip(images, to_uint8(output, protocol), strict=True):
        given, truth = (
            reference_uint8(pixels[None], protocol)[0] for pixels in (image.composite, image.ground_truth)
        )
        errors = (image_errors(p, truth, image.scoring_mask, protocol) for p in (given, harmonized))
        results.append(ImageResult(image.id, image.stratum, image.foreground_ratio, *errors))
    return results


def network_inputs(
    images: Sequence[EvaluationImage], device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """[B,3,S,S] normalised composites and [B,1,S,S] foreground masks on a device."""
    composite, mask = (
        torch.from_numpy(np.stack([getattr(image, name) for image in images]))
        for name in ("composite", "foreground_mask")
    )
    return image_from_uint8(composite, device), mask_from_uint8(mask, device)


def _require_finite(output: Tensor, ids: Sequence[str]) -> None:
    """Whole numbers have no NaN: it would become a black pixel and a figure that looks like one."""
    least, most = output.amin((1, 2, 3)), output.amax((1, 2, 3))  # NaN if there is any
    finite = (least.isfinite() & most.isfinite()).tolist()
    bad = [identity for identity, good in zip(ids, finite, strict=True) if not good]
    if bad:
        raise WeightsError(
            f"the model's output for {', '.join(bad)} holds NaN or infinite values: its weights are damaged, "
            "or its training diverged; choose another checkpoint"
        )


@dataclass
class Report:
    """Sums over images: of all, and by split, subset, category and foreground ratio.

    Attributes:
        sums: {(dimension, name): {"composite": ..., "harmonized": ...}}; ("all", "") is over all images.
    """

    sums: dict[tuple[str, str], dict[str, ErrorSums]] = field(default_factory=dict)

    @classmethod
    def over(cls, results: Iterable[ImageResult]) -> Report:
        report = cls()
        for result in results:
            report.add(result)
        return report

    def add(self, result: ImageResult) -> None:
        """Counts one image in every group that it belongs to."""
        sums = {"composite": ErrorSums.of(result.composite), "harmonized": ErrorSums.of(result.harmonized)}
        for group in _groups_of(result):
            self._add(group, sums)

    def merge(self, other: Report) -> None:
        """Takes in what another worker counted."""
        for group, sums in other.sums.items():
            self._add(group, sums)

    def _add(self, group: tuple[str, str], sums: dict[str, ErrorSums]) -> None:
        mine = self.sums.get(group, {})
        self.sums[group] = {name: mine.get(name, ErrorSums()) + value for name, value in sums.items()}

    @property
    def count(self) -> int:
        """Images in it."""
        return self.sums["all", ""]["harmonized"].count if self.sums else 0

    def to_json(self) -> dict[str, Any]:
        """{"all": FIGURES, "split": {NAME: FIGURES}, and so subset, category and foreground_ratio}.

        FIGURES are {"composite": {"mse", "fmse", "psnr"}, "harmonized": {...}, "count", "undefined"}, where
        "undefined" counts the images that have no fMSE (no foreground left) or no PSNR (no error).
        """
        report: dict[str, Any] = {"all": {}} | {dimension: {} for dimension in DIMENSIONS}
        for (dimension, name), sums in sorted(self.sums.items(), key=lambda item: _sort_key(item[0])):
            if dimension == "all":
                report["all"] = _figures(sums)
            else:
                report[dimension][name] = _figures(sums)
        return report

    def metrics(self) -> dict[str, float]:
        """What is defined of it under the tracker's names: `eval/<group>/[composite_]{mse,fmse,psnr}`.

        A group is `all`, a split or subset by its name, `category_<name>` or `foreground_ratio_<bin>`.
        """
        metrics = {}
        for (dimension, name), sums in sorted(self.sums.items(), key=lambda item: _sort_key(item[0])):
            group = {"all": "all", "split": name, "subset": name}.get(dimension, f"{dimension}_{name}")
            for whose, prefix in (("harmonized", ""), ("composite", "composite_")):
                for figure, value in sums[whose].means().items():
                    if value is not None:
                        metrics[f"eval/{metric_name(group)}/{prefix}{figure}"] = value
        return metrics


def metric_name(name: str) -> str:
    """A group's name as the tracking server takes it."""
    return _UNUSUAL.sub("_", name)


def _sort_key(group: tuple[str, str]) -> tuple[int, float, str]:
    dimension, name = group
    order = ("all", *DIMENSIONS).index(dimension)
    return order, float(name.split("-")[0]) if dimension == "foreground_ratio" else 0, name


def _groups_of(result: ImageResult) -> Iterator[tuple[str, str]]:
    yield "all", ""
    yield from (("split", split) for split in result.stratum.splits)
    yield "subset", result.stratum.subset
    yield "category", result.stratum.category or NO_NAME
    yield "foreground_ratio", foreground_ratio_bin(result.foreground_ratio)


def _figures(sums: dict[str, ErrorSums]) -> dict[str, Any]:
    return {
        **{name: value.means() for name, value in sums.items()},
        "count": sums["harmonized"].count,
        "undefined": {name: value.undefined() for name, value in sums.items()},
    }


def _ordered_pairs(row: Row) -> list[tuple[int, int]]:
    """(background, foreground) conditions of a scene's composites, ascending."""
    if row["pairs"] is None:
        return list(permutations(range(NUM_CONDITIONS), 2))
    return sorted((pair["background"], pair["foreground"]) for pair in row["pairs"])


def _full_size_images(row: Row, mask: UInt8Array) -> Iterator[tuple[str, UInt8Array, UInt8Array]]:
    """(id, composite, ground truth) of each of a row's images."""
    if row_kind(row) is RowKind.PAIR:
        yield row["id"], decode_rgb(row["composite"]), decode_rgb(row["ground_truth"])
        return
    photographs = [decode_rgb(data) for data in row["images"]]
    for background, foreground in _ordered_pairs(row):
        composite = exchange_foreground(photographs[foreground], photographs[background], mask)
        yield f"{row['id']}:{background}:{foreground}", composite, photographs[background]
