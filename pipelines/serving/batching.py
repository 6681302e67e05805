"""What threads of a replica share: a network that takes what they have at a time, and room for pixels."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Any

import torch
from torch import Tensor

from charmnet.methods import HarmonizationMethod

_BATCHED = ("harmonize", "color_maps")
_Job = tuple[str, tuple[Tensor, ...], "Future[tuple[Tensor, int]]"]


class BatchedMethod:
    """A method's attributes, of which the networks' two functions put what several threads ask into a batch.

    A thread of its own takes what waits, up to `most` pictures, and computes it at once. It waits for no
    more, so that a picture that is alone is not delayed. Libraries sum up in another order for a batch than
    for one picture: of `most` above 1 some results differ in a pixel, by one level.

    Args:
        method: the model, in evaluation mode, whose networks nothing else uses.
        most: pictures of a batch.
    """

    def __init__(self, method: HarmonizationMethod, most: int) -> None:
        self._method = method
        self._most = most
        self._waiting: SimpleQueue[_Job | None] = SimpleQueue()
        self._last = threading.local()
        self._thread = threading.Thread(target=self._work, name="network", daemon=True)
        self._thread.start()

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the method."""
        if name in _BATCHED:
            return self._queued(name)
        return getattr(self._method, name)

    @property
    def waiting(self) -> int:
        """How many inputs wait."""
        return self._waiting.qsize()

    @property
    def last_batch(self) -> int:
        """Pictures of the batch that this thread's last input was in."""
        return getattr(self._last, "size", 0)

    def close(self) -> None:
        """End the thread, after what waits."""
        self._waiting.put(None)
        self._thread.join()

    def _queued(self, name: str) -> Callable[..., Tensor]:
        def compute(*inputs: Tensor) -> Tensor:
            answer: Future[tuple[Tensor, int]] = Future()
            self._waiting.put((name, inputs, answer))
            output, self._last.size = answer.result()
            return output

        return compute

    def _work(self) -> None:
        going = True
        while going:
            taken = [self._waiting.get()]
            with suppress(Empty):  # no more waits
                while len(taken) < self._most:
                    taken.append(self._waiting.get_nowait())
            going = None not in taken
            for name in _BATCHED:
                self._compute(name, [job for job in taken if job is not None and job[0] == name])

    def _compute(self, name: str, jobs: list[_Job]) -> None:
        if not jobs:
            return
        try:
            inputs = [torch.cat(tensors) for tensors in zip(*(job[1] for job in jobs), strict=True)]
            outputs = getattr(self._method, name)(*inputs).split([len(job[1][0]) for job in jobs])
        except Exception as error:  # noqa: BLE001 - raised in the threads that asked
            for *_, answer in jobs:
                answer.set_exception(error)
            return
        for (*_, answer), output in zip(jobs, outputs, strict=True):
            answer.set_result((output, len(inputs[0])))


class PixelRoom:
    """Room for so many decoded pixels: threads enter in their order, each when its picture fits.

    Args:
        pixels: what fits; a picture of more has the room for itself.
    """

    def __init__(self, pixels: int) -> None:
        self._pixels = pixels
        self._taken = 0
        self._turn = threading.Lock()
        self._changed = threading.Condition()

    @contextmanager
    def holding(self, pixels: int) -> Iterator[None]:
        """Wait for room and hold it inside."""
        with self._turn, self._changed:  # who waits for room lets nobody pass
            self._changed.wait_for(lambda: not self._taken or self._taken + pixels <= self._pixels)
            self._taken += pixels
        try:
            yield
        finally:
            with self._changed:
                self._taken -= pixels
                self._changed.notify_all()
