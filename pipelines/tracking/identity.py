"""Identity of an MLflow run, and the note in a spool's folder that says which run it belongs to."""

from __future__ import annotations

import logging
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines.tracking.spool_entries import first_problem

logger = logging.getLogger(__name__)

IDENTITY_NAME = "run.json"


class RunIdentity(BaseModel):
    """Names by which every process finds the one MLflow run of a training run."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    experiment: str
    """Name of the MLflow experiment."""

    run_key: str
    """Key that the run keeps for good; there is one MLflow run per key."""

    run_name: str
    """Name that MLflow's pages show."""


class SpoolOwner(RunIdentity):
    """Run and tracking server that a spool's entries are for."""

    tracking_uri: str
    """Address of the server, without user and password."""


def write_identity(spool_folder: Path, identity: RunIdentity, tracking_uri: str) -> None:
    """Store beside a spool which run it belongs to, for `send_unsent`; log a failure."""
    owner = SpoolOwner(**identity.model_dump(), tracking_uri=tracking_uri)
    temporary = spool_folder / f".{IDENTITY_NAME}"
    try:
        temporary.write_text(owner.model_dump_json())
        temporary.replace(spool_folder / IDENTITY_NAME)
    except OSError as error:
        logger.warning(
            "%s was not written (%s): unsent entries of this spool will not be found.", spool_folder, error
        )


def read_identity(spool_folder: Path) -> SpoolOwner:
    """Read which run a spool belongs to.

    Raises:
        OSError: there is no such file.
        ValueError: the file is not as `write_identity` writes it.
    """
    try:
        return SpoolOwner.model_validate_json((spool_folder / IDENTITY_NAME).read_bytes())
    except ValidationError as error:
        raise ValueError(f"not as `write_identity` wrote it ({first_problem(error)})") from error
