"""Typed access of data tasks and workers to the actor that keeps a run's quarantine."""

from __future__ import annotations

from typing import Any

import ray
from ray.actor import ActorHandle

from pipelines.ingest.quarantine import Quarantined, WindowLease


class QuarantineClient:
    """Typed access to the actor that holds a run's `QuarantineRegistry`, for data tasks and workers.

    Args:
        actor: handle of an actor with the methods of `pipelines.training.coordinator.RunCoordinator`.
    """

    def __init__(self, actor: ActorHandle[Any]) -> None:
        self._actor: Any = actor  # the methods of handles have no types

    def begin_window(self, execution: str, domain: str, start_step: int) -> WindowLease:
        """See `QuarantineRegistry.begin_window`."""
        lease: WindowLease = ray.get(self._actor.begin_window.remote(execution, domain, start_step))
        return lease

    def end_window(self, execution: str, start_step: int) -> None:
        """Report the end of a window without waiting."""
        self._actor.end_window.remote(execution, start_step)

    def add_crash(self, fingerprint: str, reason: str) -> None:
        """Report pictures that end the decoding process, without waiting."""
        self._actor.add_crash.remote(fingerprint, reason)

    def quarantine(self, entries: list[Quarantined]) -> None:
        """Report samples that were replaced, without waiting; past the limit the run fails."""
        self._actor.quarantine.remote(entries)

    def fail(self, message: str) -> None:
        """Record that the run cannot go on and that starting it again would not help."""
        ray.get(self._actor.fail.remote(message))

    def notify(self, message: str) -> None:
        """Have the driver print a message, without waiting; the same one is printed once."""
        self._actor.notify.remote(message)
