"""Real Ray Data executions deliver the plan's global batches, whatever the number of workers."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from charmnet.errors import DataError
from pipelines.ingest import lanes
from pipelines.ingest.execution import TaskResources, blocks_in_flight, bytes_ahead, steps_per_block
from pipelines.ingest.lanes import LaneShard, checked, lane_rows
from pipelines.ingest.stream import StreamSpec
from pipelines.ingest.window import read_window
from pipelines.shards.reading import Dataset
from pipelines.shards.selection import Selection
from tests.fixtures.datasets import ShardedDatasets

BATCH = 16


class Meeting:
    """Gives every worker (a thread here) what the first one comes with."""

    def __init__(self, workers: int) -> None:
        self.barrier, self.shared = threading.Barrier(workers), None

    def share(self, splits: Any) -> Any:
        self.shared = splits or self.shared
        self.barrier.wait()
        return self.shared


def stream(spec: StreamSpec, workers: int, start: int, stop: int, cpus: float) -> list[dict[str, np.ndarray]]:
    """Step by step what all workers (threads here) together got, in lane order."""
    share = Meeting(workers).share
    shards = [
        LaneShard(spec, rank, workers, TaskResources(cpus, 1.0), broadcast=share) for rank in range(workers)
    ]
    with ThreadPoolExecutor(workers) as pool:
        shares = list(pool.map(lambda shard: list(shard.steps(start, stop)), shards))
    assert all(len(share) == stop - start for share in shares)
    steps = []
    for parts in zip(*shares, strict=True):
        rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        order = np.argsort(rows["lane"], kind="stable")
        steps.append({name: values[order] for name, values in rows.items()})
    return steps


@pytest.fixture(scope="module")
def specs(datasets: ShardedDatasets) -> dict[str, StreamSpec]:
    train = Selection("split == 'IHD_train'")
    return {
        "real": StreamSpec(Dataset.open(datasets.real), BATCH, seed=5, selection=train, size=32),
        "rendered": StreamSpec(Dataset.open(datasets.rendered), BATCH, seed=5, size=32),
    }


@pytest.mark.parametrize(("domain", "workers", "cpus"), [("real", 3, 0.5), ("rendered", 8, 0)])
def test_any_number_of_workers_gets_the_same_global_batches(
    specs: dict[str, StreamSpec], domain: str, workers: int, cpus: float
) -> None:
    spec = specs[domain]
    got = stream(spec, workers, 2, 9, cpus)
    for block, expected in zip(got, read_window(spec, 2, 9, BATCH), strict=True):
        for name in set(expected) - {"lane"}:
            np.testing.assert_array_equal(block[name], expected[name], err_msg=name)


def test_one_execution_follows_another_without_a_step_lost(
    specs: dict[str, StreamSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "_MAX_POOLS", 1)
    spec = replace(specs["rendered"], pool_row_groups=1)
    stop = 2 * spec.pool_steps + 1
    got = stream(spec, 2, 1, stop, 0.5)
    for block, expected in zip(got, read_window(spec, 1, stop, BATCH), strict=True):
        np.testing.assert_array_equal(block["id"], expected["id"])
        np.testing.assert_array_equal(block["composite"], expected["composite"])


@pytest.mark.parametrize("tasks", [1, 7, 62])
@pytest.mark.parametrize(("batch", "workers"), [(4, 1), (8, 1), (64, 8), (1024, 128)])
def test_every_task_has_room_to_work_ahead(
    datasets: ShardedDatasets, batch: int, workers: int, tasks: int
) -> None:
    """Ray Data leaves three quarters of its memory limit to the output of one operator's tasks."""
    spec, rows = StreamSpec(Dataset.open(datasets.rendered), batch), lane_rows(batch, workers)
    block_bytes = rows * steps_per_block(batch) * 256 * 256 * 7
    room = 0.75 * bytes_ahead(spec, spec.windows(0, 4000), rows, tasks)
    assert tasks * blocks_in_flight(spec, rows) * block_bytes <= room
    assert room <= 2 * tasks * max(blocks_in_flight(spec, rows) * block_bytes, 128 * 2**20)


def test_each_epoch_delivers_every_sample_once_and_scenes_draw_anew(specs: dict[str, StreamSpec]) -> None:
    spec = specs["rendered"]
    steps = spec.plan.num_samples // 6 * 2  # two epochs of thirty samples
    blocks = list(read_window(replace(spec, batch_size=6), 0, steps, 6))
    ids, epochs = (np.concatenate([b[name] for b in blocks]) for name in ("id", "epoch"))
    for epoch in (0, 1):
        delivered = ids[epochs == epoch]
        assert len(delivered) == len(set(delivered)) == spec.plan.num_samples == 30
    styles = np.concatenate([b["composite_style"] for b in blocks])
    classes = np.concatenate([b["ground_truth_style"] for b in blocks])
    np.testing.assert_allclose(styles.sum(1), 1, atol=1e-6)
    assert (
        styles[np.arange(len(styles)), classes] > 0.5
    ).all()  # the background covers more than the foreground
    drawn = {(i, e): s.tobytes() for i, e, s in zip(ids, epochs, styles, strict=True)}
    assert any(drawn[i, 0] != drawn[i, 1] for i in set(ids))


def test_a_stream_that_starts_later_goes_on_as_if_it_had_not_stopped(specs: dict[str, StreamSpec]) -> None:
    spec = specs["real"]
    whole = list(read_window(spec, 0, 8, BATCH))
    rest = list(read_window(spec, 5, 8, BATCH))
    for block, expected in zip(rest, whole[5:], strict=True):
        for name in expected:
            np.testing.assert_array_equal(block[name], expected[name])


def test_a_block_out_of_order_is_refused(specs: dict[str, StreamSpec]) -> None:
    first, second = read_window(specs["real"], 3, 5, BATCH)
    block = {name: np.concatenate([first[name], second[name]]) for name in first}
    assert checked(block, specs["real"], 3, 0, BATCH) is block
    swapped = {name: np.concatenate([second[name], first[name]]) for name in first}
    for wrong, step, lane, rows in (
        (block, 4, 0, BATCH),
        (block, 3, 1, BATCH),
        (block, 3, 0, BATCH + 1),
        (swapped, 3, 0, BATCH),
        (None, 3, 0, BATCH),
    ):
        with pytest.raises(DataError, match="Ray Data's order is not the plan's"):
            checked(wrong, specs["real"], step, lane, rows)


def test_a_broken_picture_names_its_sample(datasets: ShardedDatasets) -> None:
    from pipelines.ingest.decode_options import DecodeOptions
    from pipelines.ingest.decoding import decode
    from pipelines.ingest.samples import EncodedSample

    broken = EncodedSample("HCOCO/c01_1_1", b"\xff\xd8broken", b"x", composite=b"y")
    with pytest.raises(DataError, match="'HCOCO/c01_1_1'"):
        decode(broken, 0, DecodeOptions(0, Dataset.open(datasets.real).manifest.domain, 32))
