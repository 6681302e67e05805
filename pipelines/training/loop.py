"""The training loop: what each worker of a Ray Train group runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from charmnet.averaging import WeightAverage
from charmnet.errors import NonFiniteLossError
from charmnet.methods import Method, metric_path
from charmnet.methods.seeding import seed_update
from charmnet.vocabulary import Domain
from pipelines.runs.checkpoints import TrainingState
from pipelines.runs.delivery_log import DeliveryLog
from pipelines.runs.run_folder import RunFolder
from pipelines.runtime.blocks import Block
from pipelines.runtime.retry import retry_storage
from pipelines.tracking import SystemSampler, Tracker
from pipelines.training.build import configured_method, make_validation
from pipelines.training.checkpoint_writer import BestModel, CheckpointWriter
from pipelines.training.gauges import WorkerGauges
from pipelines.training.hangs import DATA, END, OTHER, SAVING, UPDATE, VALIDATION, PhaseClock
from pipelines.training.heartbeat import heartbeat
from pipelines.training.job import TrainingJob
from pipelines.training.metric_window import MetricWindow
from pipelines.training.parallel import make_update, wrap_module
from pipelines.training.replicas import ReplicaCheck, ReplicasDifferError
from pipelines.training.start import begin
from pipelines.training.startup_timer import FIRST_STEP
from pipelines.training.step_trace import step_trace
from pipelines.training.stragglers import RankTimings, StragglerWatch
from pipelines.training.streams import open_streams, to_batch
from pipelines.training.validation import Validation
from pipelines.training.work_time import WorkTime
from pipelines.training.worker import Worker

# How often the workers ask each other whether to stop, which waits for the device and for two actors.
_STOP_CHECK_SECONDS = 1.0
_FIRST_STOP_CHECK_STEPS = 5  # until it is known how long a step takes

Update = Callable[..., dict[str, Tensor]]


def train_worker(loop_config: dict[str, Any]) -> None:
    """Train as a worker of a Ray Train group; `loop_config["job"]` is a `TrainingJob`."""
    job: TrainingJob = loop_config["job"]
    worker = Worker.current()
    torch.set_num_threads(worker.num_threads)
    job.coordinator.mark_phase("workers")
    if job.coordinator.failure() is None:  # else the group before this one found it out
        phases = PhaseClock()
        with heartbeat(worker.rank, phases, job.coordinator):
            loop = build_loop(job, worker)
            loop.phases = phases
            phases.listener = step_trace(job, worker, loop.tracker, loop.step)
            loop.run()


def build_loop(job: TrainingJob, worker: Worker) -> TrainingLoop:
    """Return the loop of a worker, with everything that it needs; all workers of a group call it at once."""
    config = job.config
    method = configured_method(config).to(worker.device)
    average = WeightAverage(method, config.ema_decay) if config.ema_decay else None
    state = TrainingState(method, average, worker.rank)
    start = begin(job, worker, state)
    # The streams start while everything else gets ready.
    streams = open_streams(job, method.domains, worker.rank, worker.num_workers, start.step)
    method.create_optimizers()
    work_time = WorkTime(worker.device) if worker.num_workers > 1 else None
    if work_time or config.compile:
        watch = work_time.watch if work_time else lambda module: module
        method.distribute(lambda module: watch(wrap_module(config.compile, worker.num_workers, module)))
    if worker.num_workers > 1 and config.sync_batch_norm:
        method.normalize_over_workers()
    node_tracker: Tracker = Tracker()
    if job.tracking and worker.local_rank == 0:
        node_tracker = job.tracking.open_for_worker(worker.rank, start.pending, start.step)
    tracker = node_tracker if worker.is_first else Tracker()
    deliveries = DeliveryLog(
        job.run_folder,
        start.attempt,
        worker.rank,
        audited=config.audit,
        quarantine=job.coordinator,
        timeout_seconds=config.storage_timeout_seconds,
    )
    return TrainingLoop(
        job,
        worker,
        state,
        update=make_update(method, worker.device, worker.num_workers),
        streams=streams,
        deliveries=deliveries,
        validation=make_validation(
            method,
            config,
            job.datasets,
            rank=worker.rank,
            num_workers=worker.num_workers,
            notify=job.coordinator.notify,
        ),
        checkpoints=CheckpointWriter(job, worker, state, tracker, _best_so_far(job, worker)),
        tracker=tracker,
        node_tracker=node_tracker,
        step=start.step,
        work_time=work_time,
    )


@dataclass
class TrainingLoop:
    """Steps, validations and checkpoints of one worker.

    Attributes:
        job: job of the run.
        worker: this worker.
        state: networks, optimizers and their average.
        update: makes one step of the method.
        streams: this worker's blocks of every global batch, by domain.
        deliveries: log of the samples that were delivered.
        validation: validation of the method.
        checkpoints: writer of checkpoints and of the best model.
        tracker: tracker of the run on the first worker, else one that records nothing.
        node_tracker: tracker of the node on its first worker, else one that records nothing.
        step: number of finished steps.
        work_time: measures this worker's own time; None where it is alone.
        phases: what the worker is doing.
    """

    job: TrainingJob
    worker: Worker
    state: TrainingState
    update: Update
    streams: Mapping[Domain, Iterator[Block]]
    deliveries: DeliveryLog
    validation: Validation
    checkpoints: CheckpointWriter
    tracker: Tracker
    node_tracker: Tracker
    step: int
    work_time: WorkTime | None = None
    phases: PhaseClock = field(default_factory=PhaseClock)
    window: MetricWindow = field(init=False)
    replicas: ReplicaCheck = field(init=False)
    stragglers: StragglerWatch = field(init=False)
    gauges: WorkerGauges = field(init=False)
    starting: bool = True
    stop_check_steps: int = _FIRST_STOP_CHECK_STEPS  # the same on all workers, who meet for it
    leaving_nodes: frozenset[str] = frozenset()  # for which a checkpoint was saved

    def __post_init__(self) -> None:
        self.window = MetricWindow(self.job.config.batch_size, self.work_time)
        self.stragglers = StragglerWatch()
        self.gauges = WorkerGauges(self.job.run_folder.name, self.worker.rank)
        self.replicas = ReplicaCheck(self.worker, self.method)

    @property
    def method(self) -> Method:
        """The method that is trained."""
        return self.state.method

    def run(self) -> None:
        """Train to the last step, or to where the run is asked to stop."""
        try:
            with SystemSampler(self.node_tracker, f"node-{self.worker.node_rank}"):
                try:
                    self._train()
                except NonFiniteLossError as error:
                    # Known to all workers at once, and starting again would end the same way.
                    self.job.coordinator.fail(str(error))
                except ReplicasDifferError as error:
                    self.job.coordinator.notify(str(error))
                    self.tracker.set_tags({"charmnet.replicas_differ": error})
                    raise
                finally:
                    self.phases.enter(END, self.step)
                    self.checkpoints.wait()
        finally:
            self.node_tracker.close()

    def _train(self) -> None:
        if self._stop_requested():
            return
        self._mark_phase("state")
        if self.step == 0:
            self._begin_curves()
        self.window.restart()
        while self.step < self.job.steps:
            self._make_step()
            if self._finish_step():
                return

    def _begin_curves(self) -> None:
        """Validate the model that the run starts with and show its pictures; it is never the best."""
        if self._validates:
            self._validate()
            self._mark_phase("validation")
        elif self.worker.is_first:
            self._log_samples()

    @property
    def _validates(self) -> bool:
        return bool(self.job.config.validate_splits and self.job.config.validate_every)

    def _make_step(self) -> None:
        self.phases.enter(DATA, self.step)
        started = time.perf_counter()
        blocks = {domain: next(stream) for domain, stream in self.streams.items()}
        self._mark_phase("first batch")
        waited_seconds = time.perf_counter() - started
        self.phases.enter(UPDATE, self.step)
        batches = {
            domain: to_batch(block, self.worker.device, self.method.requirements)
            for domain, block in blocks.items()
        }
        self.method.scale_learning_rates(self.job.plan.schedule.factor(self.step))
        samples = len(next(iter(batches.values())))
        gradient_weight = samples * self.worker.num_workers / self.job.config.batch_size
        seed_update(self.job.config.seed, self.step, self.worker.rank)
        metrics = self.update(batches, gradient_weight)
        if self.state.average is not None:
            self.state.average.update(self.step)
        self._mark_phase(FIRST_STEP)
        self.step += 1
        self.deliveries.add(self.step, blocks)
        sample_ids = [str(sample_id) for block in blocks.values() for sample_id in block["id"]]
        self.window.add(metrics, sample_ids, waited_seconds, gradient_weight)

    def _mark_phase(self, phase: str) -> None:
        """Report how far the start of the run has come."""
        if self.worker.is_first and self.starting:
            self.job.coordinator.mark_phase(phase)
            self.starting = phase != FIRST_STEP

    def _finish_step(self) -> bool:
        """Log, validate and save as is due after a step; return True where the run is to stop early."""
        config = self.job.config
        last = self.step == self.job.steps
        checking = not last and self.step % self.stop_check_steps == 0
        stopping = checking and self._stop_requested()
        validating = self._validates and not stopping and (last or self._due(config.validate_every))
        leaving = checking and self._node_is_leaving()
        saving = stopping or leaving or last or self._due(config.checkpoint_every)
        if validating or saving or self._due(config.log_every):
            self._log_window()
            if self.replicas.is_due or saving:
                self.replicas.check(self.step)
        self.phases.enter(OTHER, self.step)
        if validating or saving:
            self.method.synchronize_statistics()
            if self.state.average is not None:
                self.state.average.synchronize_statistics()
            scores = self._validate() if validating else {}
            if saving:
                self.deliveries.flush()
            self.phases.enter(SAVING, self.step)
            self.checkpoints.save(self.step, self._metadata(scores), scores, register=saving)
            self.window.restart()
        return stopping

    def _due(self, every: int) -> bool:
        return every > 0 and self.step % every == 0

    def _stop_requested(self) -> bool:
        return self.worker.any_of_group(self.worker.is_first and self.job.coordinator.stop_requested())

    def _node_is_leaving(self) -> bool:
        """Return True, once for each, where a worker's node was drained or is to be preempted."""
        nodes = self.worker.preempted_nodes()
        new = nodes - self.leaving_nodes
        self.leaving_nodes = nodes
        return bool(new)

    def _log_window(self) -> None:
        means = self.window.close(self.step)
        throughput = {name: means.pop(name) for name in ("pairs_per_second", "data_wait_fraction") if means}
        if throughput:
            steps_per_second = throughput["pairs_per_second"] / self.job.config.batch_size
            self.stop_check_steps = max(1, round(_STOP_CHECK_SECONDS * steps_per_second))
        metrics = {metric_path(name): value for name, value in means.items()}
        metrics |= {f"throughput/{name}": value for name, value in throughput.items()}
        metrics["optim/lr"] = max(self.method.learning_rates.values())
        if self.worker.is_first:
            quarantined = self.job.coordinator.quarantined_counts()
            metrics |= {f"data/quarantined/{domain}": float(count) for domain, count in quarantined.items()}
        if self.window.timings is not None and throughput:
            metrics |= self._take_timings(self.window.timings)
        self.tracker.log_metrics(metrics, self.step)
        if self.worker.is_first and throughput:
            status = (
                f"loss {means['total']:.3f}  {throughput['pairs_per_second']:.1f} pairs/s  "
                f"data wait {throughput['data_wait_fraction']:.0%}"
            )
            self.job.coordinator.report_step(self.step, status)

    def _take_timings(self, timings: RankTimings) -> dict[str, float]:
        """Count and show the workers' times, name one that the others wait for; return the metrics."""
        self.replicas.add_seconds(timings.seconds)
        self.gauges.show(timings)
        if (message := self.stragglers.add(timings)) and self.worker.is_first:
            self.job.coordinator.notify(f"step {self.step}: {message}")
            self.tracker.set_tags({"charmnet.straggler": f"step {self.step}: {message}"})
        return timings.metrics()

    def _validate(self) -> dict[str, float]:
        """Return the scores of the model that is saved and applied: the average where there is one."""
        self.phases.enter(VALIDATION, self.step)
        with self.state.average.applied() if self.state.average else nullcontext():
            scores = self.validation.score(self.worker.device)
            self.tracker.log_metrics(scores, self.step)
            if self.worker.is_first:
                self._log_samples()
        return scores

    def _log_samples(self) -> None:
        for key, grid in self.validation.grids(self.worker.device).items():
            self.tracker.log_image(grid, key, self.step)

    def _metadata(self, scores: dict[str, float]) -> dict[str, Any]:
        config = self.job.config
        seen = self.step * config.batch_size
        return {
            "step": self.step,
            "attempt": self.deliveries.attempt,
            "epochs": {name: seen / spec.plan.num_samples for name, spec in self.job.specs.items()},
            "seed": config.seed,
            "run_key": self.job.run_key,
            "mlflow_run_id": self.tracker.run_id,
            "workers": self.worker.num_workers,
            "metrics": scores,
            "config": config.to_json(),
        }


def _best_so_far(job: TrainingJob, worker: Worker) -> BestModel | None:
    if not worker.is_first:
        return None
    folder = RunFolder(job.run_folder)
    timeout_seconds = job.config.storage_timeout_seconds
    best = retry_storage(folder.best, timeout_seconds, job.coordinator.notify)
    return BestModel(best["step"], best["metric"], best["value"]) if best else None
