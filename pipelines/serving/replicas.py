"""Replicas of a model on Ray Serve, which adds some where requests wait and replaces those that are lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayActorError, RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import LoggingConfig

from charmnet.errors import ClusterError, in_words
from charmnet.methods import HarmonizationMethod
from pipelines.runtime.cluster import ClusterCapacity, assigned_device, connect, disconnect
from pipelines.serving.requests import Answer, Job, Problem
from pipelines.serving.worker import PictureWorker

_NAME = "model"
_TRIES = 2
_GPU_BATCH = 8
_STATUS_SECONDS = 1.0  # for so long an answer about replicas stands
_AT_WORK = 2  # batches that a replica has at hand, so that files are decoded while the network works
_LOST = Problem(
    500, f"the replica was lost {_TRIES} times while it worked on this picture", "server", "a picture that "
    "a decoder survives", "try another picture; the server starts its replicas again by itself",
)  # fmt: skip


@dataclass(frozen=True)
class Capacity:
    """How much is done at a time.

    Attributes:
        min_replicas: replicas that are always there.
        max_replicas: replicas that there are where requests wait.
        pixels: pixels of the pictures that a replica decodes at a time.
        batch: pictures of a batch of the network; None where the device decides: on a CPU, where batches are
            hardly faster, 1, so that results are those of `charmnet harmonize` to the bit.
    """

    min_replicas: int
    max_replicas: int
    pixels: int
    batch: int | None = None


class Replica:
    """A process with the model.

    Args:
        method: reference to the model, in a list so that Ray hands over the reference.
        batch: pictures of a batch.
        pixels: pixels that are decoded at a time.
    """

    def __init__(self, method: list[ray.ObjectRef[HarmonizationMethod]], batch: int, pixels: int) -> None:
        self._worker = PictureWorker(ray.get(method[0]), batch, pixels, assigned_device())
        self._threads = ThreadPoolExecutor(_AT_WORK * batch)

    async def harmonize(self, job: Job) -> Answer | Problem:
        """Return the result, or why there is none."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._worker.harmonize, job)


class Replicas:
    """The replicas, as the front uses them.

    Args:
        handle: of their deployment.
        application: its name.
    """

    def __init__(self, handle: DeploymentHandle[Any], application: str) -> None:
        self._handle = handle
        self._application = application
        self._lock = asyncio.Lock()
        self._counted = (0.0, 0)

    async def harmonize(self, job: Job) -> Answer | Problem:
        """Return the result; a replica that is lost meanwhile has its pictures go to another once."""
        for _ in range(_TRIES):
            with contextlib.suppress(RayActorError):
                answer: Answer | Problem = await self._handle.harmonize.remote(job)
                return answer
        return _LOST

    async def replicas(self) -> int:
        """Return how many are ready, by an answer of the last second."""
        async with self._lock:
            asked, count = self._counted
            if time.monotonic() - asked > _STATUS_SECONDS:
                count = await asyncio.to_thread(_running, self._application)
                self._counted = time.monotonic(), count
            return count


@contextmanager
def serving_replicas(method: HarmonizationMethod, capacity: Capacity) -> Iterator[Replicas]:
    """Have replicas of a model ready inside, on the cluster to join or on a Ray that is started for them.

    Raises:
        ClusterError: Ray or the replicas do not start.
    """
    with _session():
        started = connect()
        name = f"charmnet-{secrets.token_hex(4)}"  # others may serve on the same cluster
        try:
            if started:
                _check_room(capacity)
            handle = _deployed(method, capacity, name)
            try:
                yield Replicas(handle, name)
            finally:
                handle.shutdown()  # its thread would find no Ray and start one
        finally:
            if started:
                disconnect()
            else:
                _remove(name)


def _deployed(method: HarmonizationMethod, capacity: Capacity, name: str) -> DeploymentHandle[Any]:
    """Start an application's replicas, wait until they are ready, and return their handle."""
    gpus = min(ClusterCapacity.current().gpus, 1)
    batch = capacity.batch or (_GPU_BATCH if gpus else 1)
    deployment = serve.deployment(
        name=_NAME,
        max_ongoing_requests=_AT_WORK * batch,
        autoscaling_config={
            "min_replicas": capacity.min_replicas,
            "max_replicas": capacity.max_replicas,
            "target_ongoing_requests": batch,
            "look_back_period_s": 15,
            "upscale_delay_s": 10,
            "downscale_delay_s": 120,
        },
        ray_actor_options={"num_cpus": 1, "num_gpus": gpus},
        graceful_shutdown_wait_loop_s=0.1,  # the front has waited for what was at work
        graceful_shutdown_timeout_s=10,
    )(Replica)
    logging.getLogger("ray.serve").setLevel(logging.WARNING)  # else each step of the start is a line
    quiet = LoggingConfig(log_level="ERROR")
    model = ray.put(method)
    try:
        serve.start(proxy_location="Disabled", logging_config=quiet)  # the front is in this process
        application = deployment.bind([model], batch, capacity.pixels)
        return serve.run(application, name=name, route_prefix=None, logging_config=quiet)
    except (RayServeException, RayError, RuntimeError) as error:
        raise ClusterError(f"the replicas do not start: {in_words(error)}; see Ray's logs") from error


def _remove(application: str) -> None:
    """Remove what was started on a cluster that others use."""
    with contextlib.suppress(RayServeException):  # Serve is not there, or the application
        serve.delete(application)
        if not serve.status().applications:
            serve.shutdown()


@contextmanager
def _session() -> Iterator[None]:
    """Set what a Ray that is started inside reads of the environment, where it is not set.

    Its files, and what is uploaded, lie in a folder that is deleted. Its workers are not niced, as Ray's are
    by default: a request would wait for everything else on the machine.
    """
    with tempfile.TemporaryDirectory(prefix="charmnet-serve-", ignore_cleanup_errors=True) as folder:
        wanted = {"RAY_TMPDIR": folder, "RAY_worker_niceness": "0"}
        inside = {name: value for name, value in wanted.items() if name not in os.environ} | {
            "TMPDIR": folder
        }
        earlier = {name: os.environ.get(name) for name in inside}
        os.environ.update(inside)
        tempfile.tempdir = None  # it is looked up again
        try:
            yield
        finally:
            for name, value in earlier.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
            tempfile.tempdir = None


def _check_room(capacity: Capacity) -> None:
    found = ClusterCapacity.current()
    room = found.gpus or found.cpus
    if capacity.max_replicas > room:
        kind = "GPU" if found.gpus else "CPU"
        raise ClusterError(
            f"--replicas up to {capacity.max_replicas}: each takes a {kind}, and this machine has {room}; "
            "choose fewer, or join a cluster with RAY_ADDRESS"
        )


def _running(application: str) -> int:
    try:
        status = serve.status().applications[application].deployments[_NAME]
    except (KeyError, RayError, RayServeException):
        return 0
    states: dict[Any, int] = dict(status.replica_states)  # by name, whatever the annotation says
    return states.get("RUNNING", 0)
