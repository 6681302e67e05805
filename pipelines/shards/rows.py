"""Rows of `schema.py`, built from encoded pictures and checked."""

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
from pipelines.shards.schema import RowKind, ground_truth_conditions
from pipelines.shards.stratum import Stratum

Row = dict[str, Any]
T = TypeVar("T")

LABEL_SUM_TOLERANCE = 1e-3


class PictureError(DataError):
    """One picture of a sample is missing, broken or unfit.

    Attributes:
        role: the picture: composite, ground_truth, foreground_mask; images[0] to images[9] of a scene;
            photograph, or foreground_masks[0] and so on.
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
    """Build a row of `PAIR_SCHEMA`; only the mask is decoded (`check_pictures` decodes the rest).

    Args:
        pictures: encoded composite, ground_truth and foreground_mask.
        composite_style: 10 probabilities, of the conditions 0-9 (rendered domain only).
        ground_truth_style: condition 0-9 of the ground truth (rendered domain only).

    Raises:
        PictureError: a picture is missing or broken, sizes differ, or the mask is empty.
        DataError: a style is missing, invalid, or given in the real domain.
    """
    _check_styles(stratum.domain, composite_style, ground_truth_style)
    for role in ("composite", "ground_truth", "foreground_mask"):
        if role not in pictures:
            raise PictureError(role, "missing")
    return {
        **_common_columns(sample_id, stratum, pictures),
        "composite": pictures["composite"],
        "ground_truth": pictures["ground_truth"],
        "composite_style": None if composite_style is None else list(composite_style),
        "ground_truth_style": ground_truth_style,
    }


def scene_row(
    sample_id: str, stratum: Stratum, pictures: Mapping[str, bytes], pairs: list[Row] | None = None
) -> Row:
    """Build a row of `SCENE_SCHEMA`; only the mask is decoded.

    Args:
        pictures: encoded images[0] to images[9], by condition, and foreground_mask.
        pairs: the only pairs to draw (values of `LISTED_PAIR`); None for all ordered pairs.

    Raises:
        PictureError: a picture is missing or broken, sizes differ, or the mask is empty.
    """
    roles = [f"images[{condition}]" for condition in range(NUM_CONDITIONS)]
    for role in (*roles, "foreground_mask"):
        if role not in pictures:
            raise PictureError(role, "missing")
    return {
        **_common_columns(sample_id, stratum, pictures),
        "images": [pictures[role] for role in roles],
        "pairs": pairs,
    }


def photograph_row(
    row_id: str, stratum: Stratum, photograph: bytes, foreground_masks: Mapping[str, bytes]
) -> Row:
    """Build a row of `PHOTOGRAPH_SCHEMA`; only the masks are decoded.

    Args:
        photograph: encoded picture.
        foreground_masks: encoded masks, at least one, by the ids of their samples.

    Raises:
        PictureError: a picture is broken, sizes differ, or a mask is empty.
    """
    roles = mask_roles(len(foreground_masks))
    masks = dict(zip(roles, foreground_masks.values(), strict=True))
    size = _common_size({"photograph": photograph, **masks})
    return {
        **_stratum_columns(row_id, stratum, size),
        "photograph": photograph,
        "foreground_ids": list(foreground_masks),
        "foreground_ratios": [_foreground_ratio(role, mask) for role, mask in masks.items()],
        "foreground_masks": list(masks.values()),
    }


def mask_roles(count: int) -> list[str]:
    """Return the roles of a photograph's masks (see `PictureError`)."""
    return [f"foreground_masks[{index}]" for index in range(count)]


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
    """Check that a label is 10 probabilities that sum to 1 within `LABEL_SUM_TOLERANCE`.

    Raises:
        DataError: the label has another length, a negative or non-finite value, or another sum.
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
    """Decode every picture of a row in full.

    Raises:
        PictureError: a picture is broken, cut short, or differs from the row's height and width.
    """
    for role, data in pictures_of(row).items():
        shape = _read_picture(role, decode_rgb, data).shape[:2]
        if shape != (row["height"], row["width"]):
            raise PictureError(
                role, f"(height, width) is {shape}, the row says {(row['height'], row['width'])}"
            )


def shrink(row: Row, longest_side: int) -> Row:
    """Return the row with pictures of at most `longest_side` pixels; smaller ones stay as they are.

    Photographs are resized by area averaging and stored as JPEG of quality 95, the mask by the nearest pixel.

    Raises:
        PictureError: no foreground is left in the mask.
    """
    scale = longest_side / max(row["height"], row["width"])
    if scale >= 1:
        return row
    height, width = (max(1, round(side * scale)) for side in (row["height"], row["width"]))

    def resized(role: str, data: bytes) -> bytes:
        if role.startswith("foreground_mask"):
            mask = cv2.resize(decode_mask(data), (width, height), interpolation=cv2.INTER_NEAREST)
            return encode_mask(mask.astype(np.uint8))
        photograph = _read_picture(role, decode_rgb, data)
        smaller = cv2.resize(photograph, (width, height), interpolation=cv2.INTER_AREA)
        return encode_jpeg(smaller.astype(np.uint8), quality=95)

    pictures = {role: resized(role, data) for role, data in pictures_of(row).items()}
    stratum = stratum_of(row)
    if row_kind(row) is RowKind.PHOTOGRAPH:
        photograph, *masks = pictures.values()
        named = dict(zip(row["foreground_ids"], masks, strict=True))
        return photograph_row(row["id"], stratum, photograph, named)
    if row_kind(row) is RowKind.SCENE:
        return scene_row(row["id"], stratum, pictures, row["pairs"])
    return pair_row(row["id"], stratum, pictures, row["composite_style"], row["ground_truth_style"])


def row_kind(row: Row) -> RowKind:
    """Return the kind of a row."""
    if "photograph" in row:
        return RowKind.PHOTOGRAPH
    return RowKind.SCENE if "images" in row else RowKind.PAIR


def pictures_of(row: Row) -> dict[str, bytes]:
    """Return a row's encoded pictures by role (see `PictureError`)."""
    if row_kind(row) is RowKind.PHOTOGRAPH:
        masks = row["foreground_masks"]
        return {"photograph": row["photograph"], **dict(zip(mask_roles(len(masks)), masks, strict=True))}
    if row_kind(row) is RowKind.SCENE:
        photographs = {f"images[{condition}]": data for condition, data in enumerate(row["images"])}
    else:
        photographs = {role: row[role] for role in ("composite", "ground_truth")}
    return {**photographs, "foreground_mask": row["foreground_mask"]}


