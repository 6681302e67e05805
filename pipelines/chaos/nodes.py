"""A Ray cluster of several nodes on this machine, each of which can be lost as a machine is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipelines.runtime.cluster import free_port
from pipelines.runtime.retry import wait_until
from pipelines.services.service import LOOPBACK

_START_SECONDS = 180.0
_END_SECONDS = 20.0
_JOINED = "Ray runtime started"
_OBJECT_STORE_BYTES = 500_000_000


@dataclass(frozen=True)
class Node:
    """
    Attributes:
        state: its folder for spools and the like (`CHARMNET_STATE`): a node that is lost loses it.
        process: `ray start --block`, of which all else on the node descends. log: what it says.
    """

    state: Path
    process: subprocess.Popen[bytes]
    log: Path

    def has_joined(self) -> bool:
        return _JOINED in self.log.read_text(errors="replace")

    def processes(self) -> list[psutil.Process]:
        """All that runs on it."""
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def lose(self) -> None:
        """Everything on it ends at once, and what its disk held is gone."""
        processes = self.processes()
        self.process.kill()
        for process in processes:
            kill(process)
        self.process.wait()
        psutil.wait_procs(processes, timeout=_END_SECONDS)
        shutil.rmtree(self.state, ignore_errors=True)


class NodeCluster:
    """A head that runs the jobs' drivers and is never lost, and nodes that do the work.

    Args:
        folder: for logs and the nodes' state. environment: of every process on it.
        cpus: logical ones of each node but the head, which has none.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], cpus: int) -> None:
        self._folder, self._environment, self._cpus = folder, dict(environment), cpus
        self._port, self._dashboard_port = free_port(), free_port()
        self._temporary = Path(tempfile.mkdtemp(prefix="ray-"))  # a short path: sockets are in it
        self._started = 0
        self.nodes: list[Node] = []
        self.head: Node | None = None

    @property
    def dashboard(self) -> str:
        """Where jobs are submitted."""
        return f"http://{LOOPBACK}:{self._dashboard_port}"

    @property
    def driver_logs(self) -> Path:
        return self._temporary / "session_latest" / "logs"

    def start(self) -> None:
        """The head and one node."""
        self.head = self._start(
            *("--head", "--port", str(self._port), "--num-cpus", "0"),
            *("--dashboard-host", LOOPBACK, "--dashboard-port", str(self._dashboard_port)),
            *("--temp-dir", str(self._temporary)),
        )
        self.add_node()

    def add_node(self) -> Node:
        """One more, once it has joined."""
        node = self._start("--address", f"{LOOPBACK}:{self._port}", "--num-cpus", str(self._cpus))
        self.nodes.append(node)
        return node

    def all_nodes(self) -> list[Node]:
        """The head is the last."""
        return [*self.nodes, *([self.head] if self.head else [])]

    def lose(self, node: Node) -> None:
        self.nodes.remove(node)
        node.lose()

    def stop(self) -> None:
        for node in self.all_nodes():
            node.lose()
        shutil.rmtree(self._temporary, ignore_errors=True)

    def processes(self, title: str) -> list[psutil.Process]:
        """Of all nodes, those whose title or command has this in it, oldest first."""
        found = [p for node in self.all_nodes() for p in node.processes() if title in _command(p)]
        return sorted(found, key=_started)

    def node_of(self, process: psutil.Process) -> Node:
        """Which node a process runs on."""
        return next(node for node in self.nodes if process in node.processes())

    def _start(self, *options: str) -> Node:
        self._started += 1
        state = self._folder / f"node-{self._started}"
        state.mkdir(parents=True)
        ray = (sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats")
        own = (
            *("--num-gpus", "0", "--object-store-memory", str(_OBJECT_STORE_BYTES)),
            *("--dashboard-agent-listen-port", "0"),
        )
        path = self._folder / f"{state.name}.log"
        with path.open("wb") as log:
            process = subprocess.Popen(
                [*ray, *own, *options],
                env={**self._environment, "CHARMNET_STATE": str(state)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        node = Node(state, process, path)
        wait_until(node.has_joined, _START_SECONDS, f"a node of Ray did not start; see {path}")
        return node


def kill(process: psutil.Process) -> bool:
    """SIGKILL; whether it was there to get it."""
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return False
    return True


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _started(process: psutil.Process) -> float:
    try:
        return process.create_time()
    except psutil.Error:
        return 0.0


def clean_environment() -> dict[str, str]:
    """This process's own, without what would lead to the user's store, cluster or server."""
    others = ("AWS_", "RAY_", "MLFLOW_", "CHARMNET_")
    return {name: value for name, value in os.environ.items() if not name.startswith(others)}
