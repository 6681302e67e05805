"""Grids of pictures."""

from __future__ import annotations

import numpy as np
import pytest

from charmnet.arrays import UInt8Array
from pipelines.tracking import sample_grid


def test_a_grid_has_a_row_per_sample_and_a_column_per_picture() -> None:
    composite = np.full((64, 64, 3), 200, np.uint8)
    mask = np.full((64, 64), 7, np.uint8)
    grid = sample_grid([{"composite": composite, "mask": mask}, {"mask": mask}])
    assert grid.dtype == np.uint8
    assert grid.shape == (20 + 2 * (64 + 2), 2 * 64 + 2, 3)
    assert (grid[22:86, :64] == 200).all()
    assert (grid[22:86, 66:] == 7).all()
    assert (grid[88:, :64] == 255).all()
    assert (grid[:20] < 100).any()  # the names


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"prediction": np.zeros((8, 8), np.uint8)}],
        [{"composite": np.zeros((8, 8, 3), np.float32)}],
        [{"composite": np.zeros((8, 8, 3), np.uint8), "mask": np.zeros((8, 9), np.uint8)}],
    ],
)
def test_a_grid_of_anything_else_is_refused(rows: list[dict[str, UInt8Array]]) -> None:
    with pytest.raises(ValueError, match="sample_grid takes"):
        sample_grid(rows)
