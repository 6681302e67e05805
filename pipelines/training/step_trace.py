"""Trace of some steps of a run, by torch's profiler: what its first worker did, operation by operation."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from pipelines.config.profiled import profiled_steps
from pipelines.tracking import Tracker
from pipelines.training.hangs import DATA, END, UPDATE
from pipelines.training.job import TrainingJob
from pipelines.training.worker import Worker

logger = logging.getLogger(__name__)

Listener = Callable[[str, int], None]
"""Hears of each phase of a worker as it begins: the phase, and the number of finished steps."""


def step_trace(job: TrainingJob, worker: Worker, tracker: Tracker, finished: int) -> Listener | None:
    """Return what traces the steps that the configuration names; None on workers that trace none.

    Args:
        job: job of the run.
        worker: this worker; the first one traces.
        tracker: tracker of the run, which keeps the trace.
        finished: steps that are finished when the worker begins.
    """
    steps = profiled_steps(job.config.profile)
    if steps is None or not worker.is_first:
        return None
    if finished >= steps[1]:
        job.coordinator.notify(f"profile={job.config.profile}: these steps are over, no trace is made")
        return None
    return StepTrace(steps, worker.device, tracker, job.coordinator.notify)


class StepTrace:
    """Trace of steps, with the phases of the loop in it; computes nothing and draws no random numbers.

    Args:
        steps: the first and the last, counted from 1.
        device: device of the worker; a GPU's kernels are traced, too.
        tracker: tracker of the run.
        notify: takes a message for the terminal.
    """

    def __init__(
        self,
        steps: tuple[int, int],
        device: torch.device,
        tracker: Tracker,
        notify: Callable[[str], object],
    ) -> None:
        self._first, self._last = steps
        self._activities = [ProfilerActivity.CPU]
        if device.type == "cuda":
            self._activities.append(ProfilerActivity.CUDA)
        self._tracker = tracker
        self._notify = notify
        self._profile: profile | None = None
        self._phase: record_function | None = None
        self._begun = 0

    def __call__(self, phase: str, step: int) -> None:
        """Take note of a phase that begins after a number of finished steps."""
        if self._profile is None:
            if phase != DATA or not self._first <= step + 1 <= self._last:
                return
            self._profile = profile(activities=self._activities)
            self._profile.start()
            self._begun = step + 1
        if self._phase is not None:
            self._phase.__exit__(None, None, None)
            self._phase = None
        if phase == END or (step >= self._last and phase not in (DATA, UPDATE)):
            self._finish(self._profile, step)
            self._profile, self._last = None, 0
            return
        self._phase = record_function(phase)
        self._phase.__enter__()

    def _finish(self, recorded: profile, step: int) -> None:
        """Write the trace and hand it to the tracker."""
        recorded.stop()
        name = f"profile/steps-{self._begun:09d}-{step:09d}.json.gz"
        with tempfile.TemporaryDirectory(prefix="charmnet-profile-") as folder:
            path = Path(folder) / "trace.json.gz"
            try:
                recorded.export_chrome_trace(str(path))
            except OSError as error:
                logger.warning("the trace of steps %d to %d was not kept: %s", self._begun, step, error)
                return
            self._tracker.log_file(path, artifact_path=name)
        self._notify(f"trace of steps {self._begun} to {step}: artifact {name}, opens in ui.perfetto.dev")
