"""Blocks of a read window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines.ingest.stream import StreamSpec
from pipelines.ingest.window import read_window
from pipelines.runtime.blocks import Block
from pipelines.runtime.storage import Location
from tests.synthetic_datasets import pair_rows, write_dataset


@pytest.mark.parametrize(("batch_size", "rows"), [(6, 6), (6, 2), (5, 1)])
def test_steps_together_hold_each_lanes_rows_in_order(tmp_path: Path, batch_size: int, rows: int) -> None:
    dataset = write_dataset(Location.of(tmp_path), pair_rows(24, size=(48, 64)), 12)
    spec = StreamSpec(dataset, batch_size, size=32)
    singly = list(read_window(spec, 2, 9, rows))
    lanes, parts = batch_size // rows, dict[tuple[int, int], Block]()
    for number, block in enumerate(read_window(spec, 2, 9, rows, steps_together=3)):
        assert set(block["lane"].tolist()) == {number % lanes}
        for start in range(0, len(block["step"]), rows):
            part = {name: values[start : start + rows] for name, values in block.items()}
            parts[int(part["step"][0]), int(part["lane"][0])] = part
    assert sorted(parts) == [(int(block["step"][0]), int(block["lane"][0])) for block in singly]
    for block, (_, part) in zip(singly, sorted(parts.items()), strict=True):
        for name, values in block.items():
            np.testing.assert_array_equal(part[name], values, err_msg=name)
