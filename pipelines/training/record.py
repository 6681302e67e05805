"""Records of a run beside its metrics: configuration, data, environment and models."""

from __future__ import annotations

import json
import logging
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from charmnet.errors import in_words
from charmnet.methods import HarmonizationMethod
from charmnet.weights import load_checkpoint
from pipelines.config.recipes import to_toml
from pipelines.config.train_config import TrainConfig, flat
from pipelines.runs.checkpoints import registered_checkpoints
from pipelines.runs.run_folder import CONFIG_FILE, RunFolder
from pipelines.runtime.cluster import submission_id
from pipelines.runtime.paths import state_folder
from pipelines.runtime.redaction import redact
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import MANIFEST_NAME, Manifest
from pipelines.tracking import Tracker, close_orphans, send_unsent
from pipelines.training.job import RunTracking, TrainingJob

logger = logging.getLogger(__name__)

_PARAMS = ("method", "width", "batch_size", "learning_rate", "precision")  # few: see Tracker.log_params
_SETTLE_SECONDS = 10.0
_DESCRIPTION_TAG = "mlflow.note.content"
_MOST_CHANGES = 2000  # characters
_CODE = Path(__file__).parent


def reconcile_previous_runs(tracking: RunTracking) -> None:
    """Send what earlier commands could not, and close runs whose driver died; log where that fails."""
    uri, spools = tracking.tracking_uri, state_folder() / "spool"
    left = send_unsent(
        spools,
        uri,
        skip_run_key=tracking.run_key,
        timeout_seconds=_SETTLE_SECONDS,
        wait_for_files=False,
    )
    if left.message:
        logger.warning("%s", left.message)
    try:
        close_orphans(uri, tracking.experiment, unsent=left.kept_run_keys)
    except Exception as error:  # noqa: BLE001 - whatever the server says, it must not keep a run from starting
        logger.warning(
            "%s did not say which runs were left open (%s); a later command closes them",
            redact(uri), in_words(error),
        )  # fmt: skip


def record_run(tracker: Tracker, job: TrainingJob) -> None:
    """Record configuration, manifests and environment as files, data as inputs, the rest as tags.

    The page's description is written at the first start only: afterwards it is the user's to change.
    """
    config = job.config.to_json()
    values = flat(config)
    tracker.log_params({name: values[name] for name in _PARAMS if name in values})
    tracker.log_text(json.dumps(config, indent=1), artifact_path="config/config.json")
    data = {domain.value: union.uris for domain, union in job.datasets.items()}
    tracker.log_text(to_toml(job.config, data), artifact_path="config/config.toml")
    tracker.log_text(json.dumps(environment(), indent=1), artifact_path="config/environment.json")
    tags: dict[str, Any] = {
        "run_folder": job.run_folder,
        "git_commit": git_commit(),
        "git_changes": git_changes(),
        "ray_job_id": ray_job_id(),
    }
    if not registered_checkpoints(job.run_folder):
        tags[_DESCRIPTION_TAG] = description(job.config, job.steps, job.run_folder, data)
    for domain, union in job.datasets.items():
        for number, dataset in enumerate(union.members, start=1):
            name = f"{domain}" if len(union.members) == 1 else f"{domain}-{number}"
            record_manifest(tracker, dataset.manifest, name)
            tracker.log_dataset(
                str(dataset.location), name=name, digest=dataset.manifest.digest, context="training"
            )
        tags[f"data_sha256_{domain}"] = union.digest
    tracker.set_tags({name: value for name, value in tags.items() if value})


def description(config: TrainConfig, steps: int, run_folder: Location, data: dict[str, list[str]]) -> str:
    """Return what a run's page says of it, in Markdown: method, data, and the commands that use the run."""
    run = str(run_folder)
    resume = [
        "--config",
        f"{run}/{CONFIG_FILE}",
        "--storage",
        str(run_folder.parent),
        "--name",
        run_folder.name,
    ]
    evaluated = next(iter(data.get("real", []) or data["rendered"]))
    commands = (
        ["train", *resume],
        ["evaluate", "--model", run, "--data", evaluated],
        ["harmonize", "--model", run, "--composite", "in.jpg", "--mask", "mask.png", "--out", "out.png"],
    )
    return "\n".join(
        [
            f"`{config.method.name}`, {steps:,} steps of {config.batch_size} samples a domain, trained on",
            "",
            *(f"- {domain}: `{uri}`" for domain, uris in data.items() for uri in uris),
            "",
            "To go on, to measure and to apply it:",
            "",
            *(f"    charmnet {shlex.join(command)}" for command in commands),
        ]
    )


def record_manifest(tracker: Tracker, manifest: Manifest, name: str) -> None:
    """Record a manifest's files; of many shards, the list of them is a file of its own."""
    for file, data in manifest.files().items():
        artifact_path = f"data/{name}-{file}"
        if file == MANIFEST_NAME:
            tracker.log_text(data.decode(), artifact_path=artifact_path)
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / file
            path.write_bytes(data)
            tracker.log_file(path, artifact_path=artifact_path)


def environment() -> dict[str, Any]:
    """Return the machine and every installed package's version."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "packages": {
            d.metadata["Name"]: d.version for d in sorted(distributions(), key=lambda d: d.name.lower())
        },
    }


def git_commit() -> str | None:
    """Return the code's commit; None outside a checkout (`CHARMNET_GIT_COMMIT` says it there)."""
    return os.environ.get("CHARMNET_GIT_COMMIT") or _git("rev-parse", "HEAD")


def git_changes() -> str | None:
    """Return the files that differ from the commit, as `git status` names them; None where none does."""
    if os.environ.get("CHARMNET_GIT_COMMIT"):
        return None
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return changes[:_MOST_CHANGES] if changes else None


def _git(*arguments: str) -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    answer = subprocess.run([git, "-C", _CODE, *arguments], capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None


def ray_job_id() -> str | None:
    """Return the submission's id where `ray job submit` started this process, else Ray's own id."""
    import ray

    return submission_id() or ray.get_runtime_context().get_job_id()


def record_models(
    tracker: Tracker, folder: RunFolder, final: str | None, registered_name: str | None
) -> None:
    """Log the last model and, where there was validation, the best, which is registered before the last.

    The run is complete without: what goes wrong here is logged.

    Args:
        final: the name of the run's last checkpoint.
    """
    try:
        best = folder.best()
        if final:
            place = folder.location / final
            _record_model(tracker, "final", place, {}, registered_name if best is None else None)
        if best:
            place = folder.location / best["checkpoint"]
            _record_model(tracker, "best", place, {best["metric"]: best["value"]}, registered_name)
    except Exception:
        logger.exception("the models of %s were not logged; they lie in its folder", folder.location)


def _record_model(
    tracker: Tracker, name: str, checkpoint: Location, metrics: dict[str, float], registered_name: str | None
) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        checkpoint.download_folder(Path(temporary))
        method, metadata = load_checkpoint(Path(temporary))
    if not isinstance(method, HarmonizationMethod):
        return  # its checkpoint is logged; MLflow's models here take a composite and a mask
    from pipelines.tracking.logged_models import log_model  # loads MLflow: not before the run is over

    log_model(
        tracker,
        method,
        name,
        metrics,
        metadata=metadata,
        registered_name=registered_name,
        aliases=[name] if registered_name else [],
    )
