"""Rows of `schema.py` from encoded pictures, and what makes a picture unfit to become one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import cv2
import numpy as np

from charmnet.codecs import decode_mask, decode_rgb, encode_jpeg, encode_mask
from charmnet.errors import DataError
from charmnet.image_limits import image_size
from charmnet.vocabulary import NUM_CONDITIONS, Domain
from pipelines.shards.manifest import Stratum
from pipelines.shards.schema import RowKind, ground_truth_conditions

Row = dict[str, Any]
T = TypeVar("T")

LABEL_SUM_TOLERANCE = 1e-3


class PictureError(DataError):
    """One picture of a sample is unfit.

    Attributes:
        role: which one: composite, ground_truth, foreground_mask, or images[0] to images[9] of a scene.
    """

    def __init__(self, role: str, reason: str) -> None:
        super().__init__(f"{role}: {reason}")
        self.role = role


def pair_row(
    sample_id: str,
    stratum: Stratum,
    pictures: Mapping[str, bytes],
    composite_style: Sequence[float] | None = None,
    ground_truth_style: int | None = None,
) -> Row:
    """A row of `PAIR_SCHEMA`; only the mask is decoded (`check_pictures` decodes the rest).

    Args:
        pictures: encoded composite, ground_truth and foreground_mask.
        composite_style: 10 probabilities of the conditions 0-9. ground_truth_style: condition 0-9.

    Raises:
        PictureError: a picture is missing or broken, sizes differ, or the mask is empty.
        DataError: a label is not what it should be.
    """
    _check_styles(stratum.domain, composite_style, ground_truth_style)
    for role in ("composite", "ground_truth", "foreground_mask"):
        if role not in pictures:
            raise PictureError(role, "missing")
    return {
        **_common(sample_id, stratum, pictures),
        "composite": pictures["composite"],
        "ground_truth": pictures["ground_truth"],
        "composite_style": None if composite_style is None else list(composite_style),
        "ground_truth_style": ground_truth_style,
    }


def scene_row(
    sample_id: str, stratum: Stratum, pictures: Mapping[str, bytes], pairs: list[Row] | None = None
) -> Row:
    """A row of `SCENE_SCHEMA`.

    Args:
        pictures: encoded images[0] to images[9], by condition, and foreground_mask.
        pairs: the only pairs to draw (rows of `LISTED_PAIR`); None for all ordered pairs.

    Raises:
        PictureError: a picture is missing or broken, sizes differ, or the mask is empty.
    """
    roles = [f"images[{condition}]" for condition in range(NUM_CONDITIONS)]
    for role in (*roles, "foreground_mask"):
        if role not in pictures:
            raise PictureError(role, "missing")
    return {
        **_common(sample_id, stratum, pictures),
        "images": [pictures[role] for role in roles],
        "pairs": pairs,
    }


def _check_styles(
    domain: Domain, composite_style: Sequence[float] | None, ground_truth_style: int | None
) -> None:
    if domain is Domain.REAL:
        if composite_style is not None or ground_truth_style is not None:
            raise DataError("a style in the real domain; expected styles in the rendered domain only")
        return
    if composite_style is None or ground_truth_style is None:
        raise DataError("composite_style or ground_truth_style is missing; the rendered domain needs both")
    check_style_label(composite_style)
    if not 0 <= ground_truth_style < NUM_CONDITIONS:
        raise DataError(f"ground_truth_style is {ground_truth_style}, expected a condition 0-9")


def check_style_label(label: Sequence[float]) -> None:
    """
    Raises:
        DataError: not 10 probabilities that sum to 1 (within `LABEL_SUM_TOLERANCE`).
    """
    values = np.asarray(label, dtype=np.float64)
    if values.shape != (NUM_CONDITIONS,):
        raise DataError(
            f"a style label of {values.size} numbers, expected {NUM_CONDITIONS}, one for each condition"
        )
    if not (np.isfinite(values).all() and (values >= 0).all()):
        raise DataError(f"a style label of {values.tolist()}, expected probabilities")
    if abs(values.sum() - 1) > LABEL_SUM_TOLERANCE:
        raise DataError(f"a style label that sums to {values.sum():.4f}, expected 1")


def check_pictures(row: Row) -> None:
    """Decodes every picture of a row in full.

    Raises:
        PictureError: a picture is broken or cut short, or not of the row's height and width.
    """
    for role, data in pictures_of(row).items():
        shape = _of(role, decode_rgb, data).shape[:2]
        if shape != (row["height"], row["width"]):
            raise PictureError(
                role, f"(height, width) is {shape}, the row says {(row['height'], row['width'])}"
            )


def shrink(row: Row, longest_side: int) -> Row:
    """The row with pictures of at most `longest_side` pixels on the longer side; smaller ones stay.

    Photographs are averaged over areas and stored as JPEG of quality 95, the mask takes the nearest pixel.

    Raises:
        PictureError: nothing of the mask is left.
    """
    scale = longest_side / max(row["height"], row["width"])
    if scale >= 1:
        return row
    height, width = (max(1, round(side * scale)) for side in (row["height"], row["width"]))

    def smaller(role: str, data: bytes) -> bytes:
        if role == "foreground_mask":
            mask = cv2.resize(decode_mask(data), (width, height), interpolation=cv2.INTER_NEAREST)
            return encode_mask(mask.astype(np.uint8))
        resized = cv2.resize(_of(role, decode_rgb, data), (width, height), interpolation=cv2.INTER_AREA)
        return encode_jpeg(resized.astype(np.uint8), quality=95)

    pictures = {role: smaller(role, data) for role, data in pictures_of(row).items()}
    stratum = stratum_of(row)
    if row_kind(row) is RowKind.SCENE:
        return scene_row(row["id"], stratum, pictures, row["pairs"])
    return pair_row(row["id"], stratum, pictures, row["composite_style"], row["ground_truth_style"])


def row_kind(row: Row) -> RowKind:
    return RowKind.SCENE if "images" in row else RowKind.PAIR


def pictures_of(row: Row) -> dict[str, bytes]:
    """A row's encoded pictures by role."""
    if row_kind(row) is RowKind.SCENE:
        photographs = {f"images[{condition}]": data for condition, data in enumerate(row["images"])}
    else:
        photographs = {role: row[role] for role in ("composite", "ground_truth")}
    return {**photographs, "foreground_mask": row["foreground_mask"]}


