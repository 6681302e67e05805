"""Which MLflow run a training run is, and which runs were left behind by drivers that died.

A training run is one MLflow run, found by the tag `charmnet.run_key` whatever happens to its processes. Only
a driver creates it. Should two exist all the same (a request that was answered too late, two drivers started
at once), everyone goes on with the one that started first.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from pipelines.runtime.redaction import redact
from pipelines.tracking.server import connect, local_artifacts

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

RUN_KEY_TAG = "charmnet.run_key"
DRIVER_TAG = "charmnet.driver"
HEARTBEAT_TAG = "charmnet.driver.heartbeat"
HEARTBEAT_SECONDS = 60.0
SILENT_SECONDS = 600.0
"""A driver on another machine that was not heard of for so long is taken for dead."""


@dataclass(frozen=True)
class RunIdentity:
    """What names a run: its experiment, its key (one MLflow run a key) and the name that people read."""

    experiment: str
    run_key: str
    run_name: str


def experiment_id_of(client: MlflowClient, name: str) -> str:
    """The id of an experiment, which is made where it does not exist."""
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return client.create_experiment(name, artifact_location=local_artifacts(client.tracking_uri))
        except MlflowException:
            experiment = client.get_experiment_by_name(name)  # another process was faster
            if experiment is None:
                raise
    return experiment.experiment_id


def find_runs(client: MlflowClient, experiment_id: str, run_key: str) -> list[Run]:
    """The runs of a key, the one that counts first: by start time and then by id."""
    quoted = run_key.replace("'", "''")
    runs = client.search_runs([experiment_id], f"tags.`{RUN_KEY_TAG}` = '{quoted}'", max_results=100)
    return sorted(runs, key=lambda run: (run.info.start_time, run.info.run_id))


def create_run(
    client: MlflowClient, experiment_id: str, identity: RunIdentity, begun_milliseconds: int | None
) -> Run:
    """Makes the run of a key. Where that made a second one, the first stays and the others are deleted.

    Args:
        begun_milliseconds: since 1970; None for now.
    """
    from mlflow.tracking.context.registry import resolve_tags

    # With the driver's tags from the first moment: without them, no one could tell that it died.
    resolved = resolve_tags({RUN_KEY_TAG: identity.run_key, **driver_tags()})
    tags = {key: redact(str(value)) for key, value in resolved.items()}
    client.create_run(experiment_id, begun_milliseconds, tags, identity.run_name)
    first, *others = find_runs(client, experiment_id, identity.run_key)
    for run in others:
        client.delete_run(run.info.run_id)
    return first


# -- drivers


@dataclass(frozen=True)
class DriverProcess:
    """A process, told from every other on the same machine by its start time."""

    host: str
    pid_namespace: str
    boot_id: str
    pid: int
    started_seconds: float

    @classmethod
    def current(cls) -> DriverProcess:
        """This process."""
        pid = os.getpid()
        started = round(psutil.Process(pid).create_time(), 1)
        return cls(socket.gethostname(), _pid_namespace(), _boot_id(), pid, started)

    def is_gone(self) -> bool | None:
        """Whether it has ended; None if that cannot be seen from here."""
        here = DriverProcess.current()
        if self.host != here.host or self.pid_namespace != here.pid_namespace:
            return None
        if self.boot_id != here.boot_id:
            return True
        try:
            started = psutil.Process(self.pid).create_time()
        except psutil.NoSuchProcess:
            return True
        return abs(started - self.started_seconds) > 2.0


def _boot_id() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else str(round(psutil.boot_time()))


def _pid_namespace() -> str:
    path = Path("/proc/self/ns/pid")
    return str(path.readlink()) if path.is_symlink() else "host"


def driver_tags() -> dict[str, str]:
    """Tags that tell others whether the run's driver, this process, is still there."""
    return {DRIVER_TAG: json.dumps(asdict(DriverProcess.current())), **heartbeat_tags()}


def heartbeat_tags() -> dict[str, str]:
    """The driver's sign of life, for those who cannot see its process."""
    return {HEARTBEAT_TAG: str(int(time.time()))}


def driver_is_gone(tags: Mapping[str, str]) -> bool:
    """Whether the driver in a run's tags has ended: by its process if it ran here, else by its silence."""
    if DRIVER_TAG not in tags:
        return False
    gone = DriverProcess(**json.loads(tags[DRIVER_TAG])).is_gone()
    if gone is not None:
        return gone
    return time.time() - float(tags.get(HEARTBEAT_TAG, "0")) > SILENT_SECONDS


def close_orphans(tracking_uri: str, experiment: str) -> list[str]:
    """Sets the runs of an experiment whose driver has died from RUNNING to KILLED.

    A run that is taken up again later becomes RUNNING again. Ship what they left first (`send_unsent`): it
    may hold how they ended.

    Returns:
        The ids of the runs that were closed.

    Raises:
        MlflowException: the server does not answer.
    """
    client = connect(tracking_uri)
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return []
    running = client.search_runs([found.experiment_id], "attributes.status = 'RUNNING'", max_results=1000)
    orphans = [run.info.run_id for run in running if driver_is_gone(run.data.tags)]
    for run_id in orphans:
        client.set_terminated(run_id, "KILLED")
    return orphans
