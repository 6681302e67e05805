"""Sending of files to the server's store, going on where an earlier attempt or command ended.

A file is sent whole: MLflow's proxied store takes no part of one, and the addresses that it gives out for
the parts of large files (where it keeps them in S3) are good for an hour and cannot be renewed.

This module imports MLflow, which takes more than a second: import it only where a server is used.
"""

from __future__ import annotations

import io
import logging
import posixpath
from collections.abc import Callable
from pathlib import Path

import urllib3
from mlflow import MlflowClient
from mlflow.environment_variables import MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.mime_type_utils import _guess_mime_type
from mlflow.utils.request_utils import augmented_raise_for_status
from mlflow.utils.rest_utils import http_request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.tracking.refusals import causes

logger = logging.getLogger(__name__)

JOURNAL_NAME = "arrived.json"
_FIRST_SILENCE_SECONDS = 900.0
_LONGEST_SILENCE_SECONDS = 4 * 3600.0


class _Journal(BaseModel):
    """What has arrived of the files that are being sent, in the spool's folder."""

    model_config = ConfigDict(strict=True, extra="forbid")

    sending: str = ""
    """Entry whose files they are, and where they go."""

    arrived: list[str] = Field(default_factory=list)
    """Files that need not be sent again."""

    silence_seconds: float = _FIRST_SILENCE_SECONDS
    """Time without a byte or an answer after which a file is sent again.

    Between here and the server lie buffers (4 MiB and more in the kernel alone, and proxies that keep a
    request until it is complete), which take what is sent and go on sending while nothing is heard. So it is
    long, and doubles where it was too short."""


class FileSender:
    """Sender of one entry's files at a time.

    Args:
        client: client of the tracking server.
        spool_folder: folder of the spool, in which it is noted what has arrived.
        stopped: tells whether nobody waits any more: a file that is being sent is then left.
    """

    def __init__(self, client: MlflowClient, spool_folder: Path, stopped: Callable[[], bool]) -> None:
        self._client = client
        self._journal_file = spool_folder / JOURNAL_NAME
        self._stopped = stopped

    def send(self, source: Path, address: str, folder: str | None, *, key: str) -> None:
        """Send a file, or all files beneath a folder, except what has arrived before under this key.

        Args:
            source: file, or folder whose content goes to `folder`.
            address: artifact location of a run or a model.
            folder: folder in it; None for its top.
            key: names source and content; what is sent under another key begins anew.

        Raises:
            Exception: as MLflow's client; what has arrived is noted.
        """
        store = get_artifact_repository(address, tracking_uri=self._client.tracking_uri)
        journal = self._journal_of(f"{key} {address}")
        files = [source] if source.is_file() else [file for file in source.rglob("*") if file.is_file()]
        # The small ones first: where a command ends before a large one has arrived, these are done.
        for file in sorted(files, key=lambda file: (file.stat().st_size, file)):
            name = "" if file == source else file.relative_to(source).as_posix()
            if name in journal.arrived:
                continue
            parent = posixpath.join(folder or "", posixpath.dirname(name)).rstrip("/")
            self._send_file(store, file, parent or None, journal)
            journal.arrived.append(name)
            self._save(journal)

    def _send_file(
        self, store: ArtifactRepository, file: Path, folder: str | None, journal: _Journal
    ) -> None:
        if not isinstance(store, HttpArtifactRepository) or MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD.get():
            store.log_artifact(str(file), folder)
            return
        try:
            with _Body(file, self._stopped) as body:
                answer = http_request(
                    get_default_host_creds(store.artifact_uri),
                    posixpath.join("/", folder or "", file.name),
                    "PUT",
                    data=body,
                    timeout=journal.silence_seconds,
                    extra_headers={"Content-Type": _guess_mime_type(file.name)},
                )
            augmented_raise_for_status(answer)
        except Exception as error:
            if any(map(_is_silence, causes(error))):
                journal.silence_seconds = min(2 * journal.silence_seconds, _LONGEST_SILENCE_SECONDS)
                self._save(journal)
            raise

    def _journal_of(self, sending: str) -> _Journal:
        try:
            journal = _Journal.model_validate_json(self._journal_file.read_bytes())
        except FileNotFoundError:
            journal = _Journal()
        except (OSError, ValidationError) as error:
            logger.debug("%s: %s", self._journal_file, error)
            journal = _Journal()
        if journal.sending != sending:
            journal = _Journal(sending=sending, silence_seconds=journal.silence_seconds)
        return journal

    def _save(self, journal: _Journal) -> None:
        temporary = self._journal_file.with_suffix(".new")
        try:
            temporary.write_text(journal.model_dump_json())
            temporary.replace(self._journal_file)
        except OSError as error:  # a full disk: a file may be sent twice
            logger.debug("%s was not written: %s", self._journal_file, error)


def _is_silence(error: BaseException) -> bool:
    """Tell whether a connection was given up here, while sending or waiting for the answer."""
    of_sending = isinstance(error, TimeoutError) and error.errno is None
    return of_sending or isinstance(error, urllib3.exceptions.ReadTimeoutError)


class _Body(io.FileIO):
    """File that is read as it is sent; reading fails once nobody waits for it."""

    def __init__(self, path: Path, stopped: Callable[[], bool]) -> None:
        super().__init__(path)
        self._stopped = stopped

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as `io.FileIO.read` does.

        Raises:
            ConnectionAbortedError: nobody waits any more.
        """
        if self._stopped():
            raise ConnectionAbortedError(f"{self.name} was left: the command ends")
        return super().read(-1 if size is None else size)
