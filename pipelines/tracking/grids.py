"""Grids of sample pictures, which show how a run learns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from charmnet.arrays import UInt8Array

COLUMNS = ("composite", "mask", "harmonized", "ground_truth", "attention", "source", "translated")
_HEADER_PIXELS = 20
_GAP_PIXELS = 2
_BACKGROUND = 255
_TEXT_COLOR = (40, 40, 40)
_TEXT_SCALE = 0.45


def sample_grid(rows: Sequence[Mapping[str, UInt8Array]]) -> UInt8Array:
    """Arrange a few samples in one landscape picture, a row each, under a header that names the columns.

    Args:
        rows: pictures of a sample by column, [H,W,3] or [H,W] uint8 of one size; columns without any picture
            are left out.

    Returns:
        [H',W',3] uint8 RGB.

    Raises:
        ValueError: no rows, an unknown column, another dtype or pictures of different sizes.
    """
    unknown = {name for row in rows for name in row} - set(COLUMNS)
    columns = [name for name in COLUMNS if any(name in row for row in rows)]
    if unknown or not columns:
        raise ValueError(f"sample_grid takes rows with columns of {COLUMNS}, got {sorted(unknown) or 'none'}")
    height, width = next(iter(rows[0].values())).shape[:2]
    blank = np.full((height, width, 3), _BACKGROUND, np.uint8)
    lines = [
        _join([_cell(row.get(name, blank), (height, width)) for name in columns], axis=1) for row in rows
    ]
    return _join([_header(columns, width), *lines], axis=0)


def _cell(image: UInt8Array, size: tuple[int, int]) -> UInt8Array:
    if image.dtype != np.uint8 or image.shape[:2] != size:
        raise ValueError(
            f"sample_grid takes uint8 pictures of one size {size}, got {image.dtype}{image.shape}"
        )
    return np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image


def _header(columns: Sequence[str], width: int) -> UInt8Array:
    cells = []
    for name in columns:
        cell = np.full((_HEADER_PIXELS, width, 3), _BACKGROUND, np.uint8)
        text = name.replace("_", " ")
        text_width = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, _TEXT_SCALE, 1)[0][0]
        scale = min(_TEXT_SCALE, _TEXT_SCALE * (width - 8) / text_width)
        cv2.putText(cell, text, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, scale, _TEXT_COLOR, 1, cv2.LINE_AA)
        cells.append(cell)
    return _join(cells, axis=1)


def _join(images: Sequence[UInt8Array], axis: int) -> UInt8Array:
    shape = list(images[0].shape)
    shape[axis] = _GAP_PIXELS
    gap = np.full(shape, _BACKGROUND, np.uint8)
    pieces = [piece for image in images for piece in (gap, image)][1:]
    return np.concatenate(pieces, axis=axis)
