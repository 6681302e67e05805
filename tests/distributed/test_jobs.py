"""A run as a job: submitted to a Ray head of its own and stopped there."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import pytest

from pipelines.chaos.ray_head import answer_of_head
from pipelines.runtime.cluster import free_port
from pipelines.runtime.retry import wait_until
from pipelines.runtime.storage import Location
from pipelines.tracking.server import connect
from tests.fixtures.datasets import ShardedDatasets
from tests.fixtures.object_store import ObjectStoreForTests


@pytest.fixture
def head(datasets: ShardedDatasets, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a head as infra/head.sh does, with ports of its own; the value is the URL that takes jobs."""
    port = free_port()
    ports = ["--port", str(free_port()), "--dashboard-port", str(port), "--dashboard-agent-listen-port", "0"]
    folder = tmp_path_factory.mktemp("head")
    # Not /tmp/ray, where it would leave its address to whoever looks for a cluster; sockets' paths are short.
    options = ["--temp-dir", tempfile.mkdtemp(prefix="ray-")]
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", *ports]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--num-cpus", "2", "--dashboard-host", "127.0.0.1", "--disable-usage-stats", *options],
            env={**os.environ, "RAY_JOB_STOP_WAIT_TIME_S": "90"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(timeout=60)


def test_stopping_a_submitted_job_saves_a_checkpoint_and_closes_the_run(
    datasets: ShardedDatasets, s3: ObjectStoreForTests, mlflow_server: str, head: str
) -> None:
    from ray.job_submission import JobStatus, JobSubmissionClient

    storage = s3.prefix()
    command = [
        *(
            sys.executable,
            "-m",
            "pipelines",
            "train",
            "--real",
            datasets.real,
            "--rendered",
            datasets.rendered,
        ),
        *("--storage", storage, "--name", "stopped", "--tracking", mlflow_server, "--experiment", "jobs"),
        *("--recipe", "debug", "steps=100000", "checkpoint_every=0", "log_every=1"),
    ]
    jobs = answer_of_head(lambda: JobSubmissionClient(head))
    job = answer_of_head(lambda: jobs.submit_job(entrypoint=shlex.join(command)))

    def ended() -> bool:
        return jobs.get_job_status(job).is_terminal()

    def log() -> str:
        return jobs.get_job_logs(job)

    wait_until(lambda: "pairs/s" in log() or ended(), 200, log)
    jobs.stop_job(job)
    wait_until(ended, 100, log)
    assert jobs.get_job_status(job) == JobStatus.STOPPED, log()
    names = [child.name for child in (Location.of(storage) / "stopped").children()]
    assert [name for name in names if name.startswith("checkpoint-")], log()
    client = connect(mlflow_server)
    (run,) = client.search_runs([client.get_experiment_by_name("jobs").experiment_id])
    assert run.info.status == "KILLED"
    assert run.data.tags["ray_job_id"] == job
