"""Data parallelism whose sums do not depend on when the worker group was started."""

# Annotations are evaluated here: DistributedDataParallel looks at those of its hook.

from collections.abc import Callable

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from charmnet.methods import CudaGraphUpdate, Method


def data_parallel(module: nn.Module) -> nn.Module:
    """Wrap a module so that gradients are averaged over all workers; running statistics stay a worker's own.

    DistributedDataParallel sorts gradients into other buckets after its first step, and a ring adds up each
    part of a bucket beginning at another worker: with three and more, a resumed run would round otherwise
    than one that is not. So on CPUs the order of a sum is that of the ranks. On GPUs it is NCCL's, and a
    resumed run is the same up to rounding.
    """
    wrapped = DistributedDataParallel(module, forward_sync_buffers=False)
    device = next(module.parameters()).device
    if dist.get_world_size() > 2 and device.type == "cpu":
        wrapped.register_comm_hook(None, _mean_in_order_of_ranks)
    return wrapped


def _mean_in_order_of_ranks(
    _: None,
    bucket: dist.GradBucket,  # type: ignore[name-defined]
) -> torch.futures.Future[Tensor]:
    """Add up this worker's part of all gradients and send it to all: as much traffic as a ring."""
    gradients, workers = bucket.buffer(), dist.get_world_size()
    padded = F.pad(gradients, (0, -len(gradients) % workers))
    parts = torch.empty_like(padded)
    dist.all_to_all_single(parts, padded)
    first, *others = parts.chunk(workers)
    for other in others:
        first.add_(other)
    dist.all_gather_single(padded, first.div_(workers))
    done: torch.futures.Future[Tensor] = torch.futures.Future()
    done.set_result(padded[: len(gradients)])
    return done


def wrap_module(compiled: bool, num_workers: int, module: nn.Module) -> nn.Module:
    """Return a part of the networks as it is trained: compiled and in data parallel, where asked for."""
    if compiled:
        module = torch.compile(module)  # type: ignore[assignment]
    return data_parallel(module) if num_workers > 1 else module


def make_update(method: Method, device: torch.device, num_workers: int) -> Callable[..., dict[str, Tensor]]:
    """Return the method's update; on a single GPU recorded and replayed, where the method allows it."""
    recorded = device.type == "cuda" and num_workers == 1 and method.accumulation == 1
    return CudaGraphUpdate(method) if recorded and method.requirements.capturable else method.update