def stratum_of(row: Row) -> Stratum:
    return Stratum(Domain(row["domain"]), row["subset"], row["category"], tuple(row["splits"]))


def conditions_of(row: Row) -> list[int]:
    """The capture conditions that a row offers as ground truth; none in the real domain."""
    if row_kind(row) is RowKind.SCENE:
        return ground_truth_conditions(row["pairs"])
    return [] if row["ground_truth_style"] is None else [row["ground_truth_style"]]


def samples_of(row: Row) -> int:
    """Training samples that a row gives in an epoch: a scene as many as it has ground truths."""
    return len(conditions_of(row)) if row_kind(row) is RowKind.SCENE else 1


def bytes_of(row: Row) -> int:
    """Encoded pictures and an allowance for the rest."""
    listed = len(row.get("pairs") or ())
    return sum(len(data) for data in pictures_of(row).values()) + 1024 + 64 * listed


def _common(sample_id: str, stratum: Stratum, pictures: Mapping[str, bytes]) -> Row:
    sizes = {role: _of(role, image_size, data) for role, data in pictures.items()}
    (height, width), _ = Counter(sizes.values()).most_common(1)[0]
    for role, size in sizes.items():
        if size != (height, width):
            raise PictureError(role, f"(height, width) is {size}, that of the others {(height, width)}")
    mask = _of("foreground_mask", decode_mask, pictures["foreground_mask"])
    if not mask.any():
        raise PictureError("foreground_mask", "empty: no pixel is 255")
    return {
        "id": sample_id,
        "domain": str(stratum.domain),
        "subset": stratum.subset,
        "category": stratum.category,
        "splits": list(stratum.splits),
        "height": height,
        "width": width,
        "foreground_ratio": float(mask.mean()),
        "foreground_mask": pictures["foreground_mask"],
    }


def _of(role: str, read: Callable[[bytes], T], data: bytes) -> T:
    try:
        return read(data)
    except DataError as error:
        raise PictureError(role, str(error)) from error
