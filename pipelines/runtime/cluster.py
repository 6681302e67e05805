"""Connection to Ray, and mapping a function over a cluster."""

from __future__ import annotations

import json
import logging
import os
import secrets
import shlex
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from charmnet.errors import ClusterError, in_words
from pipelines.runtime.ports import free_ports
from pipelines.runtime.ray_address import check_reachable
from pipelines.runtime.ray_processes import OwnRay, signals_kept

if TYPE_CHECKING:
    import torch
    from ray import ObjectRef

T = TypeVar("T")
R = TypeVar("R")

ADDRESS_VARIABLE = "RAY_ADDRESS"
LOCAL = "local"
_REACH_SECONDS = 10.0
_TASKS_PER_CPU = 4  # submitted at a time, so that a CPU that is free finds the next
_FEWEST_TASKS = 64  # submitted at a time: an autoscaler adds nodes for tasks that wait

_SETTINGS = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # the future default; silences its announcement
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_task_events_max_num_task_in_gcs": "10000",  # finished tasks that Ray remembers; by default 100,000
    "THP_MEM_ALLOC_ENABLE": "1",  # torch asks for huge pages: a step on CPUs touches a gigabyte of new memory
}
_QUIET: dict[str, Any] = {"logging_level": logging.WARNING, "log_to_driver": False}
_QUIET_LOGGERS = {
    "ray.data._internal.progress": logging.ERROR,  # that progress bars are off
    "ray.data._internal.execution.streaming_executor": logging.WARNING,  # every execution's end
}
_own_ray: OwnRay | None = None


def prepare_environment() -> None:
    """Set the environment variables that Ray and torch read when they are first used; what is set stands.

    A Ray that is started on this machine gets a token: its control port is open on every interface, and only
    a process that has the token may use it. Where Ray is imported already it is made to read them again; a
    process that is connected to Ray, such as one of its workers, is left as it is.
    """
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        return
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    if cluster_address() == LOCAL and "RAY_AUTH_MODE" not in os.environ:
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
        if ray is not None:
            from ray._raylet import Config  # type: ignore[attr-defined]  # compiled

            Config.initialize("")  # replaces what it read of the environment when it was imported


def connect() -> bool:
    """Join the cluster that `RAY_ADDRESS` names (in a Ray job it is set), else start Ray on this machine.

    Does nothing where the process is connected already. Ray Data's own progress bars and log lines are turned
    off: commands show progress with `pipelines.runtime.console`.

    Returns:
        Whether Ray was started on this machine by this call, so that no other process uses it.

    Raises:
        ClusterError: no cluster answers there, or Ray did not start here.
    """
    prepare_environment()
    import ray
    from ray.exceptions import RayError

    starting = not ray.is_initialized() and cluster_address() == LOCAL
    if starting:
        start_here()
    elif not ray.is_initialized():
        # Workers' lines stay in Ray's own logs: what a person needs to know comes by progress and exceptions.
        try:
            check_reachable(cluster_address(), _REACH_SECONDS)
            with signals_kept():
                ray.init(address=cluster_address(), **_QUIET)
        except (OSError, RuntimeError, RayError) as error:  # ConnectionError is an OSError
            raise _no_cluster(error) from error
    if find_spec("pyarrow") is not None:  # Ray Data needs it, the extra `serve` does not
        _quiet_data()
    return starting


def _quiet_data() -> None:
    """Turn off Ray Data's own progress bars and log lines."""
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for name, level in _QUIET_LOGGERS.items():
        logging.getLogger(name).setLevel(level)


def check_cluster() -> None:
    """Check that the cluster that `RAY_ADDRESS` names answers; join none.

    Raises:
        ClusterError: no cluster answers there.
    """
    try:
        check_reachable(cluster_address(), _REACH_SECONDS)
    except OSError as error:
        raise _no_cluster(error) from error


def _no_cluster(error: Exception) -> ClusterError:
    return ClusterError(
        f"{ADDRESS_VARIABLE}={cluster_address()}: no Ray cluster to join ({in_words(error)}); "
        f"see that its head runs and can be reached; without {ADDRESS_VARIABLE} this machine is used"
    )


def start_here(**options: Any) -> None:
    """Start a Ray on this machine that ends with this process, and tell its workers its address.

    Ray's state API uses RAY_ADDRESS, and without it the last `ray start` on the machine. If that is another
    cluster, Ray Train takes its own controller for dead: it removes the run's workers, or waits 12 s for an
    answer at the end.

    Args:
        options: of `ray.init`.

    Raises:
        ClusterError: Ray did not start.
    """
    global _own_ray  # noqa: PLW0603 - a process has one Ray
    prepare_environment()
    import ray

    port = free_port()
    own = OwnRay()
    variables = {
        "RAY_GCS_SERVER_PORT": str(port),
        ADDRESS_VARIABLE: f"{ray.util.get_node_ip_address()}:{port}",
        "BASH_ENV": "",  # Ray starts its workers by a shell, which would read this file
        **own.variables,
    }
    earlier_values = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)  # Ray's processes inherit it
    try:
        with own.starting():
            ray.init(address=LOCAL, **{**_QUIET, **_quoted_interpreter(), **options})
    except BaseException as error:
        own.end(keep_files=isinstance(error, Exception))
        if not isinstance(error, Exception):
            raise
        raise ClusterError(
            f"Ray did not start on this machine ({in_words(error)}); {_advice(error)}; what Ray's processes "
            f"said is in {own.folder}/ray/session_*/logs"
        ) from error
    finally:
        for name, value in earlier_values.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    _own_ray = own


