"""The interface of everything that the training loop can train."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from charmnet.augment import TRAINING_SIZE, AugmentationKind, MaskEdges
from charmnet.batch import HarmonizationBatch, ValueRange
from charmnet.errors import WeightsError
from charmnet.methods.gradients import parameters_of, unsynchronized
from charmnet.methods.seeding import seeded
from charmnet.networks.batch_norm import BatchNorm2d, statistics_names, synchronize
from charmnet.networks.state import load_strictly
from charmnet.options import Options
from charmnet.vocabulary import Domain

Wrap = Callable[[nn.Module], nn.Module]
"""Function that wraps a part of the networks for training: for data parallelism, or to be compiled."""

Precision = Literal["float32", "bf16", "float64"]


class MethodOptions(Options):
    """Options that every method has."""

    name: str
    """Name of the method."""
    learning_rate: float = Field(1e-4, gt=0)
    """Learning rate of the optimizers, before the schedule's factor."""
    precision: Precision = "float32"
    """Precision of forward and backward passes; with bf16 (autocast) weights and losses stay float32."""


@dataclass(frozen=True)
class Requirements:
    """What a method asks of the training system.

    Attributes:
        smallest_batch: fewest samples of each domain in one backward pass of a worker.
        value_range: numbers that pictures are given in.
        mask_edges: foreground masks of 0 and 1 alone, or with the covered share of a pixel at their edges.
        augmentation: see `charmnet.augment`.
        pastes: whether outputs are pasted into the composite: its background is then the composite's.
        capturable: whether an update may be recorded as a CUDA graph; it may not where the host decides
            something anew in each update.
        styles: whether rendered samples need their capture conditions.
    """

    smallest_batch: int = 1
    value_range: ValueRange = "imagenet"
    mask_edges: MaskEdges = "hard"
    augmentation: AugmentationKind = "crop_flip"
    pastes: bool = False
    capturable: bool = True
    styles: bool = False


