"""One rule for --tracking in all commands."""

from __future__ import annotations

from urllib.parse import urlsplit

from pipelines.tracking.server import default_tracking_uri, usable_tracking_uri


def checked_tracking_uri(chosen: str | None) -> str | None:
    """What was chosen, else the environment's, else a database in the state folder; None for `none`."""
    if chosen == "none":
        return None
    uri = chosen or default_tracking_uri()
    if "@" in urlsplit(uri).netloc:
        raise ValueError(
            "the MLflow server's address has a user or password in it; give them to the cluster's nodes as "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        )
    return usable_tracking_uri(uri)
