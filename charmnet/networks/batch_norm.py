"""Batch norms over all workers or per domain: torch.nn.SyncBatchNorm runs on GPUs alone, for one domain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from charmnet.losses import mean_over_workers
from charmnet.vocabulary import Domain


class BatchNorm2d(nn.BatchNorm2d):
    """Batch norm of a worker's own batch, or of the global one.

    Attributes:
        over_workers: whether in training the batches of all processes of the default group count as one; all
            of them have to call it alike.
    """

    over_workers = False

    def forward(self, features: Tensor) -> Tensor:
        """Normalize [B,C,H,W] features."""
        if self.training and self.over_workers:
            return self._normalize_over_workers(features, self)
        normalized: Tensor = super().forward(features)
        return normalized

    def statistics(self, _: Domain) -> nn.BatchNorm2d:
        """Return the module that holds a domain's running statistics."""
        return self

    def _normalize_over_workers(self, features: Tensor, statistics: nn.BatchNorm2d) -> Tensor:
        """Normalize by the global batch's mean and variance, which also update the running `statistics`."""
        values = features.float() if features.dtype == torch.bfloat16 else features
        local_count = values.new_tensor([values.numel() / values.shape[1]])
        *_, count = totals = _sum_over_workers(torch.cat([values.sum((0, 2, 3)), local_count]))
        mean = totals[:-1] / count
        centred = values - mean[:, None, None]
        variance = _sum_over_workers(centred.square().sum((0, 2, 3))) / count
        self._update_running(statistics, mean.detach(), (variance * count / (count - 1)).detach())
        scale = self.weight * torch.rsqrt(variance + self.eps)
        normalized: Tensor = centred * scale[:, None, None] + self.bias[:, None, None]
        return normalized.to(features.dtype)

    def _update_running(self, statistics: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
        assert statistics.running_mean is not None
        assert statistics.running_var is not None
        assert statistics.num_batches_tracked is not None
        statistics.running_mean.lerp_(mean, self.momentum or 0.0)
        statistics.running_var.lerp_(variance, self.momentum or 0.0)
        statistics.num_batches_tracked.add_(1)


class DomainBatchNorm2d(BatchNorm2d):
    """Batch norm shared by both domains that keeps running statistics for each.

    Its own statistics are the real domain's, those of the rendered domain are in `rendered`; scale and shift
    are shared. In training both domains are normalised by their batch, as in a plain batch norm.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.rendered = nn.BatchNorm2d(channels, affine=False)

    def forward(self, features: Tensor, domain: Domain = Domain.REAL) -> Tensor:
        """Normalize [B,C,H,W] features of one domain."""
        if domain is Domain.REAL:
            return super().forward(features)
        statistics = self.statistics(domain)
        if self.training and self.over_workers:
            return self._normalize_over_workers(features, statistics)
        if self.training and statistics.num_batches_tracked is not None:
            statistics.num_batches_tracked.add_(1)
        return F.batch_norm(
            features,
            statistics.running_mean,
            statistics.running_var,
            self.weight,
            self.bias,
            self.training,
            self.momentum or 0.0,
            self.eps,
        )

    def statistics(self, domain: Domain) -> nn.BatchNorm2d:
        """Return the module that holds a domain's running statistics."""
        return self if domain is Domain.REAL else self.rendered


class _SumOverWorkers(torch.autograd.Function):
    """A sum over workers. Every worker's loss depends on the sum, so its gradient is the sum of theirs."""

    @staticmethod
    def forward(_context: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: Any, *gradients: Tensor) -> Tensor:
        return _sum_over_workers(gradients[0])  # by itself, for whoever differentiates it again


def _sum_over_workers(value: Tensor) -> Tensor:
    total: Tensor = _SumOverWorkers.apply(value)  # type: ignore[no-untyped-call]
    return total


def statistics_names(network: nn.Module) -> list[str]:
    """Return the names of all batch norms' running means and variances in a network."""
    return [
        f"{name}.{buffer}" if name else buffer
        for name, module in network.named_modules()
        if isinstance(module, _BatchNorm)
        for buffer in ("running_mean", "running_var")
        if getattr(module, buffer) is not None
    ]


def synchronize(tensors: Sequence[Tensor]) -> None:
    """Replace tensors by their means over all workers; with one process nothing happens."""
    if not tensors:
        return
    mean = mean_over_workers(torch.cat([tensor.flatten() for tensor in tensors]))
    for tensor, values in zip(tensors, mean.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(values.view_as(tensor))


@contextmanager
def frozen_statistics(network: nn.Module) -> Iterator[None]:
    """Inside, batch norms in training leave their running statistics as they are."""
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
