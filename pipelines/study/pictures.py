"""Pictures of a study's qualitative figure: chosen before anything is trained, then drawn as a sheet."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import pyarrow as pa

from charmnet.arrays import UInt8Array
from charmnet.augment import MaskEdges
from charmnet.codecs import encode_jpeg
from charmnet.methods import HarmonizationMethod
from charmnet.metrics import Protocol, to_uint8
from pipelines.evaluation.images import EvaluationImage, row_images, selected_rows
from pipelines.evaluation.scoring import network_inputs
from pipelines.shards.reading import STRATUM_COLUMNS, selected_counts
from pipelines.shards.rows import Row
from pipelines.shards.selection import Selection
from pipelines.study.selections import TEST_SETS, RealData

RULE = "of each test set those whose SHA-256 of `0:NAME OF THE ROW` is least"
"""How pictures are chosen: no figure has a part in it."""

_SEED = 0
_GAP_PIXELS = 6
_TEXT_PIXELS = 22
_LABEL_SCALE = 0.45


@dataclass(frozen=True)
class ChosenPicture:
    """A composite of the qualitative figure.

    Attributes:
        part: test set that it is of.
        row: row of the data set that it is the first image of.
    """

    part: str
    row: Row

    def image(self, mask_edges: MaskEdges = "hard") -> EvaluationImage:
        """Return composite, mask and ground truth as they are evaluated."""
        return next(row_images(self.row, mask_edges=mask_edges))


def choose_pictures(real: RealData, of_each: int) -> list[ChosenPicture]:
    """Return the pictures of the figure, `of_each` of every test set, by `RULE`."""
    selection = Selection(real.select("all", "test"))
    dataset = real.dataset
    ranked: dict[str, list[tuple[str, int, int, str]]] = {part: [] for part in TEST_SETS}
    for shard, index, group in dataset.manifest.groups():
        if not selected_counts(dataset.manifest, group, selection)[0]:
            continue
        table = dataset.read_row_group(shard, index, ["id", *STRATUM_COLUMNS])  # no pictures
        rows = table.take(pa.array(dataset.selected_rows(table, selection), pa.int64())).to_pylist()
        for row in rows:
            digest = hashlib.sha256(f"{_SEED}:{row['id']}".encode()).hexdigest()
            part = real.part_of(row["category"], row["splits"])
            ranked[part] = sorted([*ranked[part], (digest, shard, index, row["id"])])[:of_each]
    return [
        ChosenPicture(part, row)
        for part in TEST_SETS
        for _, shard, index, identity in ranked[part]
        for row in selected_rows(dataset, selection, shard, index)
        if row["id"] == identity
    ]


def harmonized(method: HarmonizationMethod, pictures: Sequence[ChosenPicture]) -> list[UInt8Array]:
    """Return a method's output for each picture, [S,S,3]."""
    outputs = []
    for picture in pictures:
        composite, mask = network_inputs(method, [picture.image(method.requirements.mask_edges)])
        output = method.harmonize(composite, mask)
        outputs.append(to_uint8(output, Protocol.STANDARD, method.requirements.value_range)[0])
    return outputs


def sheet(columns: Mapping[str, Sequence[UInt8Array]]) -> bytes:
    """Return a JPEG of pictures, a column for each label; all columns have as many, [S,S,3] each."""
    drawn = []
    for label, pictures in columns.items():
        width = pictures[0].shape[1]
        head = np.full((_TEXT_PIXELS, width, 3), 255, np.uint8)
        cv2.putText(
            head,
            label.encode("ascii", "replace").decode(),
            (2, _TEXT_PIXELS - 7),
            cv2.FONT_HERSHEY_SIMPLEX,
            _LABEL_SCALE,
            (0, 0, 0),
            1,
            cv2.LINE_AA,
        )
        gap = np.full((_GAP_PIXELS, width, 3), 255, np.uint8)
        cells = [part for picture in pictures for part in (picture, gap)]
        column = np.concatenate([head, *cells])
        drawn += [column, np.full((len(column), _GAP_PIXELS, 3), 255, np.uint8)]
    return encode_jpeg(np.ascontiguousarray(np.concatenate(drawn[:-1], axis=1)))
