"""The training loop: what each worker of a Ray Train group runs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import ray
import ray.train
import ray.train.collective
import ray.train.torch
import torch
import torch.distributed as dist

from charmnet.errors import NonFiniteLossError, WeightsError
from charmnet.losses import mean_over_workers
from charmnet.methods import metric_path
from charmnet.weights import Snapshot, snapshot
from pipelines.evaluation.report import metric_name
from pipelines.runs.attempts import begin_attempt
from pipelines.runs.checkpoints import (
    Restored,
    Uploader,
    checkpoint_name,
    collect_checkpoints,
    register_checkpoint,
    restore,
    restore_newest,
)
from pipelines.runs.delivery_log import DeliveryLog
from pipelines.runs.models import load_model
from pipelines.runs.run_folder import RunFolder
from pipelines.runtime.retry import retry_storage
from pipelines.tracking import SystemSampler, Tracker
from pipelines.training.build import method_of
from pipelines.training.job import TrainingJob
from pipelines.training.metric_window import MetricWindow
from pipelines.training.parallel import make_update, wrap_module
from pipelines.training.schedule import learning_rate_factor
from pipelines.training.startup_timer import FIRST_STEP
from pipelines.training.streams import open_streams, to_batch
from pipelines.training.validation import Validation

# How often the workers ask each other whether to stop, which waits for the device and for two actors.
_STOP_CHECK_SECONDS = 1.0
_FIRST_STOP_CHECK_STEPS = 5  # until it is known how long a step takes

T = TypeVar("T")


def train_worker(loop_config: dict[str, Any]) -> None:
    """Entry point of a Ray Train worker; `loop_config["job"]` is a `TrainingJob`."""
    workers_here = ray.train.get_context().get_local_world_size()
    torch.set_num_threads(threads_of_worker(ray.train.torch.get_device(), workers_here))
    job: TrainingJob = loop_config["job"]
    job.coordinator.mark_phase("workers")
    if job.coordinator.failure() is None:  # else the group before this one found it out
        _TrainingLoop(job).run()


def threads_of_worker(device: torch.device, workers_here: int) -> int:
    """Torch's: a worker's share of the machine's cores where it computes on them.

    Beside a GPU it copies batches and no more: threads that wait for the next copy, spinning, would take the
    cores from the readers.
    """
    return 1 if device.type == "cuda" else max(1, len(os.sched_getaffinity(0)) // workers_here)


class _TrainingLoop:
    def __init__(self, job: TrainingJob) -> None:
        context = ray.train.get_context()
        self.job, self.config = job, job.config
        self.rank, self.num_workers = context.get_world_rank(), context.get_world_size()
        self.device = ray.train.torch.get_device()
        self.method = method_of(job.config).to(self.device)
        self.step, self.starting = 0, True
        self.stop_check_steps = _FIRST_STOP_CHECK_STEPS  # the same on all workers, who meet for it
        self.notify = job.coordinator.notify
        self.uploader = Uploader()
        self.state: Snapshot | None = None  # what was last given to it
        restored, self.deliveries = self._begin()
        # They start while all else gets ready.
        self.streams = open_streams(job, self.method.domains, self.rank, self.num_workers, self.step)
        _ = self.method.optimizers  # which torch takes its time to make
        if self.num_workers > 1 or job.config.compile:
            self.method.distribute(partial(wrap_module, job.config.compile, self.num_workers))
        if self.num_workers > 1 and job.config.sync_batch_norm:
            self.method.normalize_over_workers()
        self.update = make_update(self.method, self.device, self.num_workers)
        self.node_tracker = Tracker()  # of the first worker of every node
        if job.tracking and context.get_local_rank() == 0:
            self.node_tracker = job.tracking.open_for_worker(
                self.rank, restored.pending if restored else None, self.step
            )
        self.tracker = self.node_tracker if self.rank == 0 else Tracker()
        self.validation = Validation.of(
            job.config, job.datasets, self.rank, self.num_workers, notify=self.notify
        )
        self.best = self._retry_storage(RunFolder(job.run_folder).best) if self.rank == 0 else None
        self.draining: list[str] = []  # nodes that go, for which a checkpoint was saved
        self.window = MetricWindow(job.config.batch_size)

    def run(self) -> None:
        node = f"node-{ray.train.get_context().get_node_rank()}"
        try:
            with SystemSampler(self.node_tracker, node):
                try:
                    self._train()
                except NonFiniteLossError as error:
                    # Known to all workers at once, and starting again would end the same way.
                    self.job.coordinator.fail(str(error))
                finally:
                    self.uploader.wait()
        finally:
            self.node_tracker.close()

    def _train(self) -> None:
        if self._stop_requested():
            return
        self._mark_phase("state")
        if self.rank == 0 and self.step == 0:
            self._log_samples()  # the pages begin their sliders at step 0
        self.window.restart()
        while self.step < self.job.steps:
            self._update()
            if self._finish_step():
                return

    def _update(self) -> None:
        started = time.perf_counter()
        blocks = {domain: next(stream) for domain, stream in self.streams.items()}
        self._mark_phase("first batch")
        waited_seconds = time.perf_counter() - started
        batches = {domain: to_batch(block, self.device) for domain, block in blocks.items()}
        self.method.scale_learning_rates(
            learning_rate_factor(self.config.schedule, self.step, self.job.steps)
        )
        share = len(next(iter(batches.values()))) * self.num_workers / self.config.batch_size
        metrics = self.update(batches, share)
        self._mark_phase(FIRST_STEP)
        self.step += 1
        self.deliveries.add(self.step, blocks)
        sample_ids = [str(sample_id) for block in blocks.values() for sample_id in block["id"]]
        self.window.add(metrics, sample_ids, waited_seconds, share)

    def _mark_phase(self, phase: str) -> None:
        """Tells how far the run's start has come."""
        if self.rank == 0 and self.starting:
            self.job.coordinator.mark_phase(phase)
            self.starting = phase != FIRST_STEP

    def _finish_step(self) -> bool:
        """Logs, validates and saves as is due after a step; True where the run is to stop early."""
        last = self.step == self.job.steps
        looking = not last and self.step % self.stop_check_steps == 0
        stopping = looking and self._stop_requested()
        validating = (
            bool(self.validation.splits and self.config.validate_every)
            and not stopping
            and (last or self._due(self.config.validate_every))
        )
        leaving = looking and self._node_is_leaving()
        saving = stopping or leaving or last or self._due(self.config.checkpoint_every)
        if validating or saving or self._due(self.config.log_every):
            self._log_window()
        if validating or saving:
            self.method.synchronize_statistics()
            scores = self._validate() if validating else {}
            self._store(scores, self._new_best(scores), saving)
            self.window.restart()
        return stopping

    def _due(self, every: int) -> bool:
        return every > 0 and self.step % every == 0

    def _stop_requested(self) -> bool:
        asked = float(self.job.coordinator.stop_requested()) if self.rank == 0 else 0.0
        return bool(mean_over_workers(torch.tensor(asked, device=self.device)).item() > 0)

    def _node_is_leaving(self) -> bool:
        """Whether a worker's node was given notice (a drained or preempted one); true once for each."""
        notice = ray.train.get_preemption_info()  # all workers meet
        nodes = notice.preempted_node_ids if notice else []
        news, self.draining = set(nodes) - set(self.draining), nodes
        return bool(news)

    def _log_window(self) -> None:
        means = self.window.close(self.step)
        throughput = {name: means.pop(name) for name in ("pairs_per_second", "data_wait_fraction") if means}
        if throughput:
            steps_per_second = throughput["pairs_per_second"] / self.config.batch_size
            self.stop_check_steps = max(1, round(_STOP_CHECK_SECONDS * steps_per_second))
        metrics = {metric_path(name): value for name, value in means.items()}
        metrics |= {f"throughput/{name}": value for name, value in throughput.items()}
        metrics["optim/lr"] = max(self.method.learning_rates.values())
        if self.rank == 0:
            quarantined = self.job.coordinator.quarantined_counts()
            metrics |= {f"data/quarantined/{domain}": float(count) for domain, count in quarantined.items()}
        self.tracker.log_metrics(metrics, self.step)
        if self.rank == 0 and throughput:
            status = (
                f"loss {means['total']:.3f}  {throughput['pairs_per_second']:.1f} pairs/s  "
                f"data wait {throughput['data_wait_fraction']:.0%}"
            )
            self.job.coordinator.report_step(self.step, status)

    def _validate(self) -> dict[str, float]:
        scores = self.validation.score(self.method, self.device)
        self.tracker.log_metrics(scores, self.step)
        if self.rank == 0:
            self._log_samples()
        return scores

    def _log_samples(self) -> None:
        for key, grid in self.validation.grids(self.method, self.device).items():
            self.tracker.log_image(grid, key, self.step)

    def _new_best(self, scores: dict[str, float]) -> dict[str, Any] | None:
        """What is noted of the model if it is better than the best so far, by the first validation split."""
        metric = f"eval/{metric_name((*self.validation.splits, '')[0])}/{self.config.best_metric}"
        if self.rank > 0 or metric not in scores:
            return None
        sign = -1.0 if self.config.best_metric == "psnr" else 1.0
        if self.best is not None and sign * scores[metric] >= sign * self.best["value"]:
            return None
        self.best = {"step": self.step, "metric": metric, "value": scores[metric]}
        return self.best

    def _metadata(self, scores: dict[str, float]) -> dict[str, Any]:
        seen = self.step * self.config.batch_size
        return {
            "step": self.step,
            "attempt": self.deliveries.attempt,
            "epochs": {
                domain.value: seen / self.job.specs[domain.value].plan.num_samples
                for domain in sorted(self.method.domains)
            },
            "seed": self.config.seed,
            "run_key": self.job.run_key,
            "mlflow_run_id": self.tracker.run_id,
            "workers": self.num_workers,
            "metrics": scores,
            "config": self.config.to_json(),
        }

    def _store(self, scores: dict[str, float], best: dict[str, Any] | None, saving: bool) -> None:
        """Has the state as it is now written while training goes on; for a checkpoint all workers meet."""
        started = time.perf_counter()
        if saving:
            self.deliveries.flush()
            if self.num_workers > 1:
                dist.barrier()  # none is registered before every worker's log is written
        if self.rank == 0 and (saving or best):
            self.uploader.wait()  # for the copy's memory
            self.state = snapshot(self.method, self._metadata(scores), into=self.state)
            register = partial(self._register, self.state, self.tracker.pending(), self.step, scores)
            self.uploader.submit(partial(self._upload, self.state, register if saving else None, best))
        seconds = time.perf_counter() - started
        self.tracker.log_metrics({"throughput/checkpoint_seconds": seconds}, self.step)

    def _upload(
        self, state: Snapshot, register: Callable[[], None] | None, best: dict[str, Any] | None
    ) -> None:
        """What the uploader does with a state: a checkpoint is the more urgent."""
        if register is not None:
            register()
        if best is not None:
            self._retry_storage(partial(RunFolder(self.job.run_folder).save_best, state, **best))

    def _register(self, state: Snapshot, pending: bytes, step: int, scores: dict[str, float]) -> None:
        run_folder, name = self.job.run_folder, checkpoint_name(step)
        self._retry_storage(partial(register_checkpoint, run_folder, name, state, pending))
        self.tracker.log_checkpoint(f"{run_folder}/{name}", step, scores)
        kept = self._retry_storage(
            partial(collect_checkpoints, run_folder, name, self.config.keep_checkpoints)
        )
        self.tracker.log_kept_checkpoints([f"{run_folder}/{name}" for name in kept], step)

    def _begin(self) -> tuple[Restored | None, DeliveryLog]:
        """Goes on from the checkpoint that the first worker finds, or from `init`; a new attempt."""
        restored, attempt = self._begin_attempt() if self.rank == 0 else (None, None)
        chosen = (restored.name if restored else None, attempt)
        name, number = ray.train.collective.broadcast_from_rank_zero(chosen)
        if self.rank > 0 and name:
            restored = self._retry_storage(partial(restore, self.job.run_folder, name, self.method))
        if restored:
            self.step = restored.metadata["step"]
        elif self.config.init:
            tracking_uri = self.job.tracking.tracking_uri if self.job.tracking else None
            init = self._retry_storage(partial(load_model, self.config.init, tracking_uri))
            self.method.warm_start(init)
        deliveries = DeliveryLog(
            self.job.run_folder,
            number,
            self.rank,
            audited=self.config.audit,
            quarantine=self.job.coordinator,
            timeout_seconds=self.config.storage_timeout_seconds,
        )
        return restored, deliveries

    def _begin_attempt(self) -> tuple[Restored | None, int]:
        """What the first worker does before the others: finds the checkpoint, tidies up, takes a number.

        Raises:
            WeightsError: there are checkpoints and none is whole, which starting again would not mend.
        """
        folder, keep = self.job.run_folder, self.config.keep_checkpoints
        try:
            restored = self._retry_storage(partial(restore_newest, folder, self.method, self.notify))
        except WeightsError as error:
            self.job.coordinator.fail(str(error))
            raise
        self._retry_storage(partial(collect_checkpoints, folder, restored.name if restored else None, keep))
        step, parent = (
            (restored.metadata["step"], restored.metadata.get("attempt")) if restored else (0, None)
        )
        attempt = self._retry_storage(
            partial(
                begin_attempt,
                folder,
                step,
                parent=parent,
                workers=self.num_workers,
                audited=self.config.audit,
                datasets=self.job.datasets,
            )
        )
        return restored, attempt.number

    def _retry_storage(self, action: Callable[[], T]) -> T:
        return retry_storage(action, self.config.storage_timeout_seconds, self.notify)
