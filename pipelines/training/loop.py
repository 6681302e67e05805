"""The training loop: what each worker of a Ray Train group runs."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import ray
import ray.train
import ray.train.collective
import ray.train.torch
import torch
from torch.nn.parallel import DistributedDataParallel

from charmnet.batch import HarmonizationBatch
from charmnet.errors import NonFiniteLossError
from charmnet.losses import mean_over_workers
from charmnet.methods import metric_path
from charmnet.vocabulary import Domain
from charmnet.weights import load_into, save_checkpoint
from pipelines.ingest.window import Block
from pipelines.models import load_model
from pipelines.scoring import metric_name
from pipelines.tracking import NullTracker, SystemSampler, Tracker
from pipelines.training.attempts import begin_attempt
from pipelines.training.deliveries import DeliveryLog
from pipelines.training.job import TrainingJob, method_of
from pipelines.training.metric_window import MetricWindow
from pipelines.training.run_folder import RunFolder
from pipelines.training.schedule import learning_rate_factor
from pipelines.training.validation import Validation

_STOP_CHECK_STEPS = 5  # how often the workers ask each other whether to stop: it waits for the device
_SPOOL_FILE = "tracker-spool.bin"


def train_worker(loop_config: dict[str, Any]) -> None:
    """Entry point of a Ray Train worker; `loop_config["job"]` is a `TrainingJob`."""
    workers_here = ray.train.get_context().get_local_world_size()
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // workers_here))
    job: TrainingJob = loop_config["job"]
    if ray.get(job.control.failure.remote()) is None:  # else the group before this one found it out
        _TrainingLoop(job).run()


class _TrainingLoop:
    def __init__(self, job: TrainingJob) -> None:
        context = ray.train.get_context()
        self.job, self.config = job, job.config
        self.rank, self.num_workers = context.get_world_rank(), context.get_world_size()
        self.device = ray.train.torch.get_device()
        self.method = method_of(job.config).to(self.device)
        self.step = 0
        pending, parent = self._restore()
        self.deliveries = self._open_log(parent)
        if self.num_workers > 1:
            self.method.distribute(partial(DistributedDataParallel, forward_sync_buffers=False))
        self.node_tracker: Tracker = NullTracker()  # of the first worker of every node
        if job.tracking and context.get_local_rank() == 0:
            self.node_tracker = job.tracking.open_for_worker(self.rank, pending, self.step)
        self.tracker = self.node_tracker if self.rank == 0 else NullTracker()
        self.validation = Validation.of(job.config, job.datasets, self.rank, self.num_workers)
        self.window = MetricWindow(job.config.batch_size)

    def run(self) -> None:
        node = f"node-{ray.train.get_context().get_node_rank()}"
        try:
            with SystemSampler(self.node_tracker, node):
                self._train()
        except NonFiniteLossError as error:
            # Known to all workers at once, and starting again would end the same way: tell and return.
            ray.get(self.job.control.fail.remote(str(error)))
        finally:
            self.node_tracker.close()

    def _train(self) -> None:
        streams = {
            domain: ray.train.get_dataset_shard(domain.value).steps(self.step, self.job.steps)
            for domain in sorted(self.method.domains)
        }
        if self._stop_requested():
            return
        if self.rank == 0 and self.step == 0:
            self._log_samples()  # the pages begin their sliders at step 0
        self.window.restart()
        while self.step < self.job.steps:
            self._update(streams)
            if self._finish_step():
                return

    def _update(self, streams: dict[Domain, Iterator[Block]]) -> None:
        started = time.perf_counter()
        blocks = {domain: next(stream) for domain, stream in streams.items()}
        waited_seconds = time.perf_counter() - started
        batches = {domain: to_batch(block, self.device) for domain, block in blocks.items()}
        self.method.scale_learning_rates(
            learning_rate_factor(self.config.schedule, self.step, self.job.steps)
        )
        share = len(next(iter(batches.values()))) * self.num_workers / self.config.batch_size
        metrics = self.method.update(batches, share)
        self.step += 1
        self.deliveries.add(self.step, blocks)
        sample_ids = [str(sample_id) for block in blocks.values() for sample_id in block["id"]]
        self.window.add(metrics, sample_ids, waited_seconds, share)

    def _finish_step(self) -> bool:
        """Logs, validates and saves as is due after a step; True where the run is to stop early."""
        last = self.step == self.job.steps
        stopping = not last and self.step % _STOP_CHECK_STEPS == 0 and self._stop_requested()
        validating = (
            bool(self.validation.splits and self.config.validate_every)
            and not stopping
            and (last or self._due(self.config.validate_every))
        )
        saving = stopping or last or self._due(self.config.checkpoint_every)
        if validating or saving or self._due(self.config.log_every):
            self._log_window()
        if validating or saving:
            self.method.synchronize_statistics()
            scores = self._validate() if validating else {}
            if saving:
                self._save(scores)
            self.window.restart()
        return stopping

    def _due(self, every: int) -> bool:
        return every > 0 and self.step % every == 0

    def _stop_requested(self) -> bool:
        asked = float(ray.get(self.job.control.stop_requested.remote())) if self.rank == 0 else 0.0
        return bool(mean_over_workers(torch.tensor(asked, device=self.device)).item() > 0)

    def _log_window(self) -> None:
        means = self.window.close(self.step)
        throughput = {name: means.pop(name) for name in ("pairs_per_second", "data_wait_fraction") if means}
        metrics = {metric_path(name): value for name, value in means.items()}
        metrics |= {f"throughput/{name}": value for name, value in throughput.items()}
        metrics["optim/lr"] = max(self.method.learning_rates.values())
        if self.rank == 0:
            quarantined = ray.get(self.job.control.quarantined_counts.remote())
            metrics |= {f"data/quarantined/{domain}": float(count) for domain, count in quarantined.items()}
        self.tracker.log_metrics(metrics, self.step)
        if self.rank == 0 and throughput:
            news = (
                f"loss {means['total']:.3f}  {throughput['pairs_per_second']:.1f} pairs/s  "
                f"data wait {throughput['data_wait_fraction']:.0%}"
            )
            self.job.control.tell.remote(self.step, news)

    def _validate(self) -> dict[str, float]:
        scores = self.validation.score(self.method, self.device)
        self.tracker.log_metrics(scores, self.step)
        if self.rank == 0:
            self._log_samples()
            self._keep_best(scores)
        return scores

    def _log_samples(self) -> None:
        for key, grid in self.validation.grids(self.method, self.device).items():
            self.tracker.log_image(grid, key, self.step)

    def _keep_best(self, scores: dict[str, float]) -> None:
        """Stores the model where it is better than the best so far, by the first validation split."""
        metric = f"eval/{metric_name(self.validation.splits[0])}/{self.config.best_metric}"
        if metric not in scores:
            return
        folder = RunFolder(self.job.run_folder)
        best = folder.best()
        sign = -1.0 if self.config.best_metric == "psnr" else 1.0
        if best is None or sign * scores[metric] < sign * best["value"]:
            with tempfile.TemporaryDirectory() as temporary:
                save_checkpoint(Path(temporary), self.method, self._metadata())
                folder.save_best(Path(temporary), self.step, metric, scores[metric])

    def _metadata(self) -> dict[str, Any]:
        seen = self.step * self.config.batch_size
        return {
            "step": self.step,
            "attempt": self.deliveries.attempt,
            "epochs": {
                domain.value: seen / ray.train.get_dataset_shard(domain.value).samples_per_epoch
                for domain in sorted(self.method.domains)
            },
            "seed": self.config.seed,
            "run_key": self.job.run_key,
            "mlflow_run_id": self.tracker.run_id,
            "workers": self.num_workers,
            "config": self.config.to_json(),
        }

    def _save(self, scores: dict[str, float]) -> None:
        """Registers a checkpoint with Ray Train, which uploads it to the run's folder; all workers meet."""
        name = f"checkpoint-{self.step:09d}"
        self.deliveries.flush()
        with tempfile.TemporaryDirectory() as temporary:
            checkpoint = None
            if self.rank == 0:
                save_checkpoint(Path(temporary), self.method, self._metadata())
                (Path(temporary) / _SPOOL_FILE).write_bytes(self.tracker.pending())
                checkpoint = ray.train.Checkpoint.from_directory(temporary)
            ray.train.report({"step": self.step, **scores}, checkpoint, checkpoint_dir_name=name)
        self.tracker.log_checkpoint(f"{self.job.run_folder}/{name}", self.step, scores)

    def _restore(self) -> tuple[bytes | None, int | None]:
        """Goes on from the run's last checkpoint or starts from `init`.

        Returns:
            The tracker's unsent part and the attempt that saved the checkpoint.
        """
        checkpoint = ray.train.get_checkpoint()
        if checkpoint is None:
            if self.config.init:
                tracking_uri = self.job.tracking.tracking_uri if self.job.tracking else None
                self.method.warm_start(load_model(self.config.init, tracking_uri))
            return None, None
        with checkpoint.as_directory() as folder:
            metadata = load_into(Path(folder), self.method)
            self.step = metadata["step"]
            return (Path(folder) / _SPOOL_FILE).read_bytes(), metadata.get("attempt")

    def _open_log(self, parent: int | None) -> DeliveryLog:
        """The log of this worker's deliveries, in an attempt of the group's own."""
        attempt = begin_attempt(self.job, self.step, parent, self.num_workers) if self.rank == 0 else None
        number: int = ray.train.collective.broadcast_from_rank_zero(attempt)
        return DeliveryLog.of(self.job, number, self.rank)


def to_batch(block: Block, device: torch.device) -> HarmonizationBatch:
    """A worker's share of a global batch as float tensors on its device."""
    names = ("composite", "ground_truth", "foreground_mask", "composite_style", "ground_truth_style")
    tensors = {name: torch.from_numpy(block[name]) for name in names if name in block}
    return HarmonizationBatch.from_uint8(**tensors, device=device)
