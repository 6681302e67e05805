"""Interface through which a training run or an evaluation is recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from charmnet.arrays import UInt8Array

RunStatus = Literal["FINISHED", "FAILED", "KILLED"]
"""Status with which a run ends."""


class Tracker:
    """Record of one run; this base class records nothing, as processes that do not track need it.

    No call raises, and none waits for a server.
    """

    @property
    def run_id(self) -> str | None:
        """Server's id of the run; None until the server has been reached."""
        return None

    @property
    def page(self) -> str | None:
        """How the run's page is opened, see `run_link`; None until the server has been reached."""
        return None

    def log_metrics(self, metrics: Mapping[str, float], step: int | None) -> None:
        """Record values by name at a training step.

        Args:
            metrics: value by name, such as `loss/adversarial`.
            step: training step; None for values that belong to the clock, whose step is the Unix second.
        """

    def log_image(self, image: UInt8Array, key: str, step: int) -> None:
        """Record a picture.

        Args:
            image: [H,W,3] uint8 RGB.
            key: pictures of one key, such as `samples/HCOCO`, are shown as a slider over the steps.
            step: training step.
        """

    def log_params(self, params: Mapping[str, object]) -> None:
        """Record a few settings: at most five, since the server's page repeats them above every picture."""

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set tags of the run, such as its git commit."""

    def log_text(self, text: str, *, artifact_path: str) -> None:
        """Record a text as the run's file `artifact_path`, such as `config/config.json`."""

    def log_file(self, path: Path, *, artifact_path: str) -> None:
        """Record a copy of a local file as the run's file `artifact_path`."""

    def log_dataset(self, uri: str, *, name: str, digest: str, context: str) -> None:
        """Record a data set that the run reads.

        Args:
            uri: location of the data set.
            name: name to show.
            digest: sha256 of its manifest, in hexadecimal digits.
            context: purpose, such as `training`.
        """

    def log_checkpoint(self, uri: str, step: int, metrics: Mapping[str, float]) -> None:
        """Record a stored checkpoint.

        Args:
            uri: location of the checkpoint's folder; its last part is the checkpoint's name.
            step: training step that it was saved after.
            metrics: validation figures of the checkpoint.
        """

    def log_kept_checkpoints(self, uris: Sequence[str], step: int) -> None:
        """Record which checkpoints exist at a step.

        Checkpoints that were logged before the last of these and are not among them count as removed. The
        URIs of a run's checkpoints sort by step.
        """

    def log_model_folder(
        self,
        folder: Path,
        *,
        name: str,
        step: int,
        metrics: Mapping[str, float],
        registered_name: str | None = None,
        aliases: Sequence[str] = (),
    ) -> None:
        """Record a saved MLflow model.

        Args:
            folder: model as `logged_models.save_mlflow_model` writes it; moved away and deleted once sent.
            name: such as `best` or `final`.
            step: training step of the weights.
            metrics: validation figures of the model.
            registered_name: registers the model as a new version under this name.
            aliases: aliases of the registered name, which then point to this version.
        """

    def pending(self) -> bytes:
        """Return the records that have not reached the server, of bounded size, to store in a checkpoint."""
        return b""

    def close(self, status: RunStatus | None = None, timeout_seconds: float = 60.0) -> bool:  # noqa: ARG002
        """Send all remaining records, then end the run.

        Args:
            status: final status of the run; None leaves it unchanged.
            timeout_seconds: time limit for sending.

        Returns:
            Whether everything arrived. The rest stays in the spool, whose folder is logged.
        """
        return True
