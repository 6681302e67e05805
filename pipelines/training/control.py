"""Words between the driver and the workers of a run: please stop; this cannot go on; so far have we come."""

from __future__ import annotations

import ray


@ray.remote(num_cpus=0)
class Control:
    """Holds the driver's wish to stop, the workers' reason to give up and the latest news."""

    def __init__(self) -> None:
        self._step, self._news = 0, ""
        self._stop = False
        self._failure: str | None = None

    def request_stop(self) -> None:
        """The workers save a checkpoint and return."""
        self._stop = True

    def stop_requested(self) -> bool:
        return self._stop

    def fail(self, message: str) -> None:
        """The run cannot go on, and starting it again would not help."""
        self._failure = self._failure or message

    def failure(self) -> str | None:
        return self._failure

    def tell(self, step: int, news: str) -> None:
        """Rank 0 has finished a step."""
        self._step, self._news = step, news

    def latest(self) -> tuple[int, str]:
        """The last step that was told of, and what was told."""
        return self._step, self._news
