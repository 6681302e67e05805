"""Run-wide state shared by driver, workers and data tasks; it survives restarts of the workers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipelines.ingest.quarantine import Quarantined, QuarantineRegistry, WindowLease
from pipelines.ingest.quarantine_client import QuarantineClient
from pipelines.training.awaited import Wait, Waiting
from pipelines.training.hangs import Beat, Hang, HangWatch
from pipelines.training.startup_timer import FIRST_STEP, StartupTimer


@dataclass(frozen=True)
class RunProgress:
    """Progress of a run since the driver last asked.

    Attributes:
        step: last step that rank 0 reported, counted from 1; 0 before the first.
        status: rank 0's report of that step for a person: loss and speed.
        messages: texts for the terminal that are new.
        failure: reason why the run cannot go on, if there is one.
        hang: workers that hang, if any do.
        awaited: what the run waits for, where that is to be told now.
    """

    step: int
    status: str
    messages: list[str]
    failure: str | None
    hang: Hang | None
    awaited: Wait | None = None


class RunCoordinator:
    """State of one run: the stop request, progress, messages, start-up times, quarantine and a mailbox.

    Args:
        limits: how many samples may be quarantined, by domain.
        known: samples that earlier attempts of the run quarantined.
        timer: start-up timer that began with the command.
    """

    def __init__(
        self, limits: Mapping[str, int], known: Iterable[Quarantined] = (), timer: StartupTimer | None = None
    ) -> None:
        self._registry = QuarantineRegistry(limits, known)
        self._timer = timer or StartupTimer()
        self._step = 0
        self._status = ""
        self._stop = False
        self._failure = self._registry.problem()
        self._messages: list[str] = []
        self._announced: set[str] = set()
        self._hangs = HangWatch()
        self._waiting = Waiting()
        self._mailbox: dict[str, list[ray.ObjectRef[Any]]] = {}

    def request_stop(self) -> None:
        """Have the workers save a checkpoint and return."""
        self._stop = True

    def stop_requested(self) -> bool:
        """Return True once the run is to end, by request or since it cannot go on."""
        return self._stop or self._failure is not None

    def fail(self, message: str) -> None:
        """Record why the run cannot go on; starting it again would not help. The first reason stays."""
        self._failure = self._failure or message

    def failure(self) -> str | None:
        """Return the reason why the run cannot go on, if there is one."""
        return self._failure

    def report_step(self, step: int, status: str) -> None:
        """Record rank 0's progress for the progress bar."""
        self._step = step
        self._status = status

    def progress(self) -> RunProgress:
        """Return the progress; each message is handed out once."""
        messages = self._messages
        self._messages = []
        awaited = None if self._stop else self._waiting.look(self._hangs.heard)
        return RunProgress(self._step, self._status, messages, self._failure, self._hangs.look(), awaited)

    def notify(self, message: str) -> None:
        """Keep a message for the terminal; the same text is shown once."""
        if message not in self._announced:
            self._announced.add(message)
            self._messages.append(message)

    def beat(self, beat: Beat) -> None:
        """See `HangWatch.beat`."""
        self._hangs.beat(beat)

    def forget(self, beats: Iterable[Beat]) -> None:
        """See `HangWatch.forget`."""
        self._hangs.forget(beats)

    def mark_phase(self, phase: str) -> None:
        """Record that a phase of the start is over; the first step's end announces all of them."""
        if FIRST_STEP in self._timer.finished:
            return
        self._timer.mark(phase)
        if phase == FIRST_STEP:
            self.notify(self._timer.text())

    def put(self, name: str, reference: list[ray.ObjectRef[Any]]) -> None:
        """Keep an object reference under a name; in a list, or Ray would resolve it on the way."""
        self._mailbox[name] = reference

    def get(self, name: str) -> list[ray.ObjectRef[Any]]:
        """Return what was last put under a name."""
        return self._mailbox[name]

    def begin_window(self, execution: str, domain: str, start_step: int) -> WindowLease:
        """See `QuarantineRegistry.begin_window`."""
        return self._registry.begin_window(execution, domain, start_step)

    def end_window(self, execution: str, start_step: int) -> None:
        """See `QuarantineRegistry.end_window`."""
        self._registry.end_window(execution, start_step)

    def add_crash(self, fingerprint: str, reason: str) -> None:
        """See `QuarantineRegistry.add_crash`."""
        self._registry.add_crash(fingerprint, reason)

    def quarantine(self, entries: Iterable[Quarantined]) -> None:
        """Record samples that were replaced and announce the new ones; past the limit the run fails."""
        for entry in self._registry.add(entries):
            self.notify(f"quarantined: {entry.domain} {entry.id}: {entry.reason}")
        if problem := self._registry.problem():
            self.fail(problem)

    def quarantined_counts(self) -> dict[str, int]:
        """See `QuarantineRegistry.counts`."""
        return self._registry.counts()

    def quarantined(self) -> list[Quarantined]:
        """See `QuarantineRegistry.entries`."""
        return self._registry.entries()


class RunCoordinatorClient(QuarantineClient):
    """Typed access to a run's `RunCoordinator`, from the driver and the workers."""

    @classmethod
    def start(
        cls, limits: Mapping[str, int], known: Iterable[Quarantined], timer: StartupTimer
    ) -> RunCoordinatorClient:
        """Start the actor on the driver's node; arguments are those of `RunCoordinator`."""
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        actor: Any = ray.remote(RunCoordinator)
        return cls(actor.options(num_cpus=0, scheduling_strategy=here).remote(limits, known, timer))

    def request_stop(self) -> None:
        """Have the workers save a checkpoint and return."""
        ray.get(self._actor.request_stop.remote())

    def stop_requested(self) -> bool:
        """Return True once the run is to end."""
        return bool(ray.get(self._actor.stop_requested.remote()))

    def failure(self) -> str | None:
        """Return the reason why the run cannot go on, if there is one."""
        failure: str | None = ray.get(self._actor.failure.remote())
        return failure

    def report_step(self, step: int, status: str) -> None:
        """Report rank 0's progress, without waiting."""
        self._actor.report_step.remote(step, status)

    def progress(self) -> RunProgress:
        """Return the progress since the last call."""
        progress: RunProgress = ray.get(self._actor.progress.remote())
        return progress

    def beat(self, beat: Beat) -> None:
        """Give a sign of life of a worker, without waiting."""
        self._actor.beat.remote(beat)

    def forget(self, beats: Iterable[Beat]) -> None:
        """Report that workers have ended, without waiting."""
        self._actor.forget.remote(list(beats))

    def mark_phase(self, phase: str) -> None:
        """Report the end of a phase of the start, without waiting."""
        self._actor.mark_phase.remote(phase)

    def put(self, name: str, value: Any) -> None:
        """Put a value into Ray's object store and its reference under a name."""
        ray.get(self._actor.put.remote(name, [ray.put(value)]))

    def get(self, name: str) -> Any:
        """Return the value that was last put under a name."""
        (reference,) = ray.get(self._actor.get.remote(name))
        return ray.get(reference)

    def quarantined_counts(self) -> dict[str, int]:
        """Return the number of quarantined samples by domain."""
        counts: dict[str, int] = ray.get(self._actor.quarantined_counts.remote())
        return counts

    def quarantined(self) -> list[Quarantined]:
        """Return all quarantined samples."""
        entries: list[Quarantined] = ray.get(self._actor.quarantined.remote())
        return entries
