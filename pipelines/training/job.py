"""Job of a run, which the driver hands to every worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from charmnet.vocabulary import Domain
from pipelines.config.train_config import TrainConfig
from pipelines.ingest.stream import StreamSpec
from pipelines.ingest.union import DatasetUnion
from pipelines.runtime.paths import state_folder
from pipelines.runtime.storage import Location
from pipelines.tracking import RunIdentity, Tracker, open_tracker
from pipelines.training.build import TrainingPlan
from pipelines.training.placement import Placement

if TYPE_CHECKING:  # it needs Ray, which may be imported only once the environment is set
    from pipelines.training.coordinator import RunCoordinatorClient


@dataclass(frozen=True)
class RunTracking:
    """MLflow run that a training run is recorded in, from any process.

    Attributes:
        tracking_uri: address of the server, without user and password, which come from the environment.
        experiment: name of the MLflow experiment.
        run_key: id of the run.
        run_name: name of the MLflow run.
    """

    tracking_uri: str
    experiment: str
    run_key: str
    run_name: str

    def open_for_driver(self, before_first_send: Callable[[], None]) -> Tracker:
        """Open the driver's tracker, whose sending thread calls `before_first_send` once."""
        return self._open("driver", "driver", before_first_send=before_first_send)

    def open_for_worker(self, rank: int, pending: bytes | None, resume_step: int) -> Tracker:
        """Open the tracker of a node's first worker; rank 0 takes up what a lost node had not sent."""
        resumption = {"pending": pending, "resume_step": resume_step} if rank == 0 else {}
        return self._open("worker", f"worker-{rank}", **resumption)

    def _open(self, role: Any, spool_name: str, **resumption: Any) -> Tracker:
        spool = state_folder() / "spool" / self.run_key / spool_name
        identity = RunIdentity(experiment=self.experiment, run_key=self.run_key, run_name=self.run_name)
        return open_tracker(self.tracking_uri, identity, spool, role=role, **resumption)


@dataclass(frozen=True)
class TrainingJob:
    """Everything that a worker of a run needs, without secrets: Ray shows it to all who see the cluster.

    Attributes:
        plan: configuration, length and schedule of the run.
        run_folder: folder of the run in storage.
        run_key: id of the run.
        datasets: data sets by domain, several of one domain as a union.
        specs: streams that are trained on, by the domain's name.
        placement: resources of workers and data tasks.
        tracking: MLflow run that the run is recorded in; None records nothing.
        coordinator: client of the run-wide state.
    """

    plan: TrainingPlan
    run_folder: Location
    run_key: str
    datasets: dict[Domain, DatasetUnion]
    specs: dict[str, StreamSpec]
    placement: Placement
    tracking: RunTracking | None
    coordinator: RunCoordinatorClient

    @property
    def config(self) -> TrainConfig:
        """Configuration of the run."""
        return self.plan.config

    @property
    def steps(self) -> int:
        """Length of the run in steps."""
        return self.plan.steps
