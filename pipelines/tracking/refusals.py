"""Which errors of the tracking server are outages, and which are refusals that waiting does not change.

This module imports MLflow, which takes more than a second: import it only where a server is used.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator

import requests
from mlflow import __version__ as VERSION
from mlflow.exceptions import ERROR_CODE_TO_HTTP_STATUS, MlflowException

from pipelines.runtime.store_errors import speaks_no_tls
from pipelines.tracking.server import TrackingRefusedError

_OF_ACCESS = (401, 403)
_OF_VERSION = (405, 426, 501, 505)  # the server does not know, or does not take, what this client asks
_OF_LOAD = (408, 429, 499)
_MOST_CHARACTERS = 300
_UNKNOWN_STATUS = re.compile(r"failed with error code (\d{3}) != ")  # what MLflow's client says of the rest
_OF_DATABASES = {
    "out-of-date database schema": "another version of MLflow made it; as the message says, or choose "
    "another database by --tracking",
    "Can't locate revision": f"a newer MLflow than this one ({VERSION}) made it: install that here, or "
    "choose another database by --tracking",
    "file is not a database": "choose another file by --tracking",
    "disk image is malformed": "the file is damaged: restore it, or choose another by --tracking",
    "readonly database": "see that the file and its folder can be written",
    "unable to open database file": "see that the file and its folder can be written",
}
_REMEDIES = {
    401: "see that MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD are those of an account there",
    403: "ask for the account's permission; where the server refuses the address that it is called by, it "
    "has to allow that host (mlflow server --allowed-hosts)",
    404: "see that the address is that of an MLflow server, with the path that it is served under",
    **dict.fromkeys(
        _OF_VERSION,
        f"the server and this client (mlflow {VERSION}) are of versions that do not fit: install the "
        "server's version of mlflow here, or update the server",
    ),
}


def is_transient(error: Exception) -> bool:
    """Tell whether a request may succeed later: no answer, a server's error, a refusal for access or load."""
    status = _status(error)
    if status is None:
        # requests.RequestException is an OSError too; a spooled file that is gone will not come back.
        expected = isinstance(error, OSError) and not isinstance(error, FileNotFoundError)
        return expected or isinstance(error, TrackingRefusedError)
    return status >= 500 or status in (*_OF_ACCESS, *_OF_VERSION, *_OF_LOAD)


def refusal_of(error: Exception) -> str | None:
    """Return what the server refuses and what mends it, in one line; None for an outage."""
    if isinstance(error, TrackingRefusedError):
        return str(error)
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes(error)):
        return f"{_line(error)}; set MLFLOW_TRACKING_SERVER_CERT_PATH to the certificate of its authority"
    if any(map(speaks_no_tls, causes(error))):
        return f"{_line(error)}; the server speaks no TLS there: give its address with http://"
    text = str(error)
    if damage := next((remedy for part, remedy in _OF_DATABASES.items() if part in text), None):
        return f"{_line(error)}; {damage}"
    status = _status(error)
    if status is None or status in _OF_LOAD or (status >= 500 and status not in _OF_VERSION):
        return None
    remedy = _REMEDIES.get(status)
    return f"{_line(error)}; {remedy}" if remedy else _line(error)


def _status(error: Exception) -> int | None:
    """Return the HTTP status that an error stands for, if it stands for one."""
    if isinstance(error, MlflowException):
        if unknown := _UNKNOWN_STATUS.search(str(error)):
            return int(unknown[1])
        return ERROR_CODE_TO_HTTP_STATUS.get(error.error_code, 500)
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return int(error.response.status_code)
    return None


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it came of, in turn."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}..."
