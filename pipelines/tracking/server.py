"""Address of the tracking server, its pages, and a client of it."""

from __future__ import annotations

import logging
import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from charmnet.errors import CharmNetError
from pipelines.runtime.paths import state_folder
from pipelines.runtime.redaction import redact

if TYPE_CHECKING:
    from mlflow import MlflowClient

METRICS_PER_REQUEST = 1000
"""Most metrics that the server accepts in one request."""

_UI_PORT = 5000  # MLflow's own

# The shipper repeats requests itself: each should fail soon, and once. The links that MLflow prints lack the
# part that makes the page show a training run. A user's own settings win.
_CLIENT_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}


class TrackingRefusedError(CharmNetError):
    """The tracking server answers, and refuses until somebody changes something there."""


@dataclass(frozen=True)
class Credentials:
    """User of the tracking server and the user's password."""

    username: str
    password: str = field(repr=False)

    def export(self) -> None:
        """Set the environment variables that MLflow's client and this process's children read."""
        os.environ["MLFLOW_TRACKING_USERNAME"] = self.username
        os.environ["MLFLOW_TRACKING_PASSWORD"] = self.password


def split_credentials(tracking_uri: str) -> tuple[str, Credentials | None]:
    """Return a tracking address without its `user:password@`, and the user and password separately.

    Raises:
        ValueError: neither http(s) nor an absolute sqlite path (processes differ in their working directory).
    """
    parts = urlsplit(tracking_uri)
    if parts.scheme not in ("http", "https") and not tracking_uri.startswith("sqlite:////"):
        raise ValueError(
            f"tracking URI is {redact(tracking_uri)!r}, expected http(s)://HOST[:PORT] or "
            "sqlite:////ABSOLUTE/PATH; a relative path differs between the driver and its workers"
        )
    user, separator, host = parts.netloc.rpartition("@")
    if not separator:
        return tracking_uri, None
    username, _, password = user.partition(":")
    return urlunsplit(parts._replace(netloc=host)), Credentials(unquote(username), unquote(password))


def use_credentials(tracking_uri: str) -> str:
    """Return a tracking address without its `user:password@`, which is put into the environment.

    Raises:
        ValueError: as `split_credentials`.
    """
    address, credentials = split_credentials(tracking_uri)
    if credentials is not None:
        credentials.export()
    return address


def usable_tracking_uri(tracking_uri: str, *, create: bool = True) -> str:
    """Return a tracking address that a command can use; check that a database can be kept at its path.

    A command calls it first: a server that is away may come back, a folder that cannot be written may not.

    Args:
        tracking_uri: address as given.
        create: make a database's folder and file, and so see that they can be made.

    Raises:
        ValueError: user and password stand in it, it is no such address, or a database where none can be.
    """
    uri, credentials = split_credentials(tracking_uri)
    if credentials is not None:
        raise ValueError(
            f"the MLflow server's address {uri} was given with a user or password in it; give them in the "
            "environment (on a cluster, in that of its nodes) as MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD"
        )
    database = database_file(uri)
    if database is not None and create:
        try:
            database.parent.mkdir(parents=True, exist_ok=True)
            with database.open("ab"):
                pass
        except OSError as error:
            raise ValueError(
                f"tracking URI is {uri!r}, where no database can be kept ({error.strerror or error}); choose "
                "a file in a folder that can be written"
            ) from error
    return uri


def default_tracking_uri() -> str:
    """Return the address in `$MLFLOW_TRACKING_URI`, else that of a database in the state folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{state_folder() / 'mlflow.db'}"


def local_artifacts(tracking_uri: str) -> str | None:
    """Return the folder URI of a database's artifacts: beside it, not in the working directory.

    None for a server, which keeps artifacts itself.
    """
    database = database_file(tracking_uri)
    return None if database is None else (database.parent / "mlflow-artifacts").as_uri()


def database_file(tracking_uri: str) -> Path | None:
    """Return the file of the database that an address names; None for a server."""
    if not tracking_uri.startswith("sqlite:"):
        return None
    return Path(tracking_uri.removeprefix("sqlite:///").partition("?")[0])


def connect(tracking_uri: str) -> MlflowClient:
    """Return a client of the server at an address; makes no request.

    User and password that stand in the address go into the environment, where the client reads them.
    """
    for name, value in _CLIENT_DEFAULTS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient  # noqa: PLC0415 - MLflow takes more than a second of a core to load

    # MLflow reads the variable when it is first imported, which may have been before it was set.
    logging.getLogger("mlflow").setLevel(os.environ["MLFLOW_LOGGING_LEVEL"].upper())
    return MlflowClient(tracking_uri=use_credentials(tracking_uri))


def experiment_link(tracking_uri: str, experiment_id: str) -> str:
    """Return how the experiment's page is opened; see `run_link`."""
    return _opened(tracking_uri, f"experiments/{experiment_id}")


def run_link(tracking_uri: str, experiment_id: str, run_id: str) -> str:
    """Return how a person opens the run's page with its charts and pictures.

    It is the page's address; of a database on disk the command that serves it, and then the address.
    """
    return _opened(tracking_uri, f"experiments/{experiment_id}/runs/{run_id}/model-metrics")


def _opened(tracking_uri: str, path: str) -> str:
    address = split_credentials(tracking_uri)[0]
    page = f"/#/{path}?workflowType=machine_learning"
    if database_file(address) is None:
        return f"{address.rstrip('/')}{page}"
    command = shlex.join(["mlflow", "ui", "--backend-store-uri", address, "--port", str(_UI_PORT)])
    return f"{command}\n  and then http://127.0.0.1:{_UI_PORT}{page}"
