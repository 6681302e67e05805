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

from pipelines.chaos.ray_head import drain_node
from pipelines.runtime.cluster import free_port
from pipelines.runtime.ray_folders import short_folder, temporary_folder
from pipelines.runtime.retry import wait_until
from pipelines.services.service import LOOPBACK

_START_SECONDS = 400.0  # where others compute; an idle machine takes ten
_END_SECONDS = 20.0
_JOINED = "Ray runtime started"
_OBJECT_STORE_BYTES = 500_000_000


@dataclass(frozen=True)
class Node:
    """A node of the cluster.

    Attributes:
        state: its folder for spools and the like (`CHARMNET_STATE`); the node's name in Ray is the folder's.
        process: `ray start --block`, of which all else on the node descends.
        log: file of its messages.
    """

    state: Path
    process: subprocess.Popen[bytes]
    log: Path

    def has_joined(self) -> bool:
        """Return whether the node is part of the cluster."""
        return _JOINED in self.log.read_text(errors="replace")

    def processes(self) -> list[psutil.Process]:
        """Return all processes on the node."""
        try:
            found: list[psutil.Process] = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return found

    def lose(self) -> None:
        """Kill everything on the node at once, and delete what its disk holds."""
        processes = self.processes()
        self.process.kill()
        for process in processes:
            kill(process)
        self.process.wait()
        psutil.wait_procs(processes, timeout=_END_SECONDS)
        shutil.rmtree(self.state, ignore_errors=True)


class NodeCluster:
    """A head that runs the drivers of jobs and is never lost, and nodes that do the work.

    Args:
        folder: folder of logs and of the nodes' state.
        environment: environment variables of all its processes.
        cpus: logical CPUs of a node; the head has none.

    Attributes:
        nodes: the nodes but the head.
        head: the head, once it was started.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], cpus: int) -> None:
        self._folder = folder
        self._environment = dict(environment)
        self._cpus = cpus
        self._port = free_port()
        self._dashboard_port = free_port()
        self._temporary = Path(tempfile.mkdtemp(prefix="ray-", dir=short_folder(temporary_folder())))
        self._started = 0
        self.nodes: list[Node] = []
        self.head: Node | None = None

    @property
    def address(self) -> str:
        """HOST:PORT that nodes join at."""
        return f"{LOOPBACK}:{self._port}"

    @property
    def dashboard(self) -> str:
        """URL that jobs are submitted to."""
        return f"http://{LOOPBACK}:{self._dashboard_port}"

    @property
    def driver_logs(self) -> Path:
        """Folder of the logs of jobs' drivers."""
        return self._temporary / "session_latest" / "logs"

    def start(self) -> None:
        """Start the head and one node."""
        self.head = self._start(
            *("--head", "--port", str(self._port), "--num-cpus", "0"),
            *("--dashboard-host", LOOPBACK, "--dashboard-port", str(self._dashboard_port)),
            *("--temp-dir", str(self._temporary)),
        )
        self.add_node()

    def add_node(self, cpus: int | None = None) -> Node:
        """Start one more node and wait until it has joined.

        Args:
            cpus: its logical CPUs, where it has not those of all nodes.
        """
        node = self._start("--address", self.address, "--num-cpus", str(cpus or self._cpus))
        self.nodes.append(node)
        return node

    def replace_nodes(self, count: int = 1, cpus: int | None = None) -> None:
        """Lose all nodes but the head, and add others.

        Args:
            count: number of nodes to add.
            cpus: their logical CPUs, where they have not those of all nodes.
        """
        for node in list(self.nodes):
            self.lose(node)
        for _ in range(count):
            self.add_node(cpus)

    def all_nodes(self) -> list[Node]:
        """Return the nodes and, as the last, the head."""
        return [*self.nodes, *([self.head] if self.head else [])]

    def drain(self, node: Node, notice_seconds: float) -> None:
        """Give a node notice that it will be lost.

        Raises:
            ClusterError: Ray does not accept the request.
        """
        drain_node(self.address, node.state.name, notice_seconds)

    def lose(self, node: Node) -> None:
        """Lose a node for good."""
        self.nodes.remove(node)
        node.lose()

    def stop(self) -> None:
        """End all nodes and the head."""
        for node in self.all_nodes():
            node.lose()
        shutil.rmtree(self._temporary, ignore_errors=True)

    def processes(self, title: str) -> list[psutil.Process]:
        """Return processes of all nodes whose title or command contains a text, oldest first."""
        processes = [process for node in self.all_nodes() for process in node.processes()]
        return sorted((process for process in processes if title in _command(process)), key=_start_time)

    def node_of(self, process: psutil.Process) -> Node:
        """Return the node that a process runs on."""
        return next(node for node in self.nodes if process in node.processes())

    def _start(self, *options: str) -> Node:
        self._started += 1
        state = self._folder / f"node-{self._started}"
        state.mkdir(parents=True)
        ray = (sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats")
        common = (
            *("--node-name", state.name, "--num-gpus", "0", "--dashboard-agent-listen-port", "0"),
            *("--object-store-memory", str(_OBJECT_STORE_BYTES)),
        )
        path = self._folder / f"{state.name}.log"
        with path.open("wb") as log:
            process = subprocess.Popen(
                [*ray, *common, *options],
                env={**self._environment, "CHARMNET_STATE": str(state)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        node = Node(state, process, path)
        try:
            wait_until(node.has_joined, _START_SECONDS, f"a node of Ray did not start; see {path}")
        except BaseException:
            node.lose()
            raise
        return node


def kill(process: psutil.Process) -> bool:
    """Send SIGKILL to a process; return whether it was still there."""
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


def _start_time(process: psutil.Process) -> float:
    try:
        return float(process.create_time())
    except psutil.Error:
        return 0.0


def clean_environment() -> dict[str, str]:
    """Return this process's environment without what leads to the user's store, cluster or server."""
    prefixes = ("AWS_", "RAY_", "MLFLOW_", "CHARMNET_")
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
