"""Pictures side by side, for looking at how a run learns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

COLUMNS = ("composite", "mask", "harmonized", "ground_truth", "attention")
_HEADER_PIXELS = 20
_GAP_PIXELS = 2
_PAPER = 255
_INK = (40, 40, 40)


def sample_grid(rows: Sequence[Mapping[str, np.ndarray]]) -> np.ndarray:
    """One landscape picture of a few samples, a row each, under a header that names the columns.

    Args:
        rows: by column [H,W,3] or [H,W] uint8, all of one size; `COLUMNS` that no row has are left out.

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
    blank = np.full((height, width, 3), _PAPER, np.uint8)
    lines = [_header(columns, width)]
    for row in rows:
        lines.append(_join([_cell(row.get(name, blank), (height, width)) for name in columns], axis=1))
    return _join(lines, axis=0)


def _cell(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if image.dtype != np.uint8 or image.shape[:2] != size:
        raise ValueError(
            f"sample_grid takes uint8 pictures of one size {size}, got {image.dtype}{image.shape}"
        )
    return np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image


def _header(columns: Sequence[str], width: int) -> np.ndarray:
    cells = []
    for name in columns:
        cell = np.full((_HEADER_PIXELS, width, 3), _PAPER, np.uint8)
        text = name.replace("_", " ")
        scale = min(0.45, 0.45 * (width - 8) / cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)[0][0])
        cells.append(cv2.putText(cell, text, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, 1, cv2.LINE_AA))
    return _join(cells, axis=1)


def _join(images: Sequence[np.ndarray], axis: int) -> np.ndarray:
    shape = list(images[0].shape)
    shape[axis] = _GAP_PIXELS
    gap = np.full(shape, _PAPER, np.uint8)
    pieces = [piece for image in images for piece in (gap, image)][1:]
    return np.concatenate(pieces, axis=axis)
