"""iDIH (WACV 2021): the supervised baseline on one domain, and the warm start of CharmNet's real path."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from charmnet.batch import HarmonizationBatch
from charmnet.losses import foreground_normalized_mse
from charmnet.methods.base import Wrap, require_batches
from charmnet.methods.generator import GeneratorMethod, adam, cpu_copy, gradient_norm, precision_of, seeded
from charmnet.networks.charmnet import released_shape
from charmnet.networks.idih import IDIH, idih_names, rename
from charmnet.networks.state import load_strictly
from charmnet.vocabulary import Domain


class IDIHMethod(GeneratorMethod):
    """One network, trained by the foreground-normalised MSE alone.

    Args:
        learning_rate: Adam's.
        width: channels of the first layer (64 as released), a multiple of 4.
        precision: float32, bf16 (autocast in the update) or float64.
        domain: whose pairs it is trained on.
        attention_bias: what the attention head's bias starts at.
        seed: of the initialisation; None draws from torch's global generator.
    """

    name = "idih"

    def __init__(
        self,
        learning_rate: float = 1e-3,
        width: int = 64,
        precision: str = "float32",
        domain: str = Domain.REAL,
        attention_bias: float = 0.0,
        seed: int | None = None,
    ) -> None:
        self.domain = Domain(domain)
        self.domains = frozenset({self.domain})
        self.options = {
            "learning_rate": learning_rate,
            "width": width,
            "precision": precision,
            "domain": self.domain.value,
            "attention_bias": attention_bias,
            "seed": seed,
        }
        with seeded(seed):
            super().__init__({"generator": IDIH(width, attention_bias)}, precision)
        self._generate: torch.nn.Module = self.generator

    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"generator": adam(self.generator.parameters(), self.options["learning_rate"])}

    @classmethod
    def from_released(
        cls,
        state: Mapping[str, Tensor],
        dtype: torch.dtype = torch.float32,
        learning_rate: float = 1e-3,
        source: str = "released iDIH",
    ) -> IDIHMethod:
        """From a state dict of the released layout (`idih256.pth`).

        Raises:
            WeightsError: it does not fit; names the `source`.
        """
        renamed = rename(state, idih_names())
        method = cls(learning_rate, released_shape(renamed, source)[0], precision_of(dtype))
        load_strictly(method.generator, renamed, source)
        return method

    def released_state_dict(self) -> dict[str, Tensor]:
        """A copy of the weights on the CPU in the released layout."""
        names = {own: released for released, own in idih_names().items()}
        return cpu_copy(rename(self.generator.state_dict(), names))

    def distribute(self, wrap: Wrap) -> None:
        self._generate = wrap(self.generator)

    def update(self, batches: Mapping[Domain, HarmonizationBatch], share: float = 1.0) -> dict[str, Tensor]:
        """One step; `foreground_mse_<domain>` is the loss, of weight 1."""
        batch = require_batches(batches, self.domains)[self.domain]
        with self.autocast():
            result = self._generate(batch.composite, batch.foreground_mask)
        loss = foreground_normalized_mse(result.harmonized, batch.ground_truth, batch.foreground_mask).mean()
        optimizer = self.optimizers["generator"]
        optimizer.zero_grad()
        (share * loss).backward()
        optimizer.step()
        metrics = {f"foreground_mse_{self.domain}": loss, "total": loss}
        return {name: value.detach() for name, value in metrics.items()} | {
            "grad_norm_generator": gradient_norm(self.generator)
        }
