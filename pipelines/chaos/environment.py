"""Environment of the scenarios: a cluster, an object store behind a proxy, MLflow and two data sets."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import psutil

from charmnet.vocabulary import Domain
from pipelines.chaos.data import copy_dataset, copy_first_shards, make_dataset
from pipelines.chaos.nodes import NodeCluster, clean_environment
from pipelines.chaos.ray_head import submission_client
from pipelines.chaos.store_proxy import Behaviour, StoreProxy
from pipelines.chaos.submitted_run import SubmittedRun
from pipelines.chaos.worker_faults import FAULTY_DRIVER, WorkerFault
from pipelines.config.recipes import recipe
from pipelines.config.train_config import TrainConfig
from pipelines.ingest.samples import Reference
from pipelines.ingest.stream import StreamSpec
from pipelines.runtime.console import console
from pipelines.runtime.storage import Location
from pipelines.services.local import ObjectStore, TrackingServer
from pipelines.shards.reading import Dataset

WORKER = "RayTrainWorker"
"""Part of the title of a process that trains."""
DRIVER = "-m pipelines train"
"""Part of the command of a run's driver."""

_SPARE_CPUS = 2  # for data tasks
_STOP_SECONDS = 120  # a run that is asked to stop saves a checkpoint first


@dataclass(frozen=True)
class Options:
    """Choices of `charmnet chaos`.

    Attributes:
        steps: number of steps of every run.
        workers: number of workers of every run.
        times: how often a worker is killed.
        seed: seed of the runs and of the moments at which faults are injected.
        real: URI of a data set of the real domain; None where one is made.
        rendered: URI of a data set of the rendered domain; None where one is made.
    """

    steps: int = 40
    workers: int = 2
    times: int = 3
    seed: int = 0
    real: str | None = None
    rendered: str | None = None


