"""Packing blocks for the way between processes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.runtime.blocks import pack_block, unpack_block


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