class Method(ABC):
    """Networks, optimizers and the update of a method that can be trained.

    The loop feeds it one batch of each of `domains` a step, and knows nothing else of it. A subclass declares
    its `Options`, fills `modules` in `build`, and makes the optimizers; checkpoints hold both, with the
    arguments that rebuild it. `modules` name the bare networks, so that checkpoints never see a wrapper.

    Random numbers that an update needs are to be drawn from torch's default generators, on the CPU or the
    device: the loop seeds them before each update with (seed, step, worker), so that a resumed run draws the
    same ones.

    Args:
        seed: seed of the initial weights; None draws them from torch's global generator.
        options: fields of `Options` by name.
    """

    name: ClassVar[str]
    Options: ClassVar[type[MethodOptions]]
    requirements: Requirements = Requirements()
    domains: frozenset[Domain] = frozenset(Domain)
    options: MethodOptions
    modules: dict[str, nn.Module]
    accumulation: int = 1
    max_gradient_norm: float = 0.0

    def __init__(self, *, seed: int | None = None, **options: Any) -> None:
        self.options = self.Options(**options)
        self.seed = seed
        dtype = torch.float64 if self.options.precision == "float64" else torch.float32
        with seeded(seed):
            modules = self.build()
        # Convolutions are fastest with channels last; state dicts hold the same numbers in the same shapes.
        self.modules = {
            name: module.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
            for name, module in modules.items()
        }
        self.distribute(lambda module: module)

    @abstractmethod
    def build(self) -> dict[str, nn.Module]:
        """Return freshly initialised networks by name, as `options` describe them."""

    @abstractmethod
    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Return fresh optimizers of the networks' parameters, by name."""

    @abstractmethod
    def distribute(self, wrap: Wrap) -> None:
        """Wrap what an update calls of the networks.

        The wrappers are made for `forward_sync_buffers=False`; see `synchronize_statistics`.
        """

    @abstractmethod
    def update(
        self, batches: Mapping[Domain, HarmonizationBatch], gradient_weight: float = 1.0
    ) -> dict[str, Tensor]:
        """Make one training step and return detached scalar tensors by metric name, without a host sync.

        Losses come under their own names; other values begin with `discriminator_accuracy`,
        `style_accuracy_` or `grad_norm_` (see `metric_path`). With several workers the values are the
        worker's own.

        Args:
            batches: this worker's samples of the global batch, equally many of each domain.
            gradient_weight: their number over the mean number of a worker: weights the gradient, so that the
                mean over the workers is that over the global batch.
        """

    @property
    def size(self) -> int:
        """Height and width of the pictures that it is trained on, in pixels."""
        return TRAINING_SIZE

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments that build the same method again, in values that JSON can hold."""
        return {**self.options.model_dump(mode="json"), "seed": self.seed}

    @cached_property
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Optimizers by name; made when first asked for, since torch loads its compiler for that."""
        return self.make_optimizers()

    def create_optimizers(self) -> None:
        """Make the optimizers now, which takes torch its time."""
        _ = self.optimizers

    def autocast(self) -> torch.autocast:
        """Return the context that networks run in during an update."""
        device = next(next(iter(self.modules.values())).parameters()).device
        return torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.options.precision == "bf16")

    def configure_updates(self, accumulation: int = 1, max_gradient_norm: float = 0.0) -> None:
        """Set how an update computes and uses gradients.

        Args:
            accumulation: number of backward passes that a worker's batch is divided among.
            max_gradient_norm: L2 norm that the gradients of an optimizer are scaled down to; 0 leaves them.
        """
        self.accumulation = accumulation
        self.max_gradient_norm = max_gradient_norm

    def parts(
        self, batches: Mapping[Domain, HarmonizationBatch], *wrapped: nn.Module
    ) -> Iterator[tuple[Mapping[Domain, HarmonizationBatch], float]]:
        """Yield the parts of an update's batches, one for each backward pass, with their shares of it.

        While the caller works on any but the last, gradients of the `wrapped` modules stay the worker's own.
        """
        if self.accumulation == 1:
            yield batches, 1.0
            return
        size = len(next(iter(batches.values())))
        bounds = [size * number // self.accumulation for number in range(self.accumulation + 1)]
        for start, stop in itertools.pairwise(bounds):
            part = {domain: batch.sliced(start, stop) for domain, batch in batches.items()}
            with unsynchronized(*(wrapped if stop < size else ())):
                yield part, (stop - start) / size

    def step(self, name: str) -> None:
        """Make an optimizer's step, with its gradients scaled down to `max_gradient_norm` if that is set."""
        optimizer = self.optimizers[name]
        if self.max_gradient_norm:
            nn.utils.clip_grad_norm_(parameters_of(optimizer), self.max_gradient_norm)
        optimizer.step()

    def warm_start(self, source: Method) -> None:
        """Take over the networks of another run; optimizers stay fresh.

        Raises:
            ValueError: the source is of a method that this one cannot take weights from.
            WeightsError: its networks have another shape.
        """
        if source.name != self.name:
            raise ValueError(f"{self.name} cannot start from weights of {source.name}, only of {self.name}")
        for name, module in self.modules.items():
            load_strictly(module, source.modules[name].state_dict(), f"{source.name}'s {name}")

    def to(self, device: torch.device | str) -> Self:
        """Move the networks; call before `distribute` and before the first update."""
        for module in self.modules.values():
            module.to(device)
        return self

    def for_inference(self, device: torch.device | str) -> Self:
        """Move the networks and put them in evaluation for good, so that threads may share them.

        Else one thread's `evaluating` would put them back to training while another uses them.
        """
        for module in self.to(device).modules.values():
            module.eval()
        return self

    def normalize_over_workers(self) -> None:
        """Have every batch norm normalise by the global batch in training, so that workers change nothing.

        Without it each worker's samples are normalised by themselves, as is usual.
        """
        for network in self.modules.values():
            for module in network.modules():
                if isinstance(module, BatchNorm2d):
                    module.over_workers = True

    def synchronize_statistics(self) -> None:
        """Average the batch norms' running statistics over the workers; other buffers stay as they are.

        Each worker gathers its own; call this on all of them before validating or saving, so that they do so
        with the same model. Nothing happens with one process.
        """
        synchronize(
            [
                network.get_buffer(name)
                for network in self.modules.values()
                for name in statistics_names(network)
            ]
        )

    @property
    def learning_rates(self) -> dict[str, float]:
        """Current learning rates by optimizer (of its first parameter group)."""
        return {name: optimizer.param_groups[0]["lr"] for name, optimizer in self.optimizers.items()}

    def scale_learning_rates(self, factor: float) -> None:
        """Set every learning rate to `factor` times its first value."""
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group.setdefault("initial_lr", group["lr"])
                group["lr"] = group["initial_lr"] * factor

    def extra_state(self) -> dict[str, Tensor]:
        """Return state of this worker that is neither in networks nor in optimizers, such as an image pool.

        Checkpoints hold it for each worker.
        """
        return {}

    def load_extra_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `extra_state` returned.

        Raises:
            WeightsError: it does not fit.
        """
        if state:
            raise WeightsError(f"{self.name} has no extra state, got {', '.join(sorted(state))}")

    def state_dict(self) -> dict[str, Any]:
        """Return {"modules": {name: state dict}, "optimizers": {name: state dict}}."""
        return {
            "modules": {name: module.state_dict() for name, module in self.modules.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned; without "optimizers" these stay as they are.

        Raises:
            WeightsError: it does not fit.
        """
        for name, module in self.modules.items():
            load_strictly(module, state["modules"].get(name), f"{self.name}'s {name}")
        if "optimizers" not in state:
            return
        for name, optimizer in self.optimizers.items():
            try:
                optimizer.load_state_dict(state["optimizers"][name])
            except (KeyError, ValueError, TypeError, AttributeError) as error:  # torch checks little
                raise WeightsError(f"{self.name}'s optimizer {name} does not fit: {error}") from error
            _lay_out_as_parameters(optimizer)


@contextmanager
def evaluating(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Inside, modules that were in training are in evaluation."""
    training = [module for module in modules if module.training]
    for module in training:  # going through all parts of a network takes a few milliseconds
        module.eval()
    try:
        yield
    finally:
        for module in training:
            module.train()


def _lay_out_as_parameters(optimizer: torch.optim.Optimizer) -> None:
    """Give the optimizer's tensors the strides of their parameters, which a fused step takes for granted."""
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                values[name] = torch.empty_like(parameter).copy_(value)


def metric_path(name: str) -> str:
    """Return a metric's name with its group: loss/, discriminator/, style/ or optim/."""
    for prefix, group in (("discriminator_accuracy", "discriminator"), ("style_accuracy", "style")):
        if name.startswith(prefix):
            return f"{group}/{name.removeprefix(group + '_')}"
    return f"optim/{name}" if name.startswith("grad_norm_") else f"loss/{name}"


def require_batches(
    batches: Mapping[Domain, HarmonizationBatch], domains: Collection[Domain], smallest: int = 1
) -> Mapping[Domain, HarmonizationBatch]:
    """Return the batches, where there is one of at least `smallest` samples for each domain.

    Raises:
        ValueError: a domain is missing or has too few samples.
    """
    for domain in domains:
        if domain not in batches:
            raise ValueError(
                f"no batch of the {domain} domain; got {', '.join(sorted(batches)) or 'none'}, needed "
                f"{', '.join(sorted(domains))}"
            )
        if len(batches[domain]) < smallest:
            raise ValueError(
                f"the batch of the {domain} domain holds {len(batches[domain])} sample(s), the method needs "
                f"at least {smallest} in each backward pass of a worker"
            )
    return batches
