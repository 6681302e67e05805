"""A training run as a job of the cluster, watched through its log."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from charmnet.errors import ClusterError
from pipelines.chaos.nodes import until

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

T = TypeVar("T")

_POLL_SECONDS = 0.4
_ANSWER_SECONDS = 120.0
_MOST_SECONDS = 900.0  # of a run that still gets somewhere; after that it hangs
_STEP = re.compile(r"^step (\d+)/\d+ ", re.MULTILINE)
_ERROR = "charmnet: error: "


class Run:
    """
    Args:
        command: of the driver. logs: where Ray keeps those of jobs.
        variables: of the environment of its processes, beside those of the node; no secrets.

    Attributes:
        seconds: from its first submission to its last end.
    """

    def __init__(
        self,
        client: JobSubmissionClient,
        name: str,
        command: Sequence[str],
        logs: Path,
        variables: Mapping[str, str],
    ) -> None:
        self.name = name
        self._client, self._command, self._logs, self._variables = client, command, logs, dict(variables)
        self._jobs: list[str] = []
        self._started = time.monotonic()
        self.seconds = 0.0

    def submit(self) -> None:
        """Starts its driver: for the first time, or again after the one before has ended."""
        job = f"{self.name}-{len(self._jobs) + 1}"
        environment = {"env_vars": self._variables} if self._variables else None
        entrypoint = shlex.join(self._command)
        when_it_answers(
            lambda: self._client.submit_job(entrypoint=entrypoint, submission_id=job, runtime_env=environment)
        )
        self._jobs.append(job)

    def log(self) -> str:
        """What its drivers have printed so far."""
        paths = [self._logs / f"job-driver-{job}.log" for job in self._jobs]
        return "".join(path.read_text(errors="replace") for path in paths if path.exists())

    @property
    def step(self) -> int:
        """The last that was told of."""
        steps = _STEP.findall(self.log())
        return int(steps[-1]) if steps else 0

    @property
    def ended(self) -> bool:
        return bool(self._status().is_terminal())

    @property
    def succeeded(self) -> bool:
        return self._status().value == "SUCCEEDED"

    @property
    def error(self) -> str:
        """What the last driver said went wrong."""
        lines = [line for line in self.log().splitlines() if line.startswith(_ERROR)]
        return lines[-1].removeprefix(_ERROR) if lines else ""

    def wait(self, condition: Callable[[], object]) -> bool:
        """Until something holds; whether it did before the run ended."""
        deadline = time.monotonic() + _MOST_SECONDS
        while not condition():
            if self.ended:
                return False
            if time.monotonic() > deadline:
                raise ClusterError(f"the run {self.name} hangs at step {self.step}")
            time.sleep(_POLL_SECONDS)
        return True

    def wait_for_step(self, step: int) -> bool:
        return self.wait(lambda: self.step >= step)

    def wait_for_end(self) -> None:
        self.wait(lambda: False)
        self.seconds = time.monotonic() - self._started

    def stop(self) -> None:
        """By force, where it hangs."""
        if self._jobs and not self.ended:
            self._client.stop_job(self._jobs[-1])
            until(lambda: self.ended, _ANSWER_SECONDS, f"the job of {self.name} to stop")

    def _status(self) -> Any:  # a `JobStatus`
        return when_it_answers(lambda: self._client.get_job_status(self._jobs[-1]))


def when_it_answers(call: Callable[[], T]) -> T:
    """The call's result once the cluster's head answers it.

    Raises:
        ClusterError: it never does.
    """
    deadline = time.monotonic() + _ANSWER_SECONDS
    while True:
        try:
            return call()
        except (OSError, RuntimeError) as error:
            if time.monotonic() > deadline:
                raise ClusterError(f"the cluster's head does not answer: {error}") from error
            time.sleep(0.5)
