"""A training run as a job of the cluster, watched through its log."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipelines.runtime.retry import wait_until

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
        answer_of_head(
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

        def state() -> str:
            return "holds" if condition() else "ended" if self.ended else ""

        def message() -> str:
            return f"the run {self.name} hangs at step {self.step}"

        return wait_until(state, _MOST_SECONDS, message, poll_seconds=_POLL_SECONDS) == "holds"

    def wait_for_step(self, step: int) -> bool:
        return self.wait(lambda: self.step >= step)

    def wait_for_end(self) -> None:
        self.wait(lambda: False)
        self.seconds = time.monotonic() - self._started

    def stop(self) -> None:
        """By force, where it hangs."""
        if self._jobs and not self.ended:
            self._client.stop_job(self._jobs[-1])
            wait_until(lambda: self.ended, _ANSWER_SECONDS, f"the job of {self.name} does not stop")

    def _status(self) -> Any:  # a `JobStatus`
        return answer_of_head(lambda: self._client.get_job_status(self._jobs[-1]))


def answer_of_head(call: Callable[[], T]) -> T:
    """Return a call's result once the cluster's head answers it.

    Raises:
        WaitTimeoutError: it does not answer in time.
    """
    message = "the cluster's head does not answer"
    return wait_until(call, _ANSWER_SECONDS, message, poll_seconds=0.5, retry_on=(OSError, RuntimeError))
