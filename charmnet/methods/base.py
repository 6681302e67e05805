"""All that the training loop knows of a method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from charmnet.batch import HarmonizationBatch
from charmnet.errors import WeightsError
from charmnet.losses import mean_over_workers
from charmnet.networks.batch_norm import BatchNorm2d
from charmnet.networks.state import load_strictly
from charmnet.vocabulary import Domain

Wrap = Callable[[nn.Module], nn.Module]


class Method(ABC):
    """Networks, optimisers and one update of a harmonization method.

    The loop feeds it one batch of each of `domains` a step, and knows nothing else of it. A subclass fills
    `modules` in its constructor and makes the `optimizers`; checkpoints hold both. `options` are the
    constructor's arguments, in values that JSON can hold, so that a checkpoint can rebuild it.
    """

    name: ClassVar[str]
    domains: frozenset[Domain]
    options: dict[str, Any]
    modules: dict[str, nn.Module]

    @cached_property
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """By name; made when first asked for, since torch loads its compiler for that."""
        return self.make_optimizers()

    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Fresh ones of the networks' parameters, by name; none where nothing is trained."""
        return {}

    @abstractmethod
    def update(self, batches: Mapping[Domain, HarmonizationBatch], share: float = 1.0) -> dict[str, Tensor]:
        """One training step. Returns detached scalar tensors by metric name (no host sync is made here).

        Losses come under their own names; other values begin with `discriminator_accuracy`,
        `style_accuracy_` or `grad_norm_` (see `metric_path`). With several workers the values are the
        worker's own.

        Args:
            batches: this worker's samples of the global batch, as many of each domain.
            share: their number over the mean number of a worker: weights the gradient, so that the mean over
                the workers is that over the global batch.
        """

    @abstractmethod
    def harmonize_with_attention(
        self, composite: Tensor, foreground_mask: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """What `harmonize` returns, and the [B,1,H,W] share of the composite kept if the method has one."""

    @abstractmethod
    def distribute(self, wrap: Wrap) -> None:
        """Has what is trained of the networks wrapped: for data parallelism, or to be compiled.

        `modules` go on naming the bare networks, so that checkpoints never see a wrapper. The wrappers are
        written for `forward_sync_buffers=False`; see `synchronize_statistics`.
        """

    def harmonize(self, composite: Tensor, foreground_mask: Tensor) -> Tensor:
        """[B,3,H,W] normalised composite and [B,1,H,W] mask to the harmonized image, in evaluation mode."""
        return self.harmonize_with_attention(composite, foreground_mask)[0]

    def warm_start(self, source: Method) -> None:
        """Begins with the networks of another run; optimisers stay fresh.

        Raises:
            ValueError: the source is of a method that this one cannot take weights from.
            WeightsError: its networks have another shape.
        """
        if source.name != self.name:
            raise ValueError(f"{self.name} cannot start from weights of {source.name}, only of {self.name}")
        for name, module in self.modules.items():
            load_strictly(module, source.modules[name].state_dict(), f"{source.name}'s {name}")

    def to(self, device: torch.device | str) -> Method:
        """Moves the networks; call before `distribute` and before the first update."""
        for module in self.modules.values():
            module.to(device)
        return self

    def normalize_over_workers(self) -> None:
        """Has every batch norm normalise by the global batch in training, so that workers change nothing.

        Without it each worker's samples are normalised by themselves, as is usual.
        """
        for network in self.modules.values():
            for module in network.modules():
                if isinstance(module, BatchNorm2d):
                    module.over_workers = True

    def synchronize_statistics(self) -> None:
        """Averages the batch norms' running statistics over the workers.

        Each worker gathers its own; call this on all of them before validating or saving, so that they do so
        with the same model. Nothing happens with one process.
        """
        buffers = [b for m in self.modules.values() for b in m.buffers() if b.is_floating_point()]
        if not buffers:
            return
        mean = mean_over_workers(torch.cat([buffer.flatten() for buffer in buffers]))
        for buffer, values in zip(buffers, mean.split([b.numel() for b in buffers]), strict=True):
            buffer.copy_(values.view_as(buffer))

    @property
    def learning_rates(self) -> dict[str, float]:
        """The current learning rate by optimiser (of its first parameter group)."""
        return {name: optimizer.param_groups[0]["lr"] for name, optimizer in self.optimizers.items()}

    def scale_learning_rates(self, factor: float) -> None:
        """Sets every learning rate to `factor` times its first value: what a schedule calls each step."""
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group.setdefault("initial_lr", group["lr"])
                group["lr"] = group["initial_lr"] * factor

    def state_dict(self) -> dict[str, Any]:
        """{"modules": {name: state dict}, "optimizers": {name: state dict}}."""
        return {
            "modules": {name: module.state_dict() for name, module in self.modules.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` gave; WeightsError where it does not fit."""
        for name, module in self.modules.items():
            load_strictly(module, state["modules"].get(name), f"{self.name}'s {name}")
        for name, optimizer in self.optimizers.items():
            try:
                optimizer.load_state_dict(state["optimizers"][name])
            except (KeyError, ValueError, TypeError, AttributeError) as error:  # torch checks little
                raise WeightsError(f"{self.name}'s optimizer {name} does not fit: {error}") from error
            _lay_out_as_parameters(optimizer)


def _lay_out_as_parameters(optimizer: torch.optim.Optimizer) -> None:
    """Gives the optimizer's tensors the strides of their parameters, which a fused step takes for granted."""
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                values[name] = torch.empty_like(parameter).copy_(value)


def metric_path(name: str) -> str:
    """A value of `update` with its group: loss/, discriminator/, style/ or optim/."""
    for prefix, group in (("discriminator_accuracy", "discriminator"), ("style_accuracy", "style")):
        if name.startswith(prefix):
            return f"{group}/{name.removeprefix(group + '_')}"
    return f"optim/{name}" if name.startswith("grad_norm_") else f"loss/{name}"


def require_batches(
    batches: Mapping[Domain, HarmonizationBatch], domains: Collection[Domain]
) -> Mapping[Domain, HarmonizationBatch]:
    """The batches, when there is one of at least two samples for each domain; else ValueError."""
    for domain in domains:
        if domain not in batches:
            raise ValueError(
                f"no batch of the {domain} domain; got {', '.join(sorted(batches)) or 'none'}, needed "
                f"{', '.join(sorted(domains))}"
            )
        if len(batches[domain]) < 2:
            raise ValueError(
                f"the batch of the {domain} domain holds {len(batches[domain])} sample; "
                "the batch norm of the 1x1 bottleneck needs at least 2 on every worker"
            )
    return batches
