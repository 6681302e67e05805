"""What every scenario is played in: a cluster, a store behind a proxy, MLflow, and two data sets."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import fsspec
import psutil

from charmnet.vocabulary import Domain
from pipelines.chaos.data import copied, made, publish
from pipelines.chaos.nodes import NodeCluster, clean_environment
from pipelines.chaos.runs import Run, answer_of_head
from pipelines.chaos.store_proxy import Behaviour, StoreProxy
from pipelines.config.recipes import recipe
from pipelines.config.train_config import TrainConfig
from pipelines.ingest.samples import Reference
from pipelines.ingest.stream import StreamSpec
from pipelines.runtime.console import console
from pipelines.runtime.storage import Location
from pipelines.services.local import ObjectStore, TrackingServer
from pipelines.shards.reading import Dataset

WORKER = "RayTrainWorker"
DRIVER = "-m pipelines train"

_SPARE_CPUS = 2  # for data tasks


@dataclass(frozen=True)
class Options:
    """
    Attributes:
        steps: of every run. workers: of every run. times: how often workers are killed.
        seed: of the runs and of the moments at which things happen.
        real, rendered: URIs of the user's data sets; made here where there are none.
    """

    steps: int = 40
    workers: int = 2
    times: int = 3
    seed: int = 0
    real: str | None = None
    rendered: str | None = None


@dataclass
class Lab:
    """
    Attributes:
        folder: of this invocation: logs, nodes' state. storage: where its runs and data sets lie.
        data: the undamaged data sets by domain, in the store.
    """

    options: Options
    folder: Path
    store: ObjectStore
    tracking: TrackingServer
    proxy: StoreProxy
    cluster: NodeCluster
    storage: Location
    data: dict[Domain, Dataset] = field(default_factory=dict)
    last_run: Run | None = None

    @cached_property
    def config(self) -> TrainConfig:
        """Of the undisturbed run."""
        options = self.options
        every = max(1, options.steps // 8)
        return recipe("debug").override(
            [
                *(f"steps={options.steps}", f"workers={options.workers}", f"seed={options.seed}"),
                *(f"checkpoint_every={every}", "validate_every=0", "log_every=1", "pool_row_groups=2"),
                *("audit=true", "accelerator=cpu", f"max_failures={options.times + 10}"),
            ]
        )

    def start(
        self,
        name: str,
        *fields: str,
        real: Dataset | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> Run:
        """Submits the run of a scenario.

        Args:
            fields: field=value, where its configuration differs. real: damaged data of the real domain.
            variables: of its processes' environment.
        """
        from ray.job_submission import JobSubmissionClient

        client = answer_of_head(lambda: JobSubmissionClient(self.cluster.dashboard))
        config = self.config.override(fields)
        fields_set = config.assignments(TrainConfig())
        command = [
            *(sys.executable, *DRIVER.split(), "--storage", str(self.storage / "runs"), "--name", name),
            *("--real", str((real or self.data[Domain.REAL]).location)),
            *("--rendered", str(self.data[Domain.RENDERED].location)),
            *("--tracking", self.tracking.url, "--experiment", self.experiment, *fields_set),
        ]
        self.last_run = Run(client, name, command, self.cluster.driver_logs, variables or {})
        self.last_run.submit()
        return self.last_run

    def recover(self) -> None:
        """Makes everything whole again after a scenario that broke down."""
        if self.last_run:
            self.last_run.stop()
        self.proxy.behave(Behaviour())
        self.tracking.start()
        if not self.cluster.nodes:
            self.cluster.add_node()

    @property
    def experiment(self) -> str:
        """In MLflow: of this invocation alone, since names of runs come again."""
        return f"chaos-{self.folder.name}"

    def run_folder(self, name: str) -> Location:
        return self.storage / "runs" / name

    def workers(self) -> list[psutil.Process]:
        """The processes that train."""
        return self.cluster.processes(WORKER)

    def damaged(self, name: str) -> Dataset:
        """A copy of the real data set, for a scenario to damage."""
        return publish(self.data[Domain.REAL], self.storage / "data" / name)

    def delivered_at(self, step: int) -> Reference:
        """Where the first real sample of a step is, as the plan says."""
        spec = StreamSpec(
            self.data[Domain.REAL],
            self.config.batch_size,
            self.config.seed,
            pool_row_groups=self.config.pool_row_groups,
        )
        position = (step - 1) * self.config.batch_size
        shard, group, offset = next(iter(spec.plan.runs(position, position + 1))).references[0].tolist()
        return shard, group, offset


def _text(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)


@contextmanager
def opened(state: Path, options: Options) -> Iterator[Lab]:
    """A lab whose servers end with it; the runs' logs stay in its folder.

    Raises:
        StorageError, ClusterError: something could not be started. ValueError: the data do not fit.
    """
    folder = state / f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    staged = {
        domain: _staged(domain, uri, Location.of(folder / "data" / domain))
        for domain, uri in ((Domain.REAL, options.real), (Domain.RENDERED, options.rendered))
    }
    with ExitStack() as stack:
        store = ObjectStore(state / "object-store")
        stack.callback(store.stop, grace_seconds=1)
        with console.status("Starting the object store, MLflow and Ray"):
            store.start()
            _use(store.environment())
            tracking = TrackingServer(state / "mlflow", store)
            stack.callback(tracking.stop, grace_seconds=1)
            tracking.start()
            proxy = StoreProxy(store.url, options.seed)
            stack.callback(proxy.stop)
            proxy.start()
            cluster = NodeCluster(folder, _node_environment(store, proxy), options.workers + _SPARE_CPUS)
            stack.callback(cluster.stop)
            cluster.start()
        storage = Location.of(store.uri) / folder.name
        lab = Lab(options, folder, store, tracking, proxy, cluster, storage)
        for domain, dataset in staged.items():
            lab.data[domain] = publish(dataset, storage / "data" / domain)
        yield lab


def _staged(domain: Domain, uri: str | None, folder: Location) -> Dataset:
    return copied(uri, domain, folder) if uri else made(domain, folder)


def _use(store: Mapping[str, str]) -> None:
    """This process reads the lab's store, past the proxy, and may use its cluster, from now on."""
    for name in [name for name in os.environ if name not in clean_environment()]:
        del os.environ[name]
    os.environ.update(store, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    fsspec.get_filesystem_class("s3").clear_instance_cache()  # it remembers the user's own store


def _node_environment(store: ObjectStore, proxy: StoreProxy) -> dict[str, str]:
    token = {name: os.environ[name] for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}
    settings = {
        "AWS_ENDPOINT_URL": proxy.url,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OMP_NUM_THREADS": "1",
        "RAY_worker_niceness": "0",  # else whatever the machine does beside it starves Ray's workers alone
    }
    return clean_environment() | store.environment() | settings | token