def disconnect() -> None:
    """Leave the cluster; a Ray that this process started ends with all its processes.

    `ray.shutdown` alone would end the one that the others are children of, and leave some of these.
    """
    global _own_ray  # noqa: PLW0603
    import ray

    if _own_ray is not None:
        _own_ray.end()
        _own_ray = None
    else:
        ray.shutdown()


def _quoted_interpreter() -> dict[str, Any]:
    """Return the option of `ray.init` for a path with blanks, which the shell of its workers would split."""
    quoted = shlex.quote(sys.executable)
    return {} if quoted == sys.executable else {"runtime_env": {"py_executable": quoted}}


def _advice(error: Exception) -> str:
    """Return what to do about a Ray that did not start."""
    if isinstance(error, OSError):
        return "see to this and run the command again"
    return "a machine too busy, or without memory or disk left, is the usual cause: run the command again"


def free_port() -> int:
    """Return a free port for a server of Ray; never the one that its dashboard agent takes."""
    from ray._private.ray_constants import DEFAULT_DASHBOARD_AGENT_LISTEN_PORT

    while True:
        (port,) = free_ports([0])
        if port != DEFAULT_DASHBOARD_AGENT_LISTEN_PORT:
            return port


@dataclass(frozen=True)
class ClusterCapacity:
    """CPUs and GPUs of the cluster that this process is connected to."""

    cpus: int
    gpus: int

    @classmethod
    def current(cls) -> ClusterCapacity:
        """Ask Ray for the nodes that are there now."""
        import ray

        resources = ray.cluster_resources()
        return cls(int(resources.get("CPU", 0)), int(resources.get("GPU", 0)))

    def actor_count(self, requested: int | None, work_items: int) -> int:
        """Return how many actors with a model share some work: by default one a GPU, else one a CPU."""
        return min(requested or self.gpus or self.cpus, work_items)


def works_in_process(small: bool) -> bool:
    """Tell whether small work is done in this process: where it is on no cluster, and none is named."""
    ray = sys.modules.get("ray")
    return small and cluster_address() == LOCAL and not (ray is not None and ray.is_initialized())


def map_on_cluster(
    function: Callable[[T], R], items: Sequence[T], *, gpus_per_task: float = 0, small: bool = False
) -> Iterator[R]:
    """Call a function once for each item, each in a Ray task; yield the results in the order of the items.

    A task takes one CPU. Some `_TASKS_PER_CPU` tasks per CPU are submitted at a time. A task whose worker or
    node is lost runs again, as often as that happens. When the caller stops early, what was submitted is
    cancelled.

    Args:
        function: should return what went wrong as a value; an exception arrives as Ray's `RayTaskError`.
        items: arguments; each travels with its task.
        gpus_per_task: GPUs that a task takes.
        small: all calls together take less than a cluster does to start: see `works_in_process`.
    """
    if works_in_process(small):
        yield from map(function, items)
        return
    connect()
    import ray

    task = ray.remote(_call).options(
        max_retries=-1, num_cpus=1, num_gpus=gpus_per_task, scheduling_strategy="SPREAD"
    )
    function_reference = ray.put(function)  # it may hold a large manifest: once for all tasks
    remaining = iter(items)
    limit = max(_TASKS_PER_CPU * ClusterCapacity.current().cpus, _FEWEST_TASKS)
    unfinished: list[ObjectRef[R]] = []
    in_order: deque[ObjectRef[R]] = deque()  # submitted, and not yielded yet
    try:
        while True:
            submitted = [
                task.remote(function_reference, item) for item in islice(remaining, limit - len(unfinished))
            ]
            unfinished += submitted
            in_order += submitted
            if not in_order:
                return
            if unfinished:
                _, unfinished = ray.wait(unfinished, num_returns=1)
            while in_order and in_order[0] not in unfinished:
                yield ray.get(in_order.popleft())
    finally:
        for reference in unfinished:
            ray.cancel(reference)


def _call(function: Callable[[Any], Any], item: Any) -> Any:
    return function(item)


def assigned_device() -> torch.device:
    """Return the GPU that Ray assigned to this task or actor, else (or where torch cannot use it) the CPU."""
    import ray
    import torch

    return torch.device("cuda" if ray.get_gpu_ids() and torch.cuda.is_available() else "cpu")


def cluster_address() -> str:
    """Return the address of the cluster to join, `LOCAL` where a Ray is started on this machine."""
    return os.environ.get(ADDRESS_VARIABLE) or LOCAL


def submission_id() -> str | None:
    """Return the id of the job where `ray job submit` started this process, else None."""
    job: dict[str, Any] = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}"))
    submitted: str | None = job.get("metadata", {}).get("job_submission_id")
    return submitted