def stratum_of(row: Row) -> Stratum:
    """Return the stratum of a row."""
    return Stratum(Domain(row["domain"]), row["subset"], row["category"], tuple(row["splits"]))


def conditions_of(row: Row) -> list[int]:
    """Return the capture conditions 0-9 that are a ground truth of a row; none in the real domain."""
    if row_kind(row) is RowKind.SCENE:
        return ground_truth_conditions(row["pairs"])
    style = row.get("ground_truth_style")
    return [] if style is None else [style]


def samples_of(row: Row) -> int:
    """Count a row's training samples in an epoch: 1, or a scene's ground truths, or a photograph's masks."""
    if row_kind(row) is RowKind.PHOTOGRAPH:
        return len(row["foreground_ids"])
    return len(conditions_of(row)) if row_kind(row) is RowKind.SCENE else 1


def bytes_of(row: Row) -> int:
    """Estimate the stored size of a row: its encoded pictures and an allowance for other columns."""
    listed = len(row.get("pairs") or ())
    return sum(len(data) for data in pictures_of(row).values()) + 1024 + 64 * listed


def _common_columns(sample_id: str, stratum: Stratum, pictures: Mapping[str, bytes]) -> Row:
    mask = pictures["foreground_mask"]
    return {
        **_stratum_columns(sample_id, stratum, _common_size(pictures)),
        "foreground_ratio": _foreground_ratio("foreground_mask", mask),
        "foreground_mask": mask,
    }


def _common_size(pictures: Mapping[str, bytes]) -> tuple[int, int]:
    """Return the (height, width) that all pictures have."""
    sizes = {role: _read_picture(role, image_size, data) for role, data in pictures.items()}
    common, _ = Counter(sizes.values()).most_common(1)[0]
    for role, size in sizes.items():
        if size != common:
            raise PictureError(role, f"(height, width) is {size}, that of the others {common}")
    return common


def _foreground_ratio(role: str, data: bytes) -> float:
    mask = _read_picture(role, decode_mask, data)
    if not mask.any():
        highest = _read_picture(role, decode_rgb, data)[..., 0].max()
        brightest = f", the brightest is {highest}" if highest else ""
        remedy = "; multiply its values by 255" if highest == 1 else ""
        raise PictureError(role, f"empty: no pixel is 255{brightest}{remedy}")
    return float(mask.mean())


def _stratum_columns(row_id: str, stratum: Stratum, size: tuple[int, int]) -> Row:
    return {
        "id": row_id,
        "domain": str(stratum.domain),
        "subset": stratum.subset,
        "category": stratum.category,
        "splits": list(stratum.splits),
        "height": size[0],
        "width": size[1],
    }


def _read_picture(role: str, read: Callable[[bytes], T], data: bytes) -> T:
    try:
        return read(data)
    except DataError as error:
        raise PictureError(role, str(error)) from error
