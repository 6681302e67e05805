"""The training loop in this process, with a toy method: what it steps, validates, saves and resumes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor

from charmnet.averaging import WeightAverage
from charmnet.methods import METHODS
from charmnet.vocabulary import Domain
from charmnet.weights import load_checkpoint
from pipelines.audit.run_audit import audit
from pipelines.config.train_config import TrainConfig
from pipelines.ingest.union import DatasetUnion
from pipelines.ingest.window import read_window
from pipelines.runs.checkpoints import TrainingState, newest_metadata
from pipelines.runs.delivery_log import DeliveryLog
from pipelines.runs.models import checkpoint_of
from pipelines.runs.run_folder import RunFolder
from pipelines.runtime.blocks import Block
from pipelines.runtime.storage import Location
from pipelines.shards.reading import Dataset
from pipelines.tracking import Tracker
from pipelines.training.build import configured_method, make_validation, resolve, stream_specs
from pipelines.training.checkpoint_writer import CheckpointWriter
from pipelines.training.coordinator import RunCoordinator, RunCoordinatorClient
from pipelines.training.job import TrainingJob
from pipelines.training.loop import TrainingLoop
from pipelines.training.placement import Placement
from pipelines.training.start import begin
from pipelines.training.step_trace import step_trace
from pipelines.training.validation import HarmonizationValidation
from pipelines.training.worker import Worker
from tests.synthetic_datasets import (
    pair_rows,
    photograph_rows,
    scene_rows,
    write_dataset,
    write_photographs,
)
from tests.toy_methods import ToyHarmonizer, ToyTranslator

CPU = torch.device("cpu")
FIELDS = (
    *(
        "steps=6",
        "batch_size=4",
        "checkpoint_every=2",
        "keep_checkpoints=9",
        "validate_every=2",
        "log_every=1",
    ),
    *("validate=train", "validate_images=2", "sample_rows=1", "pool_row_groups=2", "seed=3"),
)


class AloneWorker(Worker):
    """A worker without a Ray Train group."""

    def preempted_nodes(self) -> frozenset[str]:
        """Return no node."""
        return frozenset()


@dataclass
class Recorder(Tracker):
    """A tracker that keeps what is logged."""

    metrics: dict[int, dict[str, float]] = field(default_factory=dict)
    images: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    def log_metrics(self, metrics: Any, step: int) -> None:
        """Keep metrics by step."""
        self.metrics.setdefault(step, {}).update(metrics)

    def log_image(self, image: np.ndarray, key: str, step: int) -> None:
        """Keep the key of an image."""
        self.images.append(f"{key}@{step}")

    def log_file(self, path: Path, *, artifact_path: str) -> None:
        """Keep the content of a file."""
        self.files[artifact_path] = path.read_bytes()


@pytest.fixture(autouse=True)
def _toy_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "toy", ToyHarmonizer)
    monkeypatch.setitem(METHODS, "toy-translator", ToyTranslator)


@pytest.fixture
def datasets(tmp_path: Path) -> dict[Domain, Dataset]:
    return {Domain.REAL: write_dataset(Location.of(tmp_path / "real"), pair_rows(9), rows_per_shard=3)}


def run_loop(
    folder: Path,
    datasets: Mapping[Domain, Dataset | DatasetUnion],
    *fields: str,
    stop_after: int | None = None,
) -> tuple[TrainingLoop, Recorder]:
    """Train as the only worker from where the run stands; end without a word after some steps."""
    config = TrainConfig().override([*FIELDS, *fields])
    worker = AloneWorker(0, 1, 0, 1, 0, CPU)
    method = configured_method(config)
    specs = stream_specs(config, datasets, method)
    coordinator = RunCoordinator(dict.fromkeys(specs, 3))
    job = TrainingJob(
        resolve(config, specs),
        Location.of(folder),
        "key",
        {domain: DatasetUnion.of(dataset) for domain, dataset in datasets.items()},
        specs,
        Placement(False, 1.0, 1.0, 1.0),
        tracking=None,
        coordinator=cast(RunCoordinatorClient, coordinator),
    )
    average = WeightAverage(method, config.ema_decay) if config.ema_decay else None
    state = TrainingState(method, average)
    start = begin(job, worker, state)
    tracker = Recorder()

    def blocks(name: str) -> Iterator[Block]:
        for step in range(start.step, stop_after or job.steps):
            yield from read_window(specs[name], step, step + 1, config.batch_size)

    loop = TrainingLoop(
        job,
        worker,
        state,
        update=method.update,
        streams={Domain(name): blocks(name) for name in specs},
        deliveries=DeliveryLog(job.run_folder, start.attempt, 0, config.audit, job.coordinator, 1.0),
        validation=make_validation(method, config, datasets),
        checkpoints=CheckpointWriter(job, worker, state, tracker, None),
        tracker=tracker,
        node_tracker=Tracker(),
        step=start.step,
    )
    loop.phases.listener = step_trace(job, worker, tracker, start.step)
    if stop_after:
        with pytest.raises(RuntimeError, match="StopIteration"):
            _run(loop)
    else:
        loop.run()
    return loop, tracker


def _run(loop: TrainingLoop) -> None:
    try:
        loop.run()
    except StopIteration as error:
        raise RuntimeError("StopIteration") from error


def tensors(loop: TrainingLoop) -> dict[str, Tensor]:
    state = {f"module.{k}": t for m in loop.method.modules.values() for k, t in m.state_dict().items()}
    average = loop.state.average.state() if loop.state.average else {}
    return {**state, **loop.method.extra_state(), **{f"average.{key}": t for key, t in average.items()}}


@pytest.mark.slow
def test_a_killed_run_of_a_method_with_state_and_noise_ends_with_the_same_bits(
    tmp_path: Path, datasets: dict[Domain, Dataset]
) -> None:
    fields = ("method=toy", "penalty=1", "ema_decay=0.9", "gradient_accumulation=2", "max_gradient_norm=1")
    whole, _ = run_loop(tmp_path / "whole", datasets, *fields)
    cut, _ = run_loop(tmp_path / "cut", datasets, *fields, stop_after=5)
    assert newest_metadata(Location.of(tmp_path / "cut"))[1]["step"] == 4
    again, tracker = run_loop(tmp_path / "cut", datasets, *fields)
    assert (cut.step, again.step) == (5, 6)
    assert sorted(tracker.metrics) == [5, 6]
    expected = tensors(whole)
    assert {"pool", "average.generator.0.weight"} <= expected.keys()
    for name, tensor in tensors(again).items():
        assert torch.equal(tensor, expected[name]), name


@pytest.mark.slow
def test_the_average_is_validated_and_the_best_and_the_weights_go_on(
    tmp_path: Path, datasets: dict[Domain, Dataset]
) -> None:
    plain, plain_tracker = run_loop(tmp_path / "plain", datasets, "method=toy")
    averaged, tracker = run_loop(tmp_path / "averaged", datasets, "method=toy", "ema_decay=0.99")
    for name, module in plain.method.modules.items():
        for a, b in zip(
            module.state_dict().values(), averaged.method.modules[name].state_dict().values(), strict=True
        ):
            assert torch.equal(a, b), "an average changes nothing of what is trained"
    score = "eval/train/fmse"
    assert tracker.metrics[6][score] != plain_tracker.metrics[6][score]
    best, metadata = load_checkpoint(Path(str(checkpoint_of(str(tmp_path / "averaged")).local_path)))
    scores = {step: metrics[score] for step, metrics in tracker.metrics.items() if score in metrics}
    assert sorted(scores) == [0, 2, 4, 6]
    assert metadata["metrics"][score] == min(value for step, value in scores.items() if step)
    assert isinstance(best, ToyHarmonizer)


def test_curves_begin_before_the_first_step_with_a_model_that_is_never_the_best(
    tmp_path: Path, datasets: dict[Domain, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    score = "eval/train/fmse"
    rising = iter([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    monkeypatch.setattr(HarmonizationValidation, "score", lambda *_: {score: next(rising)})
    fields = ("method=toy", "validate_every=3")
    _, tracker = run_loop(tmp_path / "run", datasets, *fields)
    assert {step: m[score] for step, m in tracker.metrics.items() if score in m} == {0: 1.0, 3: 2.0, 6: 3.0}
    best = json.loads((tmp_path / "run" / "best.json").read_text())
    assert (best["step"], best["value"]) == (3, 2.0)
    run_loop(tmp_path / "cut", datasets, *fields, stop_after=2)
    assert not (tmp_path / "cut" / "best.json").exists()
    _, resumed = run_loop(tmp_path / "cut", datasets, *fields)
    assert [step for step, metrics in resumed.metrics.items() if score in metrics] == [3, 6]
    _, without = run_loop(tmp_path / "without", datasets, "method=toy", "validate_every=0")
    assert without.images == ["samples/train@0"]
    assert not any(score in metrics for metrics in without.metrics.values())


def test_chosen_steps_are_traced_and_change_no_bit(tmp_path: Path, datasets: dict[Domain, Dataset]) -> None:
    plain, without = run_loop(tmp_path / "plain", datasets, "method=toy")
    traced, tracker = run_loop(tmp_path / "traced", datasets, "method=toy", "profile=2:4")
    assert all(torch.equal(t, tensors(plain)[name]) for name, t in tensors(traced).items())
    assert not without.files
    (trace,) = tracker.files.items()
    assert trace[0] == "profile/steps-000000002-000000004.json.gz"
    events = json.loads(gzip.decompress(trace[1]))["traceEvents"]
    names = [event["name"] for event in events if event.get("cat") == "user_annotation"]
    assert [names.count(phase) for phase in ("data", "update")] == [3, 3]
    assert names.count("validation") == 1, "after step 2, and not after the last that is traced"
    assert any(event["name"] == "aten::conv2d" for event in events)
    *_, message = traced.job.coordinator.progress().messages
    assert message.startswith("trace of steps 2 to 4: artifact profile/steps-")


def test_a_trace_ends_with_the_run_and_begins_with_what_is_left(
    tmp_path: Path, datasets: dict[Domain, Dataset]
) -> None:
    fields = ("method=toy", "validate_every=0")
    _, cut = run_loop(tmp_path / "run", datasets, *fields, "profile=2:6", stop_after=5)
    assert list(cut.files) == ["profile/steps-000000002-000000005.json.gz"]
    _, resumed = run_loop(tmp_path / "run", datasets, *fields, "profile=2:6")
    assert list(resumed.files) == ["profile/steps-000000005-000000006.json.gz"]
    loop, over = run_loop(tmp_path / "run", datasets, *fields, "profile=2:6", "steps=8")
    assert not over.files
    messages = loop.job.coordinator.progress().messages
    assert messages[0] == "profile=2:6: these steps are over, no trace is made"
    with pytest.raises(ValueError, match="profile=2:9: the run has 6 steps"):
        run_loop(tmp_path / "other", datasets, *fields, "profile=2:9")


def test_a_translator_is_trained_and_shown(tmp_path: Path, datasets: dict[Domain, Dataset]) -> None:
    both = {**datasets, Domain.RENDERED: datasets[Domain.REAL]}
    loop, tracker = run_loop(tmp_path / "run", both, "method=toy-translator")
    assert loop.step == 6
    assert {"eval/train/change", "eval/train/color_distance"} <= tracker.metrics[6].keys()
    assert tracker.images[:2] == ["samples/train@0", "samples/train@2"]
    assert (tmp_path / "run" / "best.json").exists()


def test_rates_follow_the_schedule_across_a_restart(tmp_path: Path, datasets: dict[Domain, Dataset]) -> None:
    fields = ("method=toy", "learning_rate=0.5", "schedule=milestones", "milestones=2,5")
    run_loop(tmp_path / "run", datasets, *fields, stop_after=3)
    _, tracker = run_loop(tmp_path / "run", datasets, *fields)
    rates = {step: metrics["optim/lr"] for step, metrics in tracker.metrics.items()}
    assert rates == pytest.approx({3: 0.05, 4: 0.05, 5: 0.05, 6: 0.005})


def test_real_and_rendered_pairs_are_one_stream_and_the_audit_holds(
    tmp_path: Path, datasets: dict[Domain, Dataset]
) -> None:
    rendered = write_dataset(Location.of(tmp_path / "rendered"), scene_rows(1), rows_per_shard=1)
    fusion = {Domain.REAL: DatasetUnion((datasets[Domain.REAL], rendered), Domain.REAL)}
    fields = ("method=toy", "real_limit=12", "audit=true")
    folder = tmp_path / "run"
    config = TrainConfig().override([*FIELDS, *fields])
    RunFolder(Location.of(folder)).claim("run", config, {"real": fusion[Domain.REAL].digest})
    _, tracker = run_loop(folder, fusion, *fields)
    assert "eval/train/fmse" in tracker.metrics[6], "validated on the real member"
    report = audit(Location.of(folder))
    assert report.holds
    (domain,) = report.domains
    assert (domain.rows, domain.samples) == (24, 12)
    ids = [i for file in (folder / "audit").iterdir() for i in pq.read_table(file)["id"].to_pylist()]
    assert {identity.split(":")[0] for identity in ids} == {"1", "2"}
    assert len(set(ids)) == 12


def test_what_lacks_capture_conditions_is_refused_where_a_method_needs_them(
    datasets: dict[Domain, Dataset],
) -> None:
    config = TrainConfig().override(["width=8"])
    both = {Domain.REAL: datasets[Domain.REAL], Domain.RENDERED: datasets[Domain.REAL]}
    union = DatasetUnion((datasets[Domain.REAL],), Domain.RENDERED)
    with pytest.raises(ValueError, match="no capture conditions, which charmnet learns from"):
        stream_specs(config, {**both, Domain.RENDERED: union}, configured_method(config))
    alone = config.override(["method=idih", "domain=rendered"])
    assert stream_specs(alone, {Domain.RENDERED: union}, configured_method(alone))


@pytest.mark.slow
def test_photographs_are_audited_and_a_cut_run_ends_with_the_same_bits(tmp_path: Path) -> None:
    dataset = write_photographs(Location.of(tmp_path / "real"), photograph_rows(9), 3)
    fields = ("method=toy", "audit=true", "color_jitter=0.5", "real_limit=8")

    def train(name: str, stop_after: int | None = None) -> TrainingLoop:
        config = TrainConfig().override([*FIELDS, *fields])
        RunFolder(Location.of(tmp_path / name)).claim("run", config, {"real": dataset.manifest.digest})
        return run_loop(tmp_path / name, {Domain.REAL: dataset}, *fields, stop_after=stop_after)[0]

    expected = tensors(train("whole"))
    train("cut", stop_after=5)
    resumed = tensors(train("cut"))
    assert all(torch.equal(tensor, expected[name]) for name, tensor in resumed.items())
    for name in ("whole", "cut"):
        report = audit(Location.of(tmp_path / name))
        assert report.holds
        assert (report.domains[0].rows, report.domains[0].samples) == (24, 8)
