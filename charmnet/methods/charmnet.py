"""CharmNet (BMVC 2022): its four networks and one training step on both domains."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from charmnet.batch import HarmonizationBatch
from charmnet.errors import WeightsError
from charmnet.losses import (
    discriminator_hinge,
    foreground_normalized_mse,
    soft_cross_entropy,
    style_aggregation,
)
from charmnet.methods.base import Method, Wrap, require_batches
from charmnet.methods.generator import (
    GeneratorMethod,
    adam,
    at_least_float32,
    cpu_copy,
    gradient_norm,
    precision_of,
    seeded,
    unsynchronized,
)
from charmnet.methods.idih import IDIHMethod
from charmnet.networks.blocks import split_channels
from charmnet.networks.charmnet import BOTH_DOMAINS, CharmNet, network_input, released_shape
from charmnet.networks.discriminator import FeatureDiscriminator
from charmnet.networks.idih import idih_names, rename
from charmnet.networks.state import check_state, load_strictly
from charmnet.networks.style_classifier import StyleClassifier
from charmnet.vocabulary import Domain

FOREGROUND_WEIGHT = 10.0
STYLE_WEIGHTS = {
    "style_before_rendered": 1.0,
    "style_after_rendered": 1.0,
    "style_consistency_real": 0.5,
    "style_margin_real": 0.5,
}
"""Of the losses that make up `style`."""
OTHER_LOSSES = ("foreground_mse_rendered", "foreground_mse_real", "adversarial")
"""What `total` is made of beside `style`."""

RELEASED_NAMES = {
    "G": "generator",
    "D": "discriminator",
    "SC1": "style_classifier_before",
    "SC2": "style_classifier_after",
}
"""The released code's names of the networks, and this project's."""


class CharmNetMethod(GeneratorMethod):
    """CharmNet's networks, two optimisers and update.

    Args:
        learning_rate: Adam's, of all four networks.
        width: channels of the first layers (the released ngf and ndf), a multiple of 4.
        precision: float32, bf16 (autocast in the update) or float64.
        unshared_layers: layers of each encoder and decoder that a domain has to itself, 2 to 5.
        domain_statistics: keep the shared batch norms' running statistics per domain (not as released).
        attention_bias: what the attention heads' biases start at (released: 0; 1 starts near the identity).
        seed: of the initialisation; None draws from torch's global generator.
    """

    name = "charmnet"
    domains = frozenset(Domain)

    def __init__(
        self,
        learning_rate: float = 1e-4,
        width: int = 64,
        precision: str = "float32",
        unshared_layers: int = 4,
        domain_statistics: bool = False,
        attention_bias: float = 0.0,
        seed: int | None = None,
    ) -> None:
        self.options = {
            "learning_rate": learning_rate,
            "width": width,
            "precision": precision,
            "unshared_layers": unshared_layers,
            "domain_statistics": domain_statistics,
            "attention_bias": attention_bias,
            "seed": seed,
        }
        with seeded(seed):
            networks = _networks(width, unshared_layers, domain_statistics, attention_bias)
        super().__init__(networks, precision)
        self.distribute(lambda module: module)

    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        discriminator, before, after = (
            self.modules[RELEASED_NAMES[name]].parameters() for name in ("D", "SC1", "SC2")
        )
        joint = [{"params": group} for group in (self.generator.parameters(), after, before)]
        rate = self.options["learning_rate"]
        return {"discriminator": adam(discriminator, rate), "joint": adam(joint, rate)}

    @classmethod
    def from_released(
        cls,
        states: Mapping[str, Mapping[str, Tensor]],
        dtype: torch.dtype = torch.float32,
        learning_rate: float = 1e-4,
    ) -> CharmNetMethod:
        """From the released state dicts of G, D, SC1 and SC2; their shapes tell width and unshared layers.

        Raises:
            WeightsError: a network or key is missing, unexpected or of another shape.
        """
        check_released(states)
        width, unshared_layers = released_shape(states["G"])
        method = cls(learning_rate, width, precision_of(dtype), unshared_layers)
        for released, name in RELEASED_NAMES.items():
            load_strictly(method.modules[name], states[released], f"released {released}")
        return method

    @classmethod
    def from_released_generator(
        cls, state: Mapping[str, Tensor], source: str = "released G"
    ) -> CharmNetMethod:
        """From the released state dict of G alone: for `harmonize`, not for going on with training.

        The other networks are as initialised.

        Raises:
            WeightsError: it does not fit; names the `source`.
        """
        width, unshared_layers = released_shape(state, source)
        method = cls(width=width, unshared_layers=unshared_layers, seed=0)
        load_strictly(method.generator, state, source)
        return method

    def released_state_dicts(self) -> dict[str, dict[str, Tensor]]:
        """Copies of the weights on the CPU in the released layout, by the released names of the networks.

        With `domain_statistics` the shared batch norms have the real domain's statistics, that being the path
        that the released code tests; those of the rendered domain have no place there.
        """
        states = {
            released: cpu_copy(self.modules[name].state_dict()) for released, name in RELEASED_NAMES.items()
        }
        states["G"] = {key: tensor for key, tensor in states["G"].items() if ".rendered." not in key}
        return states

    def warm_start(self, source: Method) -> None:
        """Begins with all networks of another CharmNet, or with iDIH's weights in the real path.

        In the second case the shared blocks are iDIH's too, and what belongs to the rendered domain alone
        stays as initialised.
        """
        if not isinstance(source, IDIHMethod):
            return super().warm_start(source)
        own_names = idih_names(self.options["unshared_layers"])
        real_path = rename(source.released_state_dict(), own_names)
        complete = {**self.generator.state_dict(), **real_path}
        return load_strictly(self.generator, complete, "iDIH as the real path")

    def distribute(self, wrap: Wrap) -> None:
        """Wraps each part of the networks that a backward pass goes through whole."""
        generator = self.generator
        discriminator, before, after = (self.modules[RELEASED_NAMES[name]] for name in ("D", "SC1", "SC2"))
        self._encode = {domain: wrap(generator.encoder(domain)) for domain in BOTH_DOMAINS}
        self._shared = wrap(generator.shared())
        self._decode = {domain: wrap(generator.decoder(domain)) for domain in BOTH_DOMAINS}
        self._discriminate = wrap(_Discriminate(discriminator))
        self._classify = wrap(_Classify(before, after))

    def update(self, batches: Mapping[Domain, HarmonizationBatch], share: float = 1.0) -> dict[str, Tensor]:
        """One step: the discriminator's, then the joint one of generator and style classifiers.

        Losses are scaled as the released code logs them: `foreground_mse_*` by 10, the rest by 1; `style` and
        `total` are the weighted sums. docs/departures.md has the table of names.

        The discriminator needs what both encoders make, and nothing of what comes after them; so the rest is
        done and differentiated a domain at a time, rendered first, and only one domain's features are kept.

        Raises:
            ValueError: a domain is missing or has a batch of one, or the rendered batch has no styles.
        """
        batches = require_batches(batches, self.domains)
        rendered, real = batches[Domain.RENDERED], batches[Domain.REAL]
        if rendered.composite_style is None or rendered.ground_truth_style is None:
            raise ValueError("the rendered batch needs composite_style and ground_truth_style")
        encoded = {domain: self._encoded(batches[domain], domain) for domain in BOTH_DOMAINS}
        rendered_features, real_features = (features[-1].detach() for features in encoded.values())
        metrics = self._update_discriminator(rendered_features, real_features, share)
        optimizer = self.optimizers["joint"]
        optimizer.zero_grad()
        with unsynchronized(self._shared, self._classify):
            losses = self._learn_rendered(rendered, encoded.pop(Domain.RENDERED), share)
        losses |= self._learn_real(real, encoded.pop(Domain.REAL), share)
        optimizer.step()
        losses["style"] = _weighted_sum({name: losses[name] for name in STYLE_WEIGHTS})
        losses["total"] = losses["style"] + sum(losses[name] for name in OTHER_LOSSES)
        trained = ("generator", "style_classifier_before", "style_classifier_after")
        norms = {f"grad_norm_{name}": gradient_norm(self.modules[name]) for name in trained}
        return metrics | losses | norms

    def _encoded(self, batch: HarmonizationBatch, domain: Domain) -> list[Tensor]:
        with self.autocast():
            return self._encode[domain](network_input(batch.composite, batch.foreground_mask), domain)

    def _update_discriminator(self, rendered: Tensor, real: Tensor, share: float) -> dict[str, Tensor]:
        with self.autocast():
            rendered_logits, real_logits = map(at_least_float32, self._discriminate(rendered, real))
        rendered_loss, real_loss = discriminator_hinge(rendered_logits, real_logits)
        loss = rendered_loss + real_loss
        optimizer = self.optimizers["discriminator"]
        optimizer.zero_grad()
        (share * loss).backward()
        optimizer.step()
        metrics = {
            "discriminator_rendered": rendered_loss,
            "discriminator_real": real_loss,
            "discriminator": loss,
            "grad_norm_discriminator": gradient_norm(self.modules["discriminator"]),
            **_discriminator_accuracy(rendered_logits < 0, real_logits > 0),
        }
        return {name: value.detach() for name, value in metrics.items()}

    def _adversarial_loss(self, rendered_features: Tensor) -> Tensor:
        """The updated discriminator on rendered features; past its wrapper and without gradients to it."""
        discriminator = self.modules["discriminator"]
        frozen = {name: parameter.detach() for name, parameter in discriminator.named_parameters()}
        with self.autocast():
            logits = functional_call(discriminator, frozen, (rendered_features,))
        return -at_least_float32(logits).mean()

    def _learn_rendered(
        self, batch: HarmonizationBatch, encoded: list[Tensor], share: float
    ) -> dict[str, Tensor]:
        """Adds the gradients of the rendered domain; returns detached metrics."""
        assert batch.composite_style is not None
        assert batch.ground_truth_style is not None
        adversarial = self._adversarial_loss(encoded[-1])
        foreground, before, after = self._finish(batch, encoded, Domain.RENDERED)
        losses = {
            "foreground_mse_rendered": foreground,
            "adversarial": adversarial,
            "style_before_rendered": soft_cross_entropy(before, batch.composite_style.to(before.dtype)),
            "style_after_rendered": F.cross_entropy(after, batch.ground_truth_style.to(torch.int64)),
        }
        (share * _weighted_sum(losses)).backward()
        metrics = losses | {
            "style_accuracy_before": _agreement(before.argmax(1), batch.composite_style.argmax(1)),
            "style_accuracy_after": _agreement(after.argmax(1), batch.ground_truth_style),
        }
        return {name: value.detach() for name, value in metrics.items()}

    def _learn_real(
        self, batch: HarmonizationBatch, encoded: list[Tensor], share: float
    ) -> dict[str, Tensor]:
        """The same for the real domain."""
        foreground, before, after = self._finish(batch, encoded, Domain.REAL)
        consistency, margin = style_aggregation(before, after, share=share)
        losses = {
            "foreground_mse_real": foreground,
            "style_consistency_real": consistency,
            "style_margin_real": margin,
        }
        (share * _weighted_sum(losses)).backward()
        return {name: value.detach() for name, value in losses.items()}

    def _finish(
        self, batch: HarmonizationBatch, encoded: list[Tensor], domain: Domain
    ) -> tuple[Tensor, Tensor, Tensor]:
        """From encoded features to the weighted foreground loss and the logits of SC1 and SC2."""
        *skips, features_before = encoded
        with self.autocast():
            features_after = self._shared(features_before, domain)
            harmonized, _ = self._decode[domain](features_after, skips, batch.composite, domain)
            before, after = self._classify(features_before, features_after)
        loss = foreground_normalized_mse(harmonized, batch.ground_truth, batch.foreground_mask).mean()
        return FOREGROUND_WEIGHT * loss, at_least_float32(before), at_least_float32(after)


def check_released(
    states: Mapping[str, Mapping[str, Tensor]], sources: Mapping[str, str] | None = None
) -> None:
    """Raises WeightsError unless there are exactly G, D, SC1 and SC2 in the released layout and of one shape.

    `sources` names where each came from.
    """
    if set(states) != set(RELEASED_NAMES):
        raise WeightsError(f"got weights of {sorted(states)}, expected those of {sorted(RELEASED_NAMES)}")
    sources = {released: f"released {released}" for released in RELEASED_NAMES} | dict(sources or {})
    with torch.device("meta"):
        expected = _networks(*released_shape(states["G"], sources["G"]))
    for released, name in RELEASED_NAMES.items():
        check_state(states[released], expected[name], sources[released])


def _networks(
    width: int, unshared_layers: int, domain_statistics: bool = False, attention_bias: float = 0.0
) -> dict[str, nn.Module]:
    channels = split_channels(width, unshared_layers)
    return {
        "generator": CharmNet(width, unshared_layers, domain_statistics, attention_bias),
        "discriminator": FeatureDiscriminator(channels, width),
        "style_classifier_before": StyleClassifier(channels, width),
        "style_classifier_after": StyleClassifier(channels, width),
    }


def _weighted_sum(losses: Mapping[str, Tensor]) -> Tensor:
    return torch.stack([STYLE_WEIGHTS.get(name, 1.0) * loss for name, loss in losses.items()]).sum()


def _discriminator_accuracy(rendered_right: Tensor, real_right: Tensor) -> dict[str, Tensor]:
    rendered, real = rendered_right.float().mean(), real_right.float().mean()
    return {
        "discriminator_accuracy": (rendered + real) / 2,
        "discriminator_accuracy_rendered": rendered,
        "discriminator_accuracy_real": real,
    }


def _agreement(predicted: Tensor, expected: Tensor) -> Tensor:
    return (predicted == expected).float().mean()


class _Discriminate(nn.Module):
    def __init__(self, discriminator: nn.Module) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, rendered: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        return self.discriminator(rendered), self.discriminator(real)


class _Classify(nn.Module):
    """Both classifiers, each on its features."""

    def __init__(self, before: nn.Module, after: nn.Module) -> None:
        super().__init__()
        self.before, self.after = before, after

    def forward(self, features_before: Tensor, features_after: Tensor) -> tuple[Tensor, Tensor]:
        return self.before(features_before), self.after(features_after)
