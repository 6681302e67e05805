"""All that the training loop knows of a method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from charmnet.batch import HarmonizationBatch
from charmnet.vocabulary import Domain

Wrap = Callable[[nn.Module], nn.Module]


class Method(ABC):
    """Networks, optimisers and one update of a harmonization method.

    The loop feeds it one batch of each of `domains` a step, and knows nothing else of it. A subclass fills
    `modules` and `optimizers` in its constructor; checkpoints hold both.
    """

    name: ClassVar[str]
    domains: frozenset[Domain]
    modules: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]

    @abstractmethod
    def update(self, batches: Mapping[Domain, HarmonizationBatch]) -> dict[str, Tensor]:
        """One training step. Returns detached scalar tensors by metric name (no host sync is made here)."""

    @abstractmethod
    def harmonize(self, composite: Tensor, foreground_mask: Tensor) -> Tensor:
        """[B,3,H,W] normalised composite and [B,1,H,W] mask to the harmonized image, normalised; evaluation mode."""

    @abstractmethod
    def distribute(self, wrap: Wrap) -> None:
        """Has the networks that are trained wrapped for data parallelism (`wrap` is DistributedDataParallel).

        `modules` go on naming the bare networks, so that checkpoints never see a wrapper.
        """

    def to(self, device: torch.device | str) -> Method:
        """Moves the networks; call before `distribute` and before the first update."""
        for module in self.modules.values():
            module.to(device)
        return self

    @property
    def learning_rates(self) -> dict[str, float]:
        """The current learning rate by optimiser (of its first parameter group)."""
        return {name: optimizer.param_groups[0]["lr"] for name, optimizer in self.optimizers.items()}

    def scale_learning_rates(self, factor: float) -> None:
        """Sets every learning rate to `factor` times the one it began with: what a schedule calls each step."""
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
        """Takes over what `state_dict` gave, strictly."""
        for name, module in self.modules.items():
            module.load_state_dict(state["modules"][name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
