"""Server process in the background that outlives the command that started it.

A record in its state folder identifies it: process id and start time (a process id that the system gave to
another process is never signalled) and ports (links stay valid over a restart).
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from charmnet.errors import StorageError
from pipelines.runtime.ports import free_ports
from pipelines.runtime.retry import WaitTimeoutError, wait_until

LOOPBACK = "127.0.0.1"
START_TIMEOUT_SECONDS = 180.0  # MLflow takes 8 s as a rule, and minutes on a busy machine
STOP_GRACE_SECONDS = 20.0  # SeaweedFS waits up to 15 s for idle connections


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read: the whole file or nothing."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        stream.write(text)
    temporary.replace(path)


class Service(ABC):
    """Background server; a subclass says how to start it and how to see that it answers.

    Args:
        folder: for this server's record, log and data; made with mode 0700.
    """

    name: str
    port_names: tuple[str, ...]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._child: subprocess.Popen[bytes] | None = None  # set where this process started it

    @property
    def log(self) -> Path:
        """File with the server's output."""
        return self.folder / f"{self.name}.log"

    @property
    def url(self) -> str:
        """Address of the server.

        Raises:
            StorageError: the server was never started.
        """
        return f"http://{LOOPBACK}:{self.ports()[self.port_names[0]]}"

    def ports(self) -> dict[str, int]:
        """Return the recorded ports by name.

        Raises:
            StorageError: the server was never started.
        """
        record = self._record()
        if not record:
            raise StorageError(f"{self.name} was never started in {self.folder}; start it first")
        return {name: int(port) for name, port in record["ports"].items()}

    def running(self) -> bool:
        """Tell whether the recorded process is alive."""
        return self._process() is not None

    def start(self) -> None:
        """Start the server and wait until it answers; do nothing where it runs already.

        Raises:
            StorageError: it ended or did not answer in time; the message has the end of its log.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked():
            if self.running():
                return
            self._prepare()
            ports = self._choose_ports()
            with self.log.open("ab") as log:
                self._child = subprocess.Popen(
                    self._command(ports),
                    env=self._environment(),
                    cwd=self.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            self._write_record(self._child.pid, ports)
            try:
                self._wait(self._child)
            except StorageError:
                self._end()
                raise

    def stop(self, grace_seconds: float = STOP_GRACE_SECONDS) -> None:
        """End the server and its child processes, by force after `grace_seconds`; keep its data and ports."""
        if self.folder.exists():
            with self._locked():
                self._end(grace_seconds)

    @abstractmethod
    def _command(self, ports: Mapping[str, int]) -> list[str]: ...

    @abstractmethod
    def _environment(self) -> dict[str, str]: ...

    @abstractmethod
    def _answers(self) -> bool: ...

    def _prepare(self) -> None:  # noqa: B027 - not every service needs it
        """Create what must exist before the process starts."""

    @property
    def _record_path(self) -> Path:
        return self.folder / f"{self.name}.json"

    def _record(self) -> dict[str, Any] | None:
        try:
            record: dict[str, Any] | None = json.loads(self._record_path.read_text())
        except FileNotFoundError:
            return None
        return record

    def _choose_ports(self) -> dict[str, int]:
        """Return the recorded ports where they are free, and any free ones in place of the others."""
        recorded = (self._record() or {}).get("ports", {})
        preferred = [int(recorded.get(name, 0)) for name in self.port_names]
        return dict(zip(self.port_names, free_ports(preferred, LOOPBACK), strict=True))

    def _write_record(self, pid: int, ports: Mapping[str, int]) -> None:
        started = psutil.Process(pid).create_time()
        self._record_path.write_text(
            json.dumps({"pid": pid, "started_seconds": started, "ports": dict(ports)})
        )

    def _process(self) -> psutil.Process | None:
        record = self._record()
        if record is None:
            return None
        try:
            process = psutil.Process(record["pid"])
            same = abs(process.create_time() - record["started_seconds"]) < 1
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None

    def _end(self, grace_seconds: float = STOP_GRACE_SECONDS) -> None:
        process = self._process()
        if process is None:
            return
        family = [process, *process.children(recursive=True)]
        _signal(family, psutil.Process.terminate)
        _, alive = psutil.wait_procs(family, timeout=grace_seconds)
        _signal(alive, psutil.Process.kill)
        psutil.wait_procs(alive, timeout=STOP_GRACE_SECONDS)
        if self._child is not None:
            self._child.wait()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the folder's lock, so that two commands do not start the same server twice."""
        with (self.folder / f"{self.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        def answers() -> bool:
            if process.poll() is not None:
                raise StorageError(f"{self.name} ended with status {process.returncode}; {self._log_tail()}")
            return self._answers()

        def message() -> str:
            return f"{self.name} did not answer at {self.url}; {self._log_tail()}"

        try:
            wait_until(answers, START_TIMEOUT_SECONDS, message)
        except WaitTimeoutError as error:
            raise StorageError(str(error)) from error

    def _log_tail(self) -> str:
        return f"{self.log} ends with:\n{self.log.read_text(errors='replace')[-1500:]}"


def is_healthy(url: str) -> bool:
    """Tell whether a GET of an address on this machine is answered with 200."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy does not reach loopback
    try:
        with opener.open(url, timeout=5) as response:
            result: bool = response.status == 200
            return result
    except (urllib.error.URLError, OSError):
        return False


def _signal(processes: Sequence[psutil.Process], send: Callable[[psutil.Process], None]) -> None:
    for process in processes:
        try:
            send(process)
        except psutil.NoSuchProcess:
            continue