@dataclass
class Environment:
    """Servers, data and cluster that the scenarios of one command share.

    Attributes:
        options: choices of the command.
        folder: local folder of the command, with logs and the nodes' state.
        store: the object store.
        tracking: the MLflow server.
        proxy: stands between the cluster and the object store.
        cluster: the Ray cluster.
        storage: prefix in the object store, under which runs and data sets lie.
        data: undamaged data sets by domain, in the store.
        last_run: the run that was started last.
    """

    options: Options
    folder: Path
    store: ObjectStore
    tracking: TrackingServer
    proxy: StoreProxy
    cluster: NodeCluster
    storage: Location
    data: dict[Domain, Dataset] = field(default_factory=dict)
    last_run: SubmittedRun | None = None

    @cached_property
    def config(self) -> TrainConfig:
        """Configuration of the undisturbed run."""
        options = self.options
        checkpoint_every = max(1, options.steps // 8)
        return recipe("debug").override(
            [
                *(f"steps={options.steps}", f"workers={options.workers}", f"seed={options.seed}"),
                *(f"checkpoint_every={checkpoint_every}", "validate_every=0", "log_every=1"),
                *("pool_row_groups=2", "audit=true", "accelerator=cpu", f"max_failures={options.times + 10}"),
            ]
        )

    def start(
        self,
        name: str,
        *fields: str,
        real: Dataset | None = None,
        variables: Mapping[str, str] | None = None,
        fault: WorkerFault | None = None,
        tracking_uri: str | None = None,
    ) -> SubmittedRun:
        """Submit the run of a scenario.

        Args:
            name: name of the scenario and of the run.
            fields: FIELD=VALUE, where its configuration differs from the undisturbed run's.
            real: damaged data of the real domain.
            variables: environment variables of its processes.
            fault: fault of one of its workers.
            tracking_uri: address by which it knows MLflow; None for MLflow's own.
        """
        overrides = self.config.override(fields).assignments(TrainConfig())
        driver = FAULTY_DRIVER if fault else DRIVER
        variables = {**(variables or {}), **(fault.variables if fault else {})}
        command = [
            *(sys.executable, *driver.split(), "--storage", str(self.storage / "runs"), "--name", name),
            *("--real", str((real or self.data[Domain.REAL]).location)),
            *("--rendered", str(self.data[Domain.RENDERED].location)),
            *("--tracking", tracking_uri or self.tracking.url, "--experiment", self.experiment, *overrides),
        ]
        client = submission_client(self.cluster.dashboard)
        self.last_run = SubmittedRun(client, name, command, self.cluster.driver_logs, variables)
        self.last_run.submit()
        return self.last_run

    def marker(self, name: str) -> str:
        """Return the path of the file that a worker's fault makes when it happens."""
        return str(self.folder / f"{name}.happened")

    def recover(self) -> None:
        """Bring everything back to its first state after a scenario that broke down."""
        if self.last_run:
            self.last_run.stop()
        self.proxy.behave(Behaviour())
        self.tracking.start()
        self.cluster.replace_nodes()

    @property
    def experiment(self) -> str:
        """Experiment in MLflow, of this command alone: runs of other commands have the same names."""
        return f"chaos-{self.folder.name}"

    def run_folder(self, name: str) -> Location:
        """Return the folder of a run."""
        return self.storage / "runs" / name

    def workers(self) -> list[psutil.Process]:
        """Return the processes that train."""
        return self.cluster.processes(WORKER)

    def copy_real_data(self, name: str) -> Dataset:
        """Copy the real data set for a scenario to damage."""
        return copy_dataset(self.data[Domain.REAL], self.storage / "data" / name)

    def first_real_sample(self, step: int) -> Reference:
        """Return where the first real sample of a step lies, by the plan of the epoch."""
        spec = StreamSpec(
            self.data[Domain.REAL],
            self.config.batch_size,
            self.config.seed,
            pool_row_groups=self.config.pool_row_groups,
        )
        position = (step - 1) * self.config.batch_size
        shard, group, offset = next(iter(spec.plan.runs(position, position + 1))).references[0].tolist()
        return shard, group, offset


@contextmanager
def open_environment(state: Path, options: Options) -> Iterator[Environment]:
    """Start the servers and the cluster, and stop them in the end; the runs' logs stay in `folder`.

    Raises:
        StorageError: the object store or MLflow did not start.
        ClusterError: Ray did not start.
        ValueError: a user's data set does not fit.
    """
    folder = state / f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    uris = {Domain.REAL: options.real, Domain.RENDERED: options.rendered}
    staged = {
        domain: _stage(domain, uri, Location.of(folder / "data" / domain)) for domain, uri in uris.items()
    }
    with ExitStack() as stack:
        store = ObjectStore(state / "object-store")
        stack.callback(store.stop, grace_seconds=1)
        with console.status("Starting the object store, MLflow and Ray"):
            store.start()
            _point_this_process_at(store.environment())
            tracking = TrackingServer(state / "mlflow", store)
            stack.callback(tracking.stop, grace_seconds=1)
            proxy = StoreProxy(store.url, options.seed)
            stack.callback(proxy.stop)
            proxy.start()
            cluster = NodeCluster(folder, _node_environment(store, proxy), options.workers + _SPARE_CPUS)
            stack.callback(cluster.stop)
            with ThreadPoolExecutor(1) as beside:  # each takes several seconds to load
                started = beside.submit(tracking.start)
                cluster.start()
                started.result()
        storage = Location.of(store.uri) / folder.name
        environment = Environment(options, folder, store, tracking, proxy, cluster, storage)
        for domain, dataset in staged.items():
            environment.data[domain] = copy_dataset(dataset, storage / "data" / domain)
        yield environment


def _stage(domain: Domain, uri: str | None, folder: Location) -> Dataset:
    return copy_first_shards(uri, domain, folder) if uri else make_dataset(domain, folder)


def _point_this_process_at(store: Mapping[str, str]) -> None:
    """Let this process read the scenarios' store, past the proxy, and use their cluster, from now on."""
    for name in [name for name in os.environ if name not in clean_environment()]:
        del os.environ[name]
    os.environ.update(store, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))


def _node_environment(store: ObjectStore, proxy: StoreProxy) -> dict[str, str]:
    token = {name: os.environ[name] for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}
    settings = {
        "AWS_ENDPOINT_URL": proxy.url,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OMP_NUM_THREADS": "1",
        "RAY_JOB_STOP_WAIT_TIME_S": str(_STOP_SECONDS),
        "RAY_worker_niceness": "0",  # else whatever the machine does beside it starves Ray's workers alone
    }
    return clean_environment() | store.environment() | settings | token
