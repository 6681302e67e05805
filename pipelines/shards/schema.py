"""Arrow schemas of the three kinds of row.

A *pair* is one composite with its ground truth. A *scene* (rendered domain) is one 2D scene under all ten
capture conditions, with its mask. Its 90 ordered composites are made when the row is read, which takes a
tenth of the storage and gives new pairs in every epoch. A *photograph* (real domain) is one photograph with
the masks of its foregrounds of one category; its composites are made when the row is read, too, by colours
of other foregrounds, which lie beside the manifest (`foreground_colors.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import pyarrow as pa

from charmnet.vocabulary import NUM_CONDITIONS

SCHEMA_VERSION = 1
ROW_GROUP_SAMPLES = 64
ROW_GROUP_BYTES = 32 * 1024 * 1024
FEW_SAMPLES = 256  # up to so many are read in one process sooner than a cluster starts
PAIRS_PER_SCENE = NUM_CONDITIONS * (NUM_CONDITIONS - 1)  # ordered pairs of two different conditions


class RowKind(StrEnum):
    """The kind of row, one for all rows of a data set."""

    PAIR = "pair"
    SCENE = "scene"
    PHOTOGRAPH = "photograph"


_COMMON = [
    pa.field("id", pa.string(), nullable=False),
    pa.field("domain", pa.string(), nullable=False),
    pa.field("subset", pa.string(), nullable=False),
    pa.field("category", pa.string()),
    pa.field("splits", pa.list_(pa.string()), nullable=False),  # names of the lists that contain the row
    pa.field("height", pa.int32(), nullable=False),
    pa.field("width", pa.int32(), nullable=False),
]

_MASK = [
    pa.field("foreground_ratio", pa.float32(), nullable=False),  # share of the picture's area, in 0..1
    pa.field("foreground_mask", pa.binary(), nullable=False),  # PNG, 255 = foreground
]

_STYLE = pa.list_(pa.float32())  # ten values; parquet cannot read back nulls in a list of fixed size

PAIR_SCHEMA = pa.schema(
    [
        *_COMMON,
        *_MASK,
        pa.field("composite", pa.binary(), nullable=False),  # encoded as in the source, usually JPEG
        pa.field("ground_truth", pa.binary(), nullable=False),
        pa.field("composite_style", _STYLE),  # null in the real domain
        pa.field("ground_truth_style", pa.int8()),  # capture condition 0-9; null in the real domain
    ]
)

LISTED_PAIR = pa.struct(
    [
        pa.field("foreground", pa.int8()),  # condition of the foreground, 0-9
        pa.field("background", pa.int8()),  # condition of the background and the ground truth, 0-9
        pa.field("composite_style", _STYLE),  # the label in the list
    ]
)

SCENE_SCHEMA = pa.schema(
    [
        *_COMMON,
        *_MASK,
        pa.field("images", pa.list_(pa.binary(), NUM_CONDITIONS), nullable=False),  # by condition 0-9
        pa.field("pairs", pa.list_(LISTED_PAIR)),  # the only pairs to draw; null = all ordered pairs
    ]
)

PHOTOGRAPH_SCHEMA = pa.schema(
    [
        *_COMMON,
        pa.field("photograph", pa.binary(), nullable=False),
        # Of each foreground the id of its sample, its share of the picture's area, and its mask.
        pa.field("foreground_ids", pa.list_(pa.string()), nullable=False),
        pa.field("foreground_ratios", pa.list_(pa.float32()), nullable=False),
        pa.field("foreground_masks", pa.list_(pa.binary()), nullable=False),
    ]
)

SCHEMAS = {
    RowKind.PAIR: PAIR_SCHEMA,
    RowKind.SCENE: SCENE_SCHEMA,
    RowKind.PHOTOGRAPH: PHOTOGRAPH_SCHEMA,
}


def ground_truth_conditions(pairs: Sequence[Mapping[str, Any]] | None) -> list[int]:
    """Return the conditions (ascending) that are a ground truth of a scene: one sample each in an epoch.

    Args:
        pairs: the listed pairs (`LISTED_PAIR`), or None for all ordered pairs.
    """
    if pairs is None:
        return list(range(NUM_CONDITIONS))
    return sorted({pair["background"] for pair in pairs})
