"""Blocks come out of blocks as they went in, and several steps together are what they are one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.ingest.lanes import steps_per_block
from pipelines.ingest.stream import StreamSpec
from pipelines.ingest.window import read_window
from pipelines.runtime.blocks import Block, pack_block, unpack_block
from pipelines.shards.reading import Dataset


@given(rows=st.integers(1, 9), seed=st.integers(0, 2**32 - 1))
def test_a_block_arrives_as_it_was(rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    block = {
        "composite": rng.integers(256, size=(rows, 4, 4, 3), dtype=np.uint8),
        "composite_style": rng.random((rows, 20), dtype=np.float32)[:, ::2],
        "id": np.array([f"{rng.integers(10**9)}é"[: rng.integers(12)] for _ in range(rows)]),
        "step": np.arange(rows),
    }
    table = pack_block(block)
    assert table.num_rows == 1
    assert table.schema == pack_block({name: values[:1] for name, values in block.items()}).schema
    arrived = unpack_block(table)
    assert list(arrived) == list(block)
    for name, values in block.items():
        assert arrived[name].dtype == values.dtype
        np.testing.assert_array_equal(arrived[name], values)


def test_a_block_is_looked_at_where_it_lies() -> None:
    table = pack_block({"composite": np.zeros((2, 4, 4, 3), np.uint8)})
    assert unpack_block(table)["composite"].ctypes.data == table["composite"].chunk(0).buffers()[2].address


@pytest.mark.parametrize(("batch_size", "rows"), [(6, 6), (6, 2), (5, 1)])
def test_steps_together_hold_each_lanes_rows_in_order(datasets, batch_size: int, rows: int) -> None:
    spec = StreamSpec(Dataset.open(datasets.real), batch_size, size=32)
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


def test_large_batches_travel_step_by_step() -> None:
    assert [steps_per_block(size) for size in (1, 8, 16, 65, 512)] == [64, 8, 4, 1, 1]
