"""A study's identity in its folder, its MLflow run, and the runs beneath it."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from charmnet.errors import StorageError
from pipelines.runs.run_folder import RUN_FILE, RunFolder
from pipelines.runtime.paths import state_folder
from pipelines.runtime.redaction import redact
from pipelines.runtime.storage import Location
from pipelines.study.plan import PlannedRun
from pipelines.tracking import RunIdentity, Tracker, open_tracker

logger = logging.getLogger(__name__)

STUDY_FILE = "study.json"


@dataclass(frozen=True)
class StudyRecord:
    """What a study is and where it is recorded.

    Attributes:
        name: name of the study and of its MLflow run.
        run_key: key of its MLflow run, which it keeps when it is started again.
        experiment: MLflow experiment.
        tracking_uri: address of the server; None records nothing.
    """

    name: str
    run_key: str
    experiment: str
    tracking_uri: str | None
    _nested: set[str] = field(default_factory=set, compare=False)

    def open_tracker(self) -> Tracker:
        """Return the tracker of the study's own run."""
        if self.tracking_uri is None:
            return Tracker()
        identity = RunIdentity(experiment=self.experiment, run_key=self.run_key, run_name=self.name)
        return open_tracker(self.tracking_uri, identity, state_folder() / "spool" / self.run_key / "driver")

    def nest(self, storage: Location, runs: Iterable[PlannedRun]) -> None:
        """Put training runs beneath the study's; a server that is away is passed over, for a later call."""
        keys = {run.name: key for run in runs if (key := _run_key(storage, run))}
        missing = {name: key for name, key in keys.items() if name not in self._nested}
        if self.tracking_uri is None or not missing:
            return
        from pipelines.tracking.study_runs import nest_runs  # MLflow

        try:
            if nest_runs(self.tracking_uri, self.experiment, self.run_key, missing.values()):
                self._nested.update(missing)
        except Exception as error:  # noqa: BLE001 - tracking must not end what it tracks
            logger.debug("%s did not answer: %s", redact(self.tracking_uri), error)

    def history(self, storage: Location, run: PlannedRun, metric: str) -> list[tuple[int, float]]:
        """Return (step, value) of a training run's metric; nothing where it is not tracked."""
        key = _run_key(storage, run)
        if self.tracking_uri is None or key is None:
            return []
        from pipelines.tracking.study_runs import metric_history  # MLflow

        try:
            return metric_history(self.tracking_uri, self.experiment, key, metric)
        except Exception as error:  # noqa: BLE001 - a plot is left out
            logger.debug("%s did not answer: %s", redact(self.tracking_uri), error)
            return []


def claim(
    dest: Location, name: str, settings: Mapping[str, Any], experiment: str, tracking_uri: str | None
) -> StudyRecord:
    """Return the record of the study in a folder: a new one, or of the study that goes on.

    Args:
        dest: folder of the study.
        name: name of the study.
        settings: what its figures depend on beside its rows.
        experiment: MLflow experiment.
        tracking_uri: address of the server.

    Raises:
        ValueError: the folder's study has other settings; names what differs.
        StorageError: the folder cannot be read or written, or holds something else.
    """
    path = dest / STUDY_FILE
    if not path.exists():
        key = uuid.uuid4().hex
        path.write_json({"name": name, "run_key": key, "experiment": experiment, "settings": dict(settings)})
        return StudyRecord(name, key, experiment, tracking_uri)
    stored = path.read_json()
    try:
        before = {**stored["settings"], "study": stored["name"], "experiment": stored["experiment"]}
        key = str(stored["run_key"])
    except (KeyError, TypeError) as error:
        raise StorageError(f"{path}: no study of this project; choose another --dest") from error
    now = {**settings, "study": name, "experiment": experiment}
    differing = [
        f"{field}: {before.get(field)} -> {now.get(field)}"
        for field in before | now
        if before.get(field) != now.get(field)
    ]
    if differing:
        raise ValueError(
            f"the study in {dest} was started differently: {'; '.join(differing)}. Its figures would not be "
            "comparable; give it what it had, or choose another --dest"
        )
    return StudyRecord(name, key, experiment, tracking_uri)


def check_runs(storage: Location, runs: Sequence[PlannedRun]) -> None:
    """Check that the runs that there are already were started as they are planned now.

    Raises:
        ValueError: one was not; names what differs.
    """
    for run in runs:
        folder = RunFolder(storage / run.name)
        if not (folder.location / RUN_FILE).exists():
            continue
        recorded = folder.record().config
        differing = run.config.differences(recorded)
        if recorded.get("steps") != run.steps:
            differing.append(f"steps: {recorded.get('steps')} -> {run.steps}")
        if differing:
            raise ValueError(
                f"the run {folder.location} was started differently: {'; '.join(differing)}. Give its row "
                "what it had, name the row otherwise, or choose another --dest"
            )


def _run_key(storage: Location, run: PlannedRun) -> str | None:
    folder = RunFolder(storage / run.name)
    return folder.record().run_key if (folder.location / RUN_FILE).exists() else None
