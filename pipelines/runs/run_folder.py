"""Layout of a run's folder in storage, its identity and its best model.

```text
STORAGE/NAME/
  run.json                                identity and configuration, written once
  driver.json                             process that drives the run, while it lives
  config.toml                             the configuration as `charmnet train --config` takes it
  attempts/000002.json                    a start of the workers: from which step, with how many
  checkpoint-000000400/                   the last few, registered by the file that is written last
    model.safetensors                     all networks
    optimizer.safetensors                 the optimizers' states
    average.safetensors                   the weights' moving average, where there is one
    state.safetensors                     what a method keeps beside both, where there is anything
    tracker-spool.bin                     metrics that had not been sent
    checkpoint.json                       description and checksums of the rest
  best.json                               step and value of the best model by validation, and its folder
  best/checkpoint-000000300/              the best model, a checkpoint like the others
  audit/000002-001-000000300.parquet      samples that were delivered, with `--audit`: ATTEMPT-RANK-STEP
  quarantine/000002-001-000000300.jsonl   samples that were replaced since they cannot be decoded
```
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
from pipelines.runtime.user_files import is_litter

RUN_FILE = "run.json"
DRIVER_FILE = "driver.json"
CONFIG_FILE = "config.toml"
BEST_FILE = "best.json"
BEST_FOLDER = "best"
ATTEMPTS_FOLDER = "attempts"
AUDIT_FOLDER = "audit"
QUARANTINE_FOLDER = "quarantine"

_CHECKPOINT_PREFIX = "checkpoint-"


def checkpoint_name(step: int) -> str:
    """Return the name of a step's checkpoint; names sort by step."""
    return f"{_CHECKPOINT_PREFIX}{step:09d}"


def checkpoint_step(name: str) -> int:
    """Return the step of a name that `checkpoint_name` gave."""
    return int(name.removeprefix(_CHECKPOINT_PREFIX))


def is_checkpoint_name(name: str) -> bool:
    """Return True for a name that `checkpoint_name` gives."""
    return name.startswith(_CHECKPOINT_PREFIX)


def log_name(attempt: int, rank: int, first_step: int) -> str:
    """Return the name, without suffix, of what a worker logged of its deliveries from a step on."""
    return f"{attempt:06d}-{rank:03d}-{first_step:09d}"


@dataclass(frozen=True)
class RunRecord:
    """Identity of a run.

    Attributes:
        name: name of the run's folder and of the MLflow run.
        run_key: id of the run: the MLflow run is found by it, whatever happens to processes.
        config: configuration that it was started with, as JSON.
        digests: digests of the data sets' manifests, by domain.
        experiment: MLflow experiment that its run belongs to.
    """

    name: str
    run_key: str
    config: dict[str, Any]
    digests: dict[str, str]
    experiment: str


@dataclass(frozen=True)
class RunFolder:
    """A run's folder.

    Attributes:
        location: STORAGE/NAME.
    """

    location: Location

    @classmethod
    def of(cls, storage: str, name: str) -> RunFolder:
        """Return the folder of the run `name` under `storage`."""
        return cls(Location.of(storage) / name)

    def claim(
        self, name: str, config: TrainConfig, digests: Mapping[str, str], experiment: str = "charmnet"
    ) -> RunRecord:
        """Return the identity of the run of this name: a new one, which is written, or `check`'s.

        Raises:
            ValueError: as `check`.
            StorageError: as `check`.
        """
        record = self.check(config, digests, experiment)
        if record is None:
            record = RunRecord(name, uuid.uuid4().hex, config.to_json(), dict(digests), experiment)
            (self.location / RUN_FILE).write_json(asdict(record))
        return record

    def check(self, config: TrainConfig, digests: Mapping[str, str], experiment: str) -> RunRecord | None:
        """Return the identity of the run that goes on, or None where a new one may begin; writes nothing.

        Raises:
            ValueError: the folder's run has another configuration or other data; names what differs.
            StorageError: the folder holds something else.
        """
        path = self.location / RUN_FILE
        if not path.exists():
            names = {child.name for child in self.location.children()} - {DRIVER_FILE}
            if not all(map(is_litter, names)):
                raise StorageError(f"{self.location} holds something that is no run; choose another --name")
            return None
        record = _record(path)
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
        """Return the identity of the run.

        Raises:
            StorageError: the folder is no run's.
        """
        return _record(self.location / RUN_FILE)

    def save_best(self, snapshot: Snapshot, step: int, metric: str, value: float) -> None:
        """Store a checkpoint as the best; the others are removed once it is complete."""
        name = f"{BEST_FOLDER}/{checkpoint_name(step)}"
        for file, data in snapshot.files():
            (self.location / name / file).write_bytes(data)
        best = {"checkpoint": name, "step": step, "metric": metric, "value": value}
        (self.location / BEST_FILE).write_json(best)
        for path in (self.location / BEST_FOLDER).children():
            if path != self.location / name:
                path.discard()

    def best(self) -> dict[str, Any] | None:
        """Return {"checkpoint": relative path, "step", "metric", "value"} of the best one, if any."""
        path = self.location / BEST_FILE
        return path.read_json() if path.exists() else None


def _record(path: Location) -> RunRecord:
    value = path.read_json()
    try:
        record = RunRecord(**value)
    except TypeError as error:
        raise StorageError(f"{path}: no run of this project ({error}); choose another --name") from error
    if not (isinstance(record.config, dict) and isinstance(record.digests, dict)):
        raise StorageError(f"{path}: no run of this project; choose another --name")
    return record
