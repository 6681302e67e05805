"""Words between the driver, the workers and the data tasks of a run, in an actor that outlives the latter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import ray

from pipelines.ingest.quarantine import Ledger, Quarantined
from pipelines.training.startup_timer import FIRST_STEP, StartupTimer


@ray.remote(num_cpus=0)
class Control(Ledger):
    """Holds the wish to stop, the latest news and, as a `Ledger`, what cannot be delivered or go on."""

    def __init__(
        self, limits: Mapping[str, int], known: Iterable[Quarantined] = (), clock: StartupTimer | None = None
    ) -> None:
        self._step, self._news = 0, ""
        self._clock = clock or StartupTimer()
        self._stop = False
        self._left: dict[str, Any] = {}
        super().__init__(limits, known)

    def request_stop(self) -> None:
        """The workers save a checkpoint and return."""
        self._stop = True

    def stop_requested(self) -> bool:
        """Whether somebody asked for it, or the run cannot go on."""
        return self._stop or self.failure() is not None

    def tell(self, step: int, news: str) -> None:
        """Rank 0 has finished a step."""
        self._step, self._news = step, news

    def reached(self, milestone: str) -> None:
        """A worker has come so far for the first time; the first step's end is told with all before it."""
        if FIRST_STEP in self._clock.reached:
            return
        self._clock.mark(milestone)
        if milestone == FIRST_STEP:
            self.notice(self._clock.text())

    def leave(self, name: str, reference: list[Any]) -> None:
        """The first worker leaves something for the others: a reference, in a list or it is resolved here."""
        self._left[name] = reference

    def left(self, name: str) -> list[Any]:
        """What was last left under a name."""
        return self._left[name]

    def latest(self) -> tuple[int, str]:
        """The last step that was told of, and what was told."""
        return self._step, self._news
