"""Samples that cannot be decoded are replaced as the plan says; a store that is away is waited for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from charmnet.codecs import encode_png
from charmnet.errors import DataError, StorageError
from pipelines.chaos.crashing_decoder import install_crashing_decoder, mark_to_crash
from pipelines.ingest.lanes import lane_rows
from pipelines.ingest.quarantine import MAX_WINDOW_STARTS, Quarantined, QuarantineRegistry, quarantine_limit
from pipelines.ingest.sample_decoder import SampleDecoder
from pipelines.ingest.sample_fetcher import SampleFetcher
from pipelines.ingest.stream import StreamSpec
from pipelines.ingest.window import read_window
from pipelines.runtime.blocks import Block
from pipelines.runtime.storage import Location
from pipelines.shards.reading import Dataset
from pipelines.training.coordinator import RunCoordinator
from tests.synthetic_datasets import pair_rows, scene_rows, write_dataset

BATCH = 4


def stream(
    dataset: Dataset, steps: int, rows: int = BATCH, decoder: SampleDecoder | None = None
) -> tuple[list[str], list[Quarantined]]:
    """Ids in order, and what they stand for."""
    spec = StreamSpec(dataset, BATCH, seed=1, size=16, pool_row_groups=2, timeout_seconds=0.0)
    fetcher = SampleFetcher(spec, decoder=decoder)
    blocks: list[Block] = list(read_window(spec, 0, steps, rows, fetcher))
    entries = [Quarantined.from_json(text) for block in blocks for text in block["quarantined"] if text]
    return [str(sample_id) for block in blocks for sample_id in block["id"]], entries


def test_a_substitute_is_the_plans_wherever_it_is_made(tmp_path: Path) -> None:
    rows = pair_rows(17)
    whole, none = stream(write_dataset(Location.of(tmp_path / "whole"), rows, 3), 12)
    rows[5]["composite"] = rows[5]["composite"][:-30]
    rows[9]["foreground_mask"] = encode_png(np.full((8, 8), 255, np.uint8))  # another size
    broken = write_dataset(Location.of(tmp_path / "broken"), rows, 3)
    ids, quarantined = stream(broken, 12)
    assert none == []
    assert {entry.id for entry in quarantined} == {"HCOCO/c05", "HCOCO/c09"}
    assert "sizes differ" in next(e.reason for e in quarantined if e.id == "HCOCO/c09")
    changed = {i for i, (a, b) in enumerate(zip(ids, whole, strict=True)) if a != b}
    assert changed == {i for i, sample_id in enumerate(whole) if sample_id in ("HCOCO/c05", "HCOCO/c09")}
    for rows_of_block in (1, 2):
        assert stream(broken, 12, rows_of_block) == (ids, quarantined)
    spec = StreamSpec(broken, BATCH, seed=1, size=16, pool_row_groups=2)
    parts = [
        block for start in (0, 5, 7) for block in read_window(spec, start, {0: 5, 5: 7, 7: 12}[start], 4)
    ]
    assert [sample_id for block in parts for sample_id in block["id"]] == ids


def test_a_broken_picture_of_a_scene_costs_its_own_composites_only(tmp_path: Path) -> None:
    rows = scene_rows(2)
    rows[1]["images"][3] = b"\xff\xd8broken"
    ids, quarantined = stream(write_dataset(Location.of(tmp_path), rows, 1), 5)
    assert len(ids) == 20
    assert "SHuman/001:3" in {entry.id for entry in quarantined}
    assert {entry.id.split(":")[0] for entry in quarantined} == {"SHuman/001"}


def test_flipped_bytes_cost_one_row_group_and_its_ids_are_known(tmp_path: Path) -> None:
    rows = pair_rows(9)
    dataset = write_dataset(Location.of(tmp_path), rows, 3)
    shard = tmp_path / "part-00001.parquet"
    data = shard.read_bytes()
    at = data.index(rows[4]["composite"][100:160])
    shard.write_bytes(data[:at] + bytes(60) + data[at + 60 :])
    ids, quarantined = stream(dataset, 9)
    lost = {"HCOCO/c03", "HCOCO/c04", "HCOCO/c05"}
    assert {entry.id for entry in quarantined} == lost
    assert {(entry.shard, entry.row_group) for entry in quarantined} == {("part-00001.parquet", 0)}
    assert not lost & set(ids)


def test_a_data_set_without_one_good_picture_is_refused(tmp_path: Path) -> None:
    rows = [{**row, "composite": b"\xff\xd8"} for row in pair_rows(5)]
    with pytest.raises(DataError, match="neither this sample nor any of its substitutes"):
        stream(write_dataset(Location.of(tmp_path), rows, 3), 1)


@pytest.mark.parametrize(
    ("data", "message"), [(None, "the shard is gone"), (b"PAR1 something else", "the manifest says")]
)
def test_a_shard_that_is_not_there_is_no_matter_of_quarantine(
    tmp_path: Path, data: bytes | None, message: str
) -> None:
    dataset = write_dataset(Location.of(tmp_path), pair_rows(9), 3)
    shard = tmp_path / "part-00001.parquet"
    shard.unlink() if data is None else shard.write_bytes(data)
    with pytest.raises(StorageError, match=rf"part-00001\.parquet: .*{message}"):
        stream(dataset, 9)


def test_what_kills_the_decoder_is_found_in_a_process_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_crashing_decoder(tmp_path / "hook")
    monkeypatch.syspath_prepend(str(tmp_path / "hook"))  # of the helper that decodes first, too
    rows = pair_rows(6)
    rows[2]["composite"] = mark_to_crash(rows[2]["composite"])
    dataset = write_dataset(Location.of(tmp_path / "data"), rows, 3)
    spec = StreamSpec(dataset, BATCH, seed=1, size=16, pool_row_groups=2)
    known_crashes: dict[str, str] = {}
    options = spec.decode_options
    isolating = SampleDecoder(options, isolate_decoding=True, on_crash=known_crashes.__setitem__)
    ids, quarantined = stream(dataset, 3, decoder=isolating)
    isolating.close()
    assert {entry.id for entry in quarantined} == {"HCOCO/c02"}
    assert list(known_crashes.values()) == ["decoding it ends the process (SIGSEGV)"]
    assert {entry.fingerprint for entry in quarantined} == set(known_crashes)
    assert stream(dataset, 3, decoder=SampleDecoder(options, known_crashes)) == (ids, quarantined)


@pytest.mark.parametrize("kind", ["pairs", "scenes"])
def test_a_global_batch_is_the_same_for_any_number_of_workers(tmp_path: Path, kind: str) -> None:
    rows = pair_rows(7) if kind == "pairs" else scene_rows(2)
    rows[1]["foreground_mask"] = rows[1]["foreground_mask"][:-20]  # its substitute is the same, too
    spec = StreamSpec(write_dataset(Location.of(tmp_path), rows, 2), 16, seed=3, size=16, pool_row_groups=2)
    whole = list(read_window(spec, 0, 3, 16))
    for workers in (1, 2, 3, 8):
        lane = lane_rows(16, workers)
        blocks = list(read_window(spec, 0, 3, lane))
        shares = [blocks[rank::workers] for rank in range(workers)]
        for step, wanted in enumerate(whole):
            blocks_of_step = [block for share in shares for block in share if block["step"][0] == step]
            order = np.argsort(np.concatenate([block["index"] for block in blocks_of_step]))
            for name in set(wanted) - {"lane"}:
                got = np.concatenate([block[name] for block in blocks_of_step])[order]
                np.testing.assert_array_equal(got, wanted[name], err_msg=f"{name} of {workers} workers")


def entry(number: int, domain: str = "real", fingerprint: str = "") -> Quarantined:
    return Quarantined(domain, "part.parquet", 0, number, f"c{number}", "cut short", 0, 1, 1, fingerprint)


def test_past_the_limit_the_run_fails_and_the_samples_are_named() -> None:
    coordinator = RunCoordinator({"real": 2, "rendered": 0}, [entry(1)])
    coordinator.quarantine([entry(1), entry(2)])  # one of them again
    assert coordinator.quarantined_counts() == {"real": 2, "rendered": 0}
    assert coordinator.failure() is None
    assert coordinator.progress().messages == ["quarantined: real c2: cut short"]
    assert coordinator.progress().messages == []
    coordinator.quarantine([entry(3)])
    assert "3 samples of the real domain" in str(coordinator.failure())
    assert "c1 (cut short); c2 (cut short); c3 (cut short)" in str(coordinator.failure())
    assert RunCoordinator({"real": 0}, [entry(1)]).failure() is not None


def test_the_limit_is_a_share_or_a_number() -> None:
    cases = ((0, 100), (0.01, 50), (0.01, 1000), (7, 1000))
    assert [quarantine_limit(limit, samples) for limit, samples in cases] == [0, 1, 10, 7]


def test_a_window_that_died_is_read_with_isolated_decoding_a_few_times() -> None:
    registry = QuarantineRegistry({"real": 1}, [entry(1, fingerprint="abc")])
    first = registry.begin_window("x", "real", 8)
    assert not first.isolate_decoding
    assert first.known_crashes == {"abc": "cut short"}
    assert registry.begin_window("x", "real", 8).isolate_decoding
    registry.end_window("x", 8)
    assert not registry.begin_window("x", "real", 8).isolate_decoding  # its blocks were lost with a node
    assert not registry.begin_window("y", "real", 8).isolate_decoding  # another worker group's
    for _ in range(MAX_WINDOW_STARTS - 1):
        assert registry.begin_window("y", "real", 8).refusal is None
    assert "from step 9 on died" in str(registry.begin_window("y", "real", 8).refusal)
