"""A run's folder in storage: who it is, its checkpoints and its best model.

STORAGE/NAME/run.json                      identity and configuration, written once
STORAGE/NAME/checkpoint-000000400/         the last few (see `pipelines.runs.checkpoints`)
STORAGE/NAME/best/checkpoint-000000300/    the best by validation, named in best.json
STORAGE/NAME/best.json
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from charmnet.errors import StorageError
from charmnet.weights import Snapshot
from pipelines.config.train_config import TrainConfig
from pipelines.runtime.storage import Location


@dataclass(frozen=True)
class RunRecord:
    """
    Attributes:
        name: of the run's folder and of the MLflow run.
        run_key: names the run for good: the MLflow run is found by it, whatever happens to processes.
        config: what it was started with.
        digests: of the data sets, by domain. experiment: that its MLflow run stands in.
    """

    name: str
    run_key: str
    config: dict[str, Any]
    digests: dict[str, str]
    experiment: str


@dataclass(frozen=True)
class RunFolder:
    location: Location

    @classmethod
    def of(cls, storage: str, name: str) -> RunFolder:
        return cls(Location.of(storage) / name)

    def claim(
        self, name: str, config: TrainConfig, digests: Mapping[str, str], experiment: str = "charmnet"
    ) -> RunRecord:
        """The identity of the run of this name: a new one, or that of the run that goes on.

        Raises:
            ValueError: the folder's run has another configuration or other data; names what differs.
            StorageError: the folder holds something else.
        """
        place = self.location / "run.json"
        if not place.exists():
            if self.location.children():
                raise StorageError(f"{self.location} holds something that is no run; choose another --name")
            record = RunRecord(name, uuid.uuid4().hex, config.to_json(), dict(digests), experiment)
            place.write_json(asdict(record))
            return record
        record = _record(place)
        differing = config.differences(record.config) + [
            f"the {domain} data: {record.digests.get(domain)} -> {digests.get(domain)}"
            for domain in sorted({*digests, *record.digests})
            if digests.get(domain) != record.digests.get(domain)
        ]
        if record.experiment != experiment:
            differing.append(f"experiment: {record.experiment} -> {experiment}")
        if differing:
            raise ValueError(
                f"the run {self.location} was started differently, and resuming it would mix two runs: "
                f"{'; '.join(differing)}. Give it what it had, or choose another --name"
            )
        return record

    def record(self) -> RunRecord:
        """Who the run is.

        Raises:
            StorageError: the folder is no run's.
        """
        return _record(self.location / "run.json")

    def save_best(self, snapshot: Snapshot, step: int, metric: str, value: float) -> None:
        """Stores a checkpoint as the best; all others are removed once it stands."""
        name = f"best/checkpoint-{step:09d}"
        for file, data in snapshot.files():
            (self.location / name / file).write_bytes(data)
        best = {"checkpoint": name, "step": step, "metric": metric, "value": value}
        (self.location / "best.json").write_json(best)
        for place in (self.location / "best").children():
            if place != self.location / name:
                place.delete()

    def best(self) -> dict[str, Any] | None:
        """{"checkpoint": relative path, "step", "metric", "value"} of the best one, if there is any."""
        place = self.location / "best.json"
        return place.read_json() if place.exists() else None


def _record(place: Location) -> RunRecord:
    value = place.read_json()
    try:
        record = RunRecord(**value)
    except TypeError as error:
        raise StorageError(f"{place}: no run of this project ({error}); choose another --name") from error
    if not (isinstance(record.config, dict) and isinstance(record.digests, dict)):
        raise StorageError(f"{place}: no run of this project; choose another --name")
    return record
