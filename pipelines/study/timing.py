"""Seconds of an update of each configuration, for an estimate of what a study takes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from charmnet.batch import HarmonizationBatch
from charmnet.errors import in_words
from charmnet.methods import Method, build_method
from charmnet.vocabulary import NUM_CONDITIONS, Domain
from pipelines.config.train_config import TrainConfig
from pipelines.runtime.cluster import assigned_device, map_on_cluster
from pipelines.runtime.console import progress

_TIMED_STEPS = 2
OVERHEAD = 1.3
"""Time of a run in relation to its updates: samples, validation, checkpoints."""


@dataclass(frozen=True)
class TimedUpdate:
    """What an update takes.

    Attributes:
        seconds: of one update; None where it failed.
        problem: why it failed, or empty.
    """

    seconds: float | None
    problem: str = ""


def time_updates(configs: Sequence[TrainConfig], *, gpu: bool) -> list[TimedUpdate]:
    """Measure an update of each configuration on the cluster, each on one CPU or GPU; show progress."""
    measured = []
    with progress("Timing updates", total=len(configs)) as advance:
        for update in map_on_cluster(_timed, configs, gpus_per_task=1 if gpu else 0):
            measured.append(update)
            advance(1)
    return measured


def _timed(config: TrainConfig) -> TimedUpdate:
    """Return what an update takes here, as a value also where it fails."""
    try:
        return TimedUpdate(seconds_per_update(config, assigned_device()))
    except Exception as error:  # noqa: BLE001 - such as too little memory: one row's failure hides no other's
        return TimedUpdate(None, f"{type(error).__name__}: {in_words(error)}")


def seconds_per_update(
    config: TrainConfig, device: torch.device | str = "cpu", steps: int = _TIMED_STEPS
) -> float:
    """Return the seconds of an update of a worker's part of the batch, on random pictures.

    Args:
        config: configuration of the run.
        device: where it is computed; on a CPU on one thread.
        steps: updates that the mean is over, after one that is slower.
    """
    method = build_method(config.method.name, **config.method.model_dump(mode="json"))
    method.configure_updates(config.gradient_accumulation, config.max_gradient_norm)
    method.to(device)
    fewest, _ = config.worker_range
    batches = random_batches(method, max(1, config.batch_size // fewest), device)
    with _one_thread_on_cpu(device):
        method.update(batches)
        _wait_for(device)
        started = time.perf_counter()
        for _ in range(steps):
            method.update(batches)
        _wait_for(device)
        return (time.perf_counter() - started) / steps


def random_batches(
    method: Method, samples: int, device: torch.device | str = "cpu"
) -> dict[Domain, HarmonizationBatch]:
    """Return a batch of noise of each domain that a method is trained on, in float32."""
    dtype = torch.float64 if method.options.precision == "float64" else torch.float32
    image = torch.rand(samples, 3, method.size, method.size, dtype=dtype, device=device)
    mask = (torch.rand(samples, 1, method.size, method.size, device=device) < 0.5).to(dtype)
    style = torch.full((samples, NUM_CONDITIONS), 1 / NUM_CONDITIONS, dtype=dtype, device=device)
    condition = torch.zeros(samples, dtype=torch.int64, device=device)
    labels = {Domain.RENDERED: (style, condition), Domain.REAL: (None, None)}
    return {
        domain: HarmonizationBatch(image, image * 0.9, mask, *labels[domain]) for domain in method.domains
    }


@contextmanager
def _one_thread_on_cpu(device: torch.device | str) -> Iterator[None]:
    """Inside, torch takes one thread where it computes on the CPU that the task has."""
    threads = torch.get_num_threads()
    if torch.device(device).type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _wait_for(device: torch.device | str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
