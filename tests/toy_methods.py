"""Methods of a few weights that use every part of the interface, for tests of the training system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from charmnet.batch import HarmonizationBatch
from charmnet.errors import WeightsError
from charmnet.methods.base import MethodOptions, Requirements, Wrap
from charmnet.methods.harmonization import HarmonizationMethod
from charmnet.methods.optimization import optimize
from charmnet.methods.translation import TranslationMethod
from charmnet.vocabulary import Domain

POOL_SIZE = 4


class ToyOptions(MethodOptions):
    """Options of `ToyHarmonizer`."""

    name: Literal["toy"] = "toy"
    """Name of the method."""
    learning_rate: float = Field(1e-2, gt=0)
    """Learning rate of plain gradient descent."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Share of channels that are dropped in training."""
    penalty: float = Field(0.0, ge=0)
    """Weight of the critic's gradient penalty."""


class ToyHarmonizer(HarmonizationMethod):
    """A generator with dropout and a critic with spectral norm, an image pool and a gradient penalty."""

    name = "toy"
    Options = ToyOptions
    options: ToyOptions
    domains = frozenset({Domain.REAL})
    requirements = Requirements(
        smallest_batch=1,
        value_range="symmetric",
        mask_edges="soft",
        augmentation="flip",
        pastes=True,
        capturable=False,
    )

    def build(self) -> dict[str, nn.Module]:
        """Return the generator and the critic."""
        self.pool = torch.zeros(0, 3, 4, 4)
        generator = nn.Sequential(
            nn.Conv2d(4, 8, 1), nn.ReLU(), nn.Dropout(self.options.dropout), nn.Conv2d(8, 3, 1)
        )
        critic = nn.Sequential(nn.utils.spectral_norm(nn.Conv2d(3, 4, 3)), nn.Tanh(), nn.Conv2d(4, 1, 1))
        return {"generator": generator, "critic": critic}

    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Return an optimizer for each network."""
        rate = self.options.learning_rate
        return {name: torch.optim.SGD(m.parameters(), rate, momentum=0.9) for name, m in self.modules.items()}

    def distribute(self, wrap: Wrap) -> None:
        """Wrap both networks."""
        self._generate = wrap(self.modules["generator"])
        self.criticize = wrap(self.modules["critic"])

    def infer(self, composite: Tensor, foreground_mask: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the generator's output."""
        return self.modules["generator"](torch.cat([composite, foreground_mask], 1)), None

    def extra_state(self) -> dict[str, Tensor]:
        """Return the image pool."""
        return {"pool": self.pool}

    def load_extra_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over an image pool."""
        if set(state) != {"pool"}:
            raise WeightsError(f"expected an image pool, got {sorted(state)}")
        self.pool = state["pool"].clone()

    def update(
        self, batches: Mapping[Domain, HarmonizationBatch], gradient_weight: float = 1.0
    ) -> dict[str, Tensor]:
        """Step the critic on a pool of outputs, then the generator."""
        metrics = self._update_critic(batches[Domain.REAL], gradient_weight)
        return metrics | optimize(
            self, ["generator"], self._generator_losses, batches, gradient_weight, self._generate
        )

    def _generator_losses(
        self, batches: Mapping[Domain, HarmonizationBatch]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        batch = batches[Domain.REAL]
        output = self._generate(torch.cat([batch.composite, batch.foreground_mask], 1))
        loss = (output - batch.ground_truth).square().mean()
        return loss, {"foreground_mse_real": loss, "total": loss}

    def _update_critic(self, batch: HarmonizationBatch, gradient_weight: float) -> dict[str, Tensor]:
        with torch.no_grad():
            output = self.modules["generator"](torch.cat([batch.composite, batch.foreground_mask], 1))
        fresh = nn.functional.adaptive_avg_pool2d(output, 4)
        self.pool = torch.cat([self.pool.to(fresh), fresh])[torch.randperm(len(self.pool) + len(fresh))][
            :POOL_SIZE
        ]
        real = nn.functional.adaptive_avg_pool2d(batch.ground_truth, 4)
        self.optimizers["critic"].zero_grad()
        loss = self.criticize(self.pool).mean() - self.criticize(real).mean()
        if self.options.penalty:
            mixing = torch.rand(len(real), 1, 1, 1).to(real)
            loss = loss + self.options.penalty * self.gradient_penalty(mixing * real + (1 - mixing) * fresh)
        (gradient_weight * loss).backward()
        self.step("critic")
        return {"critic": loss.detach()}

    def gradient_penalty(self, pictures: Tensor) -> Tensor:
        """Return WGAN-GP's penalty of the critic's gradient at [B,3,4,4] pictures."""
        pictures = pictures.requires_grad_()
        values = self.criticize(pictures).sum()
        (gradient,) = torch.autograd.grad(values, pictures, create_graph=True)
        return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


class ToyTranslatorOptions(MethodOptions):
    """Options of `ToyTranslator`."""

    name: Literal["toy-translator"] = "toy-translator"
    """Name of the method."""
    learning_rate: float = Field(0.5, gt=0)
    """Learning rate of plain gradient descent."""


class ToyTranslator(TranslationMethod):
    """A translator that learns the mean colour of the other domain."""

    name = "toy-translator"
    Options = ToyTranslatorOptions
    options: ToyTranslatorOptions
    requirements = Requirements(value_range="unit")

    def build(self) -> dict[str, nn.Module]:
        """Return a layer that adds a colour."""
        layer = nn.Conv2d(3, 3, 1)
        nn.init.dirac_(layer.weight)
        nn.init.zeros_(layer.bias)
        layer.weight.requires_grad_(False)
        return {"translator": layer}

    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Return an optimizer of the colour."""
        return {"translator": torch.optim.SGD([self.modules["translator"].bias], self.options.learning_rate)}

    def distribute(self, wrap: Wrap) -> None:
        """Wrap the layer."""
        self._translate = wrap(self.modules["translator"])

    def infer(self, image: Tensor) -> Tensor:
        """Return the picture with the colour added."""
        return self.modules["translator"](image)

    def update(
        self, batches: Mapping[Domain, HarmonizationBatch], gradient_weight: float = 1.0
    ) -> dict[str, Tensor]:
        """Move the mean colour of translations towards the real domain's."""
        self.optimizers["translator"].zero_grad()
        translated = self._translate(batches[Domain.RENDERED].ground_truth).mean((0, 2, 3))
        loss = (translated - batches[Domain.REAL].ground_truth.mean((0, 2, 3))).square().sum()
        (gradient_weight * loss).backward()
        self.step("translator")
        return {"color": loss.detach(), "total": loss.detach()}


class UntrainedOptions(MethodOptions):
    """Options of `Untrained`."""

    name: Literal["untrained"] = "untrained"
    """Name of the method."""


class Untrained(HarmonizationMethod):
    """Base of methods without networks, for tests of what applies a method."""

    name = "untrained"
    Options = UntrainedOptions

    def build(self) -> dict[str, nn.Module]:
        """Return no network."""
        return {}

    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Return no optimizer."""
        return {}

    def distribute(self, wrap: Wrap) -> None:
        """Wrap nothing."""

    def update(
        self, batches: Mapping[Domain, HarmonizationBatch], gradient_weight: float = 1.0
    ) -> dict[str, Tensor]:
        """Learn nothing."""
        return {}


class Keep(Untrained):
    """A method that returns the composite."""

    def infer(self, composite: Tensor, foreground_mask: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the composite."""
        return composite, None
