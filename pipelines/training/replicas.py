"""Check that all workers hold the same weights: a bit that flips on one of them shows in no loss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from charmnet.errors import CharmNetError
from charmnet.methods import Method
from pipelines.training.worker import Worker

_CHECK_SECONDS = 30.0
"""So much training lies between two checks; checkpoints are checked in any case."""
_NAMED = 3


class ReplicasDifferError(CharmNetError):
    """Workers that have to hold the same weights do not; raised on all of them at once."""


class ReplicaCheck:
    """Comparison of the workers' weights and optimizer states, to the bit.

    Gradients are averaged, so equal weights stay equal. Workers on different kinds of processors may round
    an optimizer's step differently; they are not compared.

    Args:
        worker: this worker.
        method: method whose networks are compared.
    """

    def __init__(self, worker: Worker, method: Method) -> None:
        self._worker = worker
        self._method = method
        self._seconds = 0.0
        kinds = worker.gather_objects(_kind(worker.device)) if worker.num_workers > 1 else []
        self._comparable = len(kinds) > 1 and len(set(kinds)) == 1

    def add_seconds(self, seconds: float) -> None:
        """Count seconds of training, the same on all workers."""
        self._seconds += seconds

    @property
    def is_due(self) -> bool:
        """True where so much training lies behind the last check that it is time for one."""
        return self._seconds >= _CHECK_SECONDS

    def check(self, step: int) -> None:
        """Compare; all workers call it at the same step.

        Raises:
            ReplicasDifferError: on all workers at once, where one differs; names it and the tensors.
        """
        self._seconds = 0.0
        if not self._comparable:
            return
        names, tensors = zip(*compared_tensors(self._method), strict=True)
        own = torch.stack([bit_sum(tensor).to(self._worker.device) for tensor in tensors])
        extremes = torch.cat([own, -own])
        dist.all_reduce(extremes, op=dist.ReduceOp.MAX)
        most, least = extremes.chunk(2)
        if torch.equal(most, -least):
            return
        sums = [row.tolist() for row in self._worker.gather_objects(own.cpu())]
        raise ReplicasDifferError(describe(step, names, sums))


def bit_sum(tensor: Tensor) -> Tensor:
    """Return the sum of a tensor read as integers: int64, with overflow; one flipped bit changes it."""
    values = tensor.detach().flatten()
    pairs = 8 // values.element_size()
    even = len(values) // pairs * pairs
    total = values[:even].view(torch.int64).sum()
    if even < len(values):
        kind = {1: torch.int8, 2: torch.int16, 4: torch.int32}[values.element_size()]
        total = total + values[even:].view(kind).sum(dtype=torch.int64)
    return total


def describe(step: int, names: Sequence[str], sums: Sequence[Sequence[int]]) -> str:
    """Return which workers differ from the majority, and in what.

    Args:
        step: number of finished steps.
        names: names of the tensors.
        sums: sums of bits by rank and tensor; they differ.
    """
    rows = [tuple(row) for row in sums]
    ((usual, count), *_) = Counter(rows).most_common()
    named = [
        name for name, values in zip(names, zip(*rows, strict=True), strict=True) if len(set(values)) > 1
    ]
    others = [rank for rank, row in enumerate(rows) if row != usual]
    if count * 2 <= len(rows):
        who = f"ranks {', '.join(map(str, range(len(rows))))} differ, and none is in the majority"
    elif len(others) == 1:
        who = f"rank {others[0]} differs from the others"
    else:
        who = f"ranks {', '.join(map(str, others))} differ from the others"
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    return (
        f"the workers' weights are no longer the same at step {step}: {who} in {', '.join(named[:_NAMED])}"
        f"{more}; a bit flipped in a worker's memory or processor. The workers start again from the last "
        "checkpoint, which was compared; where it happens again, take that machine out"
    )


def compared_tensors(method: Method) -> Iterator[tuple[str, Tensor]]:
    """Yield names and tensors that are the same on all workers, in an order that is, too."""
    for module, network in method.modules.items():
        for name, parameter in network.named_parameters():
            yield f"{module}.{name}", parameter
    for name, optimizer in method.optimizers.items():
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        for index, parameter in enumerate(parameters):
            # By name: a restored state has the order of its file, which differs from worker to worker.
            for key, value in sorted(optimizer.state.get(parameter, {}).items()):
                if isinstance(value, Tensor) and value.dim():
                    yield f"{name}'s optimizer ({key} {index})", value


def _kind(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return torch.backends.cpu.get_cpu_capability()
