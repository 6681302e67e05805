"""A training run as a job of the cluster, followed by its log."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.chaos.ray_head import answer_of_head
from pipelines.runtime.retry import wait_until

if TYPE_CHECKING:
    from ray.job_submission import JobStatus, JobSubmissionClient

_POLL_SECONDS = 0.4
_STOP_SECONDS = 150.0
_MOST_SECONDS = 900.0  # of a run that still gets somewhere; after that it hangs
_STEP = re.compile(r"^step (\d+)/\d+ ", re.MULTILINE)
_ERROR = "charmnet: error: "
_ENDED = {"SUCCEEDED": "FINISHED", "STOPPED": "STOPPED"}  # by Ray's status of the job


class SubmittedRun:
    """A run whose driver is submitted as a job, once or several times.

    Args:
        client: client of the cluster's head.
        name: name of the run.
        command: command of the driver.
        logs: folder in which Ray keeps logs of jobs.
        variables: environment variables of its processes, beside those of the node; no secrets.

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
        self._client = client
        self._command = command
        self._logs = logs
        self._variables = dict(variables)
        self._jobs: list[str] = []
        self._started = time.monotonic()
        self.seconds = 0.0

    def rival(self) -> SubmittedRun:
        """Return another driver of the same run, which is not submitted yet."""
        name = f"{self.name}-rival"
        return SubmittedRun(self._client, name, self._command, self._logs, self._variables)

    def submit(self) -> None:
        """Start the driver: for the first time, or again after the one before has ended."""
        job = f"{self.name}-{len(self._jobs) + 1}"
        environment = {"env_vars": self._variables} if self._variables else None
        entrypoint = shlex.join(self._command)
        answer_of_head(
            lambda: self._client.submit_job(entrypoint=entrypoint, submission_id=job, runtime_env=environment)
        )
        self._jobs.append(job)

    def log(self) -> str:
        """Return what its drivers have printed so far."""
        paths = [self._logs / f"job-driver-{job}.log" for job in self._jobs]
        return "".join(path.read_text(errors="replace") for path in paths if path.exists())

    @property
    def step(self) -> int:
        """Last step that the log names, or 0."""
        steps = _STEP.findall(self.log())
        return int(steps[-1]) if steps else 0

    @property
    def has_ended(self) -> bool:
        """True once its last job has ended."""
        return bool(self._status().is_terminal())

    @property
    def ended(self) -> str:
        """How its last job ended: FINISHED, STOPPED (it was asked to) or FAILED."""
        return _ENDED.get(self._status().value, "FAILED")

    @property
    def error(self) -> str:
        """Error that the last driver printed."""
        lines = [line for line in self.log().splitlines() if line.startswith(_ERROR)]
        return lines[-1].removeprefix(_ERROR) if lines else ""

    def wait(self, condition: Callable[[], object]) -> bool:
        """Wait until a condition holds or the run ends.

        Returns:
            True if the condition held before the run ended.

        Raises:
            WaitTimeoutError: neither came about.
        """

        def state() -> str:
            return "holds" if condition() else "ended" if self.has_ended else ""

        def message() -> str:
            return f"the run {self.name} hangs at step {self.step}"

        return wait_until(state, _MOST_SECONDS, message, poll_seconds=_POLL_SECONDS) == "holds"

    def wait_for_step(self, step: int) -> bool:
        """Wait until the log names a step, or the run ends; return whether the step came."""
        return self.wait(lambda: self.step >= step)

    def wait_for_end(self) -> None:
        """Wait until the run ends, and take its time."""
        self.wait(lambda: False)
        self.seconds = time.monotonic() - self._started

    def stop(self) -> None:
        """Ask the run to stop, and wait until it has ended; Ray kills a driver that does not."""
        if self._jobs and not self.has_ended:
            self._client.stop_job(self._jobs[-1])
            wait_until(lambda: self.has_ended, _STOP_SECONDS, f"the job of {self.name} does not stop")
        self.seconds = time.monotonic() - self._started

    def _status(self) -> JobStatus:
        return answer_of_head(lambda: self._client.get_job_status(self._jobs[-1]))
