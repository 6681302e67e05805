"""What a training loop tells about itself, and to whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

RunStatus = Literal["FINISHED", "FAILED", "KILLED"]


class Tracker(Protocol):
    """A record of one run. No call raises, and none waits for a server.

    What is not overridden records nothing.
    """

    @property
    def run_id(self) -> str | None:
        """The server's id of the run; None until the server has been reached."""
        ...

    @property
    def page(self) -> str | None:
        """The address of the run's page; None until the server has been reached."""
        return None

    def log_metrics(self, metrics: Mapping[str, float], step: int | None) -> None:
        """Numbers by name at a step; at step None they belong to the clock (the step is the Unix second)."""
        return

    def log_image(self, image: np.ndarray, key: str, step: int) -> None:
        """[H,W,3] uint8 RGB; the pictures of a key, such as `samples/HCOCO`, make a slider over the steps."""
        return

    def log_params(self, params: Mapping[str, object]) -> None:
        """A few settings (five or fewer: the server's page repeats them above every picture)."""
        return

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Facts about the run, such as its git commit."""
        return

    def log_text(self, text: str, artifact_path: str) -> None:
        """A text as the run's file `artifact_path`, such as `config/config.json`."""
        return

    def log_file(self, path: Path, artifact_path: str) -> None:
        """A local file as the run's file `artifact_path`."""
        return

    def log_dataset(self, uri: str, name: str, digest: str, context: str) -> None:
        """A data set that the run reads; `digest` is its manifest's sha256, `context` such as `training`."""
        return

    def log_checkpoint(self, uri: str, step: int, metrics: Mapping[str, float]) -> None:
        """A checkpoint that lies at `uri`, with what was measured of it."""
        return

    def log_kept_checkpoints(self, uris: Sequence[str], step: int) -> None:
        """The checkpoints of a run that are there at a step: those logged before the last of them and not
        among them were removed. URIs of a run sort by step."""
        return

    def log_model_folder(
        self,
        folder: Path,
        name: str,
        step: int,
        metrics: Mapping[str, float],
        registered_name: str | None = None,
        aliases: Sequence[str] = (),
    ) -> None:
        """A saved MLflow model (see `logged_models`); the folder is taken over, then deleted."""
        return

    def pending(self) -> bytes:
        """What has not reached the server, of bounded size, to travel with a checkpoint."""
        ...

    def close(self, status: RunStatus | None = None, timeout_seconds: float = 60.0) -> bool:
        """Sends the rest, then ends the run with a status (None leaves it as it is).

        Returns:
            Whether everything arrived. What did not stays in the spool, whose place is logged.
        """
        ...


class NullTracker(Tracker):
    """The tracker of ranks other than 0: records nothing."""

    @property
    def run_id(self) -> None:
        """None: there is no run."""

    def pending(self) -> bytes:
        """Empty."""
        return b""

    def close(self, status: RunStatus | None = None, timeout_seconds: float = 60.0) -> bool:
        """True: there is nothing to send."""
        return True
