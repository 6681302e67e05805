"""Joining Ray, quietly, and having it do many things of one kind."""

from __future__ import annotations

import logging
import os
import pickle
import secrets
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from charmnet.errors import ClusterError

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
R = TypeVar("R")

ADDRESS_VARIABLE = "RAY_ADDRESS"
LOCAL = "local"
_KNOCK_SECONDS = 10.0
_MOST_BLOCKS = 1000  # each costs Ray Data about a millisecond before it starts

# What the user has set stands.
_SETTINGS = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # the behaviour to come; silences its announcement
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_task_events_max_num_task_in_gcs": "10000",  # the history that Ray keeps in memory; 100,000 else
    "THP_MEM_ALLOC_ENABLE": "1",  # torch asks for huge pages: a step on CPUs touches a gigabyte of new memory
}
_QUIET_LOGGERS = {
    "ray.data._internal.progress": logging.ERROR,  # that progress bars are off
    "ray.data._internal.execution.streaming_executor": logging.WARNING,  # every execution's end
}


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
    if _address() == LOCAL and "RAY_AUTH_MODE" not in os.environ:
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
        if ray is not None:
            from ray._raylet import Config  # type: ignore[attr-defined]  # compiled

            Config.initialize("")  # what it read of the environment when it was imported


def connect() -> bool:
    """Joins the cluster that `RAY_ADDRESS` names (in a Ray job it is set), else starts Ray on this machine.

    Does nothing where the process is connected already. Ray Data's own progress bars and log lines are turned
    off: commands show progress with `pipelines.runtime.console`.

    Returns:
        Whether Ray was started on this machine for it, so that no one else has to do with that Ray.

    Raises:
        ClusterError: no cluster answers there, or Ray did not start here.
    """
    prepare_environment()
    import ray
    import ray.data
    from ray.exceptions import RayError

    starting = not ray.is_initialized() and _address() == LOCAL
    if starting:
        start_here()
    elif not ray.is_initialized():
        # Workers' lines stay in Ray's own logs: what a person needs to know comes by progress and exceptions.
        try:
            _check_reachable(_address())
            ray.init(address=_address(), logging_level=logging.WARNING, log_to_driver=False)
        except (OSError, RuntimeError, RayError) as error:  # ConnectionError is an OSError
            raise ClusterError(
                f"{ADDRESS_VARIABLE}={_address()}: no Ray cluster to join ({type(error).__name__}: {error}); "
                f"see that its head runs and can be reached; without {ADDRESS_VARIABLE} this machine is used"
            ) from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for name, level in _QUIET_LOGGERS.items():
        logging.getLogger(name).setLevel(level)
    return starting


def _check_reachable(address: str) -> None:
    """Raises OSError where nothing listens at HOST:PORT: Ray itself tries for a quarter of an hour."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), _KNOCK_SECONDS).close()


def start_here(**options: Any) -> None:
    """Starts a Ray of this process's own, whose workers know which one is theirs.

    Ray's state API goes by RAY_ADDRESS and without it by the last `ray start` on the machine. Asked about
    another cluster, Ray Train takes its own controller for dead: it removes the run's workers, or waits 12 s
    for an answer at the end.

    Args:
        options: of `ray.init`.

    Raises:
        ClusterError: Ray did not start.
    """
    prepare_environment()
    import ray

    port = free_port()
    own = {"RAY_GCS_SERVER_PORT": str(port), ADDRESS_VARIABLE: f"{ray.util.get_node_ip_address()}:{port}"}
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)  # Ray's processes inherit it
    try:
        ray.init(address=LOCAL, **{"logging_level": logging.WARNING, "log_to_driver": False, **options})
    except Exception as error:  # Ray says by a bare one that its processes did not answer in time
        raise ClusterError(
            f"Ray did not start on this machine ({type(error).__name__}: {error}); a machine too busy, "
            "or without memory or disk left, is the usual cause: run the command again; what Ray's processes "
            "said is in /tmp/ray/session_latest/logs"
        ) from error
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def free_port() -> int:
    """One for a server of Ray's: nobody listens there now, and it is not its dashboard agent's own."""
    from ray._private.ray_constants import DEFAULT_DASHBOARD_AGENT_LISTEN_PORT

    while True:
        with socket.socket() as probe:
            probe.bind(("", 0))
            port: int = probe.getsockname()[1]
        if port != DEFAULT_DASHBOARD_AGENT_LISTEN_PORT:
            return port


def map_on_cluster(
    function: Callable[[T], R],
    items: Sequence[T],
    most_blocks: int = _MOST_BLOCKS,
    gpus_of_a_task: float = 0,
) -> Iterator[R]:
    """Calls a function once for each item, in Ray Data's tasks; yields results as they come, in no order.

    Items of one block run one after the other in a task that is retried as a whole: as many blocks as items
    suit work of seconds, fewer suit work of milliseconds.

    A result that says what went wrong is better than an exception, which Ray prints with its own stack.
    """
    connect()
    import ray.data

    def run(batch: dict[str, Any]) -> dict[str, list[bytes]]:
        return {"result": [pickle.dumps(function(pickle.loads(item))) for item in batch["item"]]}

    pickled = [{"item": pickle.dumps(item)} for item in items]
    blocks = min(len(pickled), most_blocks)
    source = ray.data.from_items(pickled, override_num_blocks=blocks)
    results = source.map_batches(run, batch_size=1, num_gpus=gpus_of_a_task or None)
    for row in results.iter_rows():
        yield pickle.loads(row["result"])


def assigned_device() -> torch.device:
    """In a task or an actor: the GPU that Ray has given it, else (or where torch cannot use it) the CPU."""
    import ray
    import torch

    return torch.device("cuda" if ray.get_gpu_ids() and torch.cuda.is_available() else "cpu")


def _address() -> str:
    return os.environ.get(ADDRESS_VARIABLE) or LOCAL
