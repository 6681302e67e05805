"""Blocks come out of parcels as they went in, lane by lane."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.ingest.parcels import pack, parcels, steps_of_parcel, unpack
from pipelines.ingest.window import Block


def block(step: int, lane: int, rows: int, rng: np.random.Generator) -> Block:
    return {
        "composite": rng.integers(256, size=(rows, 4, 4, 3), dtype=np.uint8),
        "composite_style": rng.random((rows, 10), dtype=np.float32),
        "id": np.array([f"{rng.integers(10**9)}é"[: rng.integers(12)] for _ in range(rows)]),
        "step": np.full(rows, step),
        "lane": np.full(rows, lane),
    }


@given(
    lanes=st.integers(1, 4),
    rows=st.integers(1, 5),
    steps=st.integers(1, 40),
    first=st.integers(0, 1000),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_block_arrives_whole_in_its_lane(lanes, rows, steps, first, seed):
    rng = np.random.default_rng(seed)
    made = [block(step, lane, rows, rng) for step in range(first, first + steps) for lane in range(lanes)]
    packed = list(parcels(iter(made), lanes, batch_size=rows * lanes))
    assert all(table.num_rows == 1 for table in packed)
    assert len({table.schema for table in packed}) == 1
    most = steps_of_parcel(rows * lanes) * rows
    arrived = {}
    for number, table in enumerate(packed):
        parcel = unpack(table)
        assert set(parcel["lane"].tolist()) == {number % lanes}
        assert len(parcel["step"]) <= most
        for start in range(0, len(parcel["step"]), rows):
            part = {name: values[start : start + rows] for name, values in parcel.items()}
            arrived[part["step"][0], part["lane"][0]] = part
    assert len(packed) == lanes * -(-steps // steps_of_parcel(rows * lanes))
    for (step, lane), sent in zip(
        itertools.product(range(first, first + steps), range(lanes)), made, strict=True
    ):
        for name, values in sent.items():
            np.testing.assert_array_equal(arrived[step, lane][name], values)


def test_a_parcel_is_looked_at_where_it_lies():
    table = pack([block(0, 0, 2, np.random.default_rng(0))])
    composite = unpack(table)["composite"]
    assert composite.ctypes.data == table["composite"].chunk(0).buffers()[2].address


def test_large_batches_travel_alone():
    assert [steps_of_parcel(size) for size in (1, 8, 16, 33, 512)] == [32, 4, 2, 1, 1]
