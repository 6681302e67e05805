"""An elastic run on a cluster of several nodes on this machine, of which one is drained, lost and replaced.

  python -m tests.elastic

A head without CPUs, nodes of one CPU each, and `charmnet train --workers 1:3 --audit` on a small data set:

- two nodes: it starts with two workers, since there are no more;
- a node is given notice: a checkpoint is saved at once. The node is killed: it goes on with one worker;
- another node comes: it goes on with two;
- the driver is asked to stop: it saves a checkpoint, and the audit of the whole run must hold.

What happened is printed with the seconds that each took. Takes some three minutes.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from charmnet.weights import CHECKPOINT_FILE
from pipelines.commands.cli import main as charmnet
from pipelines.runtime.storage import Location
from tests.synthetic_datasets import pair_rows, scene_rows, write_dataset

PATIENCE_SECONDS = 400
NOTICE_SECONDS = 60
CHECKPOINT_EVERY = 51  # those that are saved on notice are of multiples of five


class Elastic:
    """The run in its folder, told from the outside by what lies there."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.run = folder, folder / "run"
        self.started = time.monotonic()

    def attempts(self) -> list[dict[str, Any]]:
        """Workers and first step of every start of the worker group."""
        return [Location.of(path).read_json() for path in sorted(self.run.glob("attempts/*.json"))]

    def checkpoints(self) -> list[int]:
        """Steps of those that are registered."""
        return sorted(int(path.parent.name[-9:]) for path in self.run.glob(f"checkpoint-*/{CHECKPOINT_FILE}"))

    def until(self, what: str, condition: Callable[[], object], driver: subprocess.Popen[bytes]) -> None:
        """Waits, and prints how long it took.

        Raises:
            SystemExit: it does not come about, or the driver is gone.
        """
        began = time.monotonic()
        while not condition():
            if driver.poll() is not None or time.monotonic() - began > PATIENCE_SECONDS:
                raise SystemExit(f"{what}: not seen; the driver's exit code is {driver.poll()}")
            time.sleep(0.2)
        now = time.monotonic()
        print(f"{now - self.started:6.1f} s  {what} (after {now - began:.1f} s)", flush=True)


def driver(folder: Path, address: str) -> subprocess.Popen[bytes]:
    """`charmnet train` on a small data set that is made for it."""
    real = write_dataset(Location.of(folder / "real"), pair_rows(24, size=(48, 64)), 6)
    rendered = write_dataset(Location.of(folder / "rendered"), scene_rows(4, size=(48, 64)), 1)
    data = ("--real", str(real.location), "--rendered", str(rendered.location), "--storage", str(folder))
    named = ("--name", "run", "--recipe", "debug", "--workers", "1:3", "--tracking", "none", "--audit")
    fields = ("steps=1000000", "batch_size=6", f"checkpoint_every={CHECKPOINT_EVERY}", "validate_every=0")
    environment = {**os.environ, "RAY_ADDRESS": address, "CHARMNET_STATE": str(folder / "state")}
    command = [sys.executable, "-m", "pipelines", "train", *data, *named, *fields]
    return subprocess.Popen(command, env=environment)


def scenario(elastic: Elastic, cluster: Any, nodes: list[Any], train: subprocess.Popen[bytes]) -> None:
    from ray._raylet import GcsClient
    from ray.core.generated.autoscaler_pb2 import DrainNodeReason

    def workers() -> list[int]:
        return [attempt["workers"] for attempt in elastic.attempts()]

    def on_notice() -> list[int]:
        return [step for step in elastic.checkpoints() if step % CHECKPOINT_EVERY]

    elastic.until("two workers train: there are no more nodes", lambda: workers() == [2], train)
    elastic.until("a checkpoint is saved", elastic.checkpoints, train)
    deadline_ms = int((time.time() + NOTICE_SECONDS) * 1000)
    lost = nodes.pop()
    GcsClient(address=cluster.address).drain_node(
        lost.node_id, DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION"), "preempted", deadline_ms
    )
    elastic.until("a node has notice, and one more is saved", on_notice, train)
    saved = on_notice()[-1]
    cluster.remove_node(lost, allow_graceful=False)
    elastic.until("the node is gone, one worker trains", lambda: workers() == [2, 1], train)
    began = elastic.attempts()[-1]["start_step"]
    print(f"          it went on at step {began}, the notice's checkpoint is of step {saved}")
    nodes.append(cluster.add_node(num_cpus=1))
    elastic.until("a node has come, two workers train", lambda: workers() == [2, 1, 2], train)
    began = elastic.attempts()[-1]["start_step"]
    elastic.until("a checkpoint of the two is saved", lambda: elastic.checkpoints()[-1] > began, train)
    train.send_signal(signal.SIGTERM)
    elastic.until("asked to stop, it has saved and ended", lambda: train.poll() is not None, train)


def main() -> int:
    # Before Ray is imported: its control port is open on every interface.
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    from ray.cluster_utils import Cluster

    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as temporary:
        # Not /tmp/ray, where it would leave its address to whoever looks for a cluster.
        head = {"num_cpus": 0, "temp_dir": f"{temporary}/ray", "include_dashboard": True}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        elastic = Elastic(Path(temporary))
        train = driver(elastic.folder, cluster.address)
        try:
            scenario(elastic, cluster, nodes, train)
        finally:
            train.kill()
            train.wait()
            cluster.shutdown()
        return charmnet(["audit", str(elastic.run)])


if __name__ == "__main__":
    raise SystemExit(main())
