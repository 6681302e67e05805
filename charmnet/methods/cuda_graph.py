"""An update that a GPU repeats from a recording, so that none of its small kernels waits to be launched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from charmnet.batch import HarmonizationBatch
from charmnet.methods.base import Method
from charmnet.vocabulary import Domain

UPDATES_BEFORE_RECORDING = 3
"""Made as they are: in the first ones torch's libraries choose their kernels and Adam makes its state."""


class CudaGraphUpdate:
    """`Method.update` of one process on a GPU, from the fourth call on as one CUDA graph.

    The method is to have its weights and its optimisers' state before the first call, and to keep them: the
    graph knows where they lie. Learning rates may change.
    """

    def __init__(self, method: Method) -> None:
        self._method = method
        self._updates = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: dict[Domain, HarmonizationBatch] = {}
        self._rates: list[Tensor] = []
        self._names: list[str] = []
        self._values = torch.empty(0)

    def __call__(self, batches: Mapping[Domain, HarmonizationBatch], share: float = 1.0) -> dict[str, Tensor]:
        """Does what `Method.update` does, and returns what it does.

        Raises:
            ValueError: a batch has other shapes than the recorded one, or the share is another than 1.
        """
        if share != 1.0:
            raise ValueError(f"share is {share}, expected 1: a replayed update has the whole batch")
        self._updates += 1
        if self._updates <= UPDATES_BEFORE_RECORDING:
            return self._update_beside(batches)
        if self._graph is None:
            self._record(batches)
        assert self._graph is not None
        own_batches = {domain: batches[domain] for domain in self._inputs}
        for own, given in zip(_tensors(self._inputs), _tensors(own_batches), strict=True):
            if own.shape != given.shape:
                raise ValueError(f"a tensor has shape {tuple(given.shape)}, recorded {tuple(own.shape)}")
            own.copy_(given)
        for rate, group in zip(self._rates, self._groups(), strict=True):
            rate.fill_(group["lr"])
        self._graph.replay()
        return dict(zip(self._names, self._values.clone().unbind(), strict=True))

    def _update_beside(self, batches: Mapping[Domain, HarmonizationBatch]) -> dict[str, Tensor]:
        """On a stream of its own: what is recorded later must not hang on the default one."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            metrics = self._method.update(batches)
        torch.cuda.current_stream().wait_stream(stream)
        return metrics

    def _record(self, batches: Mapping[Domain, HarmonizationBatch]) -> None:
        """Nothing is computed by it."""
        self._inputs = {domain: batches[domain].map(torch.clone) for domain in sorted(self._method.domains)}
        self._graph = torch.cuda.CUDAGraph()
        # Other threads (of the tracker, of uploads) may use the GPU meanwhile.
        with (
            self._rates_on_device(),
            torch.cuda.graph(self._graph, capture_error_mode="thread_local"),
        ):
            metrics = self._method.update(self._inputs)
            self._names = list(metrics)
            self._values = torch.stack([metrics[name].float() for name in self._names])

    @contextmanager
    def _rates_on_device(self) -> Iterator[None]:
        """Inside, learning rates are tensors, which a replay reads; else numbers, as in checkpoints."""
        device = next(_tensors(self._inputs)).device
        before = [(group["lr"], group["capturable"]) for group in self._groups()]
        self._rates = [torch.full((), rate, device=device) for rate, _ in before]
        for group, rate in zip(self._groups(), self._rates, strict=True):
            group.update(lr=rate, capturable=True)
        try:
            yield
        finally:
            for group, (rate, capturable) in zip(self._groups(), before, strict=True):
                group.update(lr=rate, capturable=capturable)

    def _groups(self) -> Iterator[dict]:
        for optimizer in self._method.optimizers.values():
            yield from optimizer.param_groups


def _tensors(batches: Mapping[Domain, HarmonizationBatch]) -> Iterator[Tensor]:
    """Of all domains, always in the same order."""
    for domain in sorted(batches):
        yield from batches[domain].tensors().values()
