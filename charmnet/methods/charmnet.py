"""CharmNet (BMVC 2022): its four networks and one training step on both domains."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from charmnet.batch import HarmonizationBatch
from charmnet.errors import WeightsError
from charmnet.losses import (
    discriminator_hinge,
    soft_cross_entropy,
    style_aggregation,
)
from charmnet.methods.accuracy import agreement, discriminator_accuracy
from charmnet.methods.base import Method, Requirements, Wrap, require_batches
from charmnet.methods.charmnet_networks import (
    RELEASED_NAMES,
    Classify,
    Discriminate,
    build_networks,
    check_released,
    wrapped_by_domain,
)
from charmnet.methods.charmnet_options import RECONSTRUCTION_LOSSES, STYLE_WEIGHTS, CharmNetOptions
from charmnet.methods.gradients import adam, at_least_float32, call_frozen, gradient_norm, unsynchronized
from charmnet.methods.harmonization import GeneratorMethod
from charmnet.methods.idih import IDIHMethod
from charmnet.methods.optimization import mean_metrics, optimize
from charmnet.networks.batch_norm import frozen_statistics
from charmnet.networks.charmnet import BOTH_DOMAINS, released_shape
from charmnet.networks.idih import idih_names
from charmnet.networks.state import cpu_copy, load_strictly, precision_of, rename
from charmnet.vocabulary import Domain

Encoded = dict[Domain, list[Tensor]]
"""Features of an encoder's layers by domain."""


class CharmNetMethod(GeneratorMethod):
    """CharmNet's networks, two optimizers and update; see `CharmNetOptions`."""

    name = "charmnet"
    Options = CharmNetOptions
    requirements = Requirements(smallest_batch=2, styles=True)
    options: CharmNetOptions

    def build(self) -> dict[str, nn.Module]:
        """Return the generator, the discriminator and the two style classifiers."""
        options = self.options
        return build_networks(
            unshared_layers=options.unshared_layers,
            domain_statistics=options.domain_statistics,
            shared_paths=options.shared_paths,
            **options.generator_arguments(),
        )

    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Return the discriminator's optimizer and the joint one of all other networks."""
        joint = [{"params": self.modules[RELEASED_NAMES[name]].parameters()} for name in ("G", "SC2", "SC1")]
        rate = self.options.learning_rate
        return {
            "discriminator": adam(self.modules["discriminator"].parameters(), rate),
            "joint": adam(joint, rate),
        }

    @classmethod
    def from_released(
        cls,
        states: Mapping[str, Mapping[str, Tensor]],
        dtype: torch.dtype = torch.float32,
        learning_rate: float = 1e-4,
    ) -> CharmNetMethod:
        """Return a method with the released state dicts of G, D, SC1 and SC2.

        Their shapes tell width and unshared layers.

        Raises:
            WeightsError: a network or key is missing, unexpected or of another shape.
        """
        check_released(states)
        width, unshared_layers = released_shape(states["G"])
        method = cls(
            learning_rate=learning_rate,
            width=width,
            precision=precision_of(dtype),
            unshared_layers=unshared_layers,
        )
        for released, name in RELEASED_NAMES.items():
            load_strictly(method.modules[name], states[released], f"released {released}")
        return method

    @classmethod
    def from_released_generator(
        cls, state: Mapping[str, Tensor], source: str = "released G"
    ) -> CharmNetMethod:
        """Return a method with the released state dict of G alone: to harmonize, not to go on training.

        The other networks are as initialised.

        Raises:
            WeightsError: it does not fit; names the `source`.
        """
        width, unshared_layers = released_shape(state, source)
        method = cls(width=width, unshared_layers=unshared_layers, seed=0)
        load_strictly(method.generator, state, source)
        return method

    def released_state_dicts(self) -> dict[str, dict[str, Tensor]]:
        """Return copies of the weights on the CPU in the released layout, by the networks' released names.

        With `domain_statistics` the shared batch norms have the real domain's statistics, that being the path
        that the released code tests; those of the rendered domain have no place there.

        Raises:
            WeightsError: the head has no released layout, or the domains share their paths.
        """
        self.require_released_head()
        if self.options.shared_paths:
            raise WeightsError("charmnet with shared_paths=true has no released layout; train it without")
        states = {
            released: cpu_copy(self.modules[name].state_dict()) for released, name in RELEASED_NAMES.items()
        }
        states["G"] = {key: tensor for key, tensor in states["G"].items() if ".rendered." not in key}
        return states

    def warm_start(self, source: Method) -> None:
        """Take over all networks of another CharmNet, or iDIH's weights in the real path.

        In the second case the shared blocks are iDIH's too, and what belongs to the rendered domain alone
        stays as initialised.

        Raises:
            WeightsError: the networks have another shape, or end in another head.
        """
        if not isinstance(source, IDIHMethod):
            return super().warm_start(source)
        self.require_same_generator(source)
        if self.options.head == "affine":
            real_path = source.generator.state_dict()
        else:
            real_path = rename(source.released_state_dict(), idih_names(self.options.unshared_layers))
        complete = {**self.generator.state_dict(), **real_path}
        return load_strictly(self.generator, complete, "iDIH as the real path")

    def distribute(self, wrap: Wrap) -> None:
        """Wrap each part of the networks that a backward pass goes through whole."""
        generator = self.generator
        discriminator, before, after = (self.modules[RELEASED_NAMES[name]] for name in ("D", "SC1", "SC2"))
        shared = self.options.shared_paths
        self._encode = wrapped_by_domain(wrap, generator.encoder, shared=shared)
        self._shared = wrap(generator.shared())
        self._decode = wrapped_by_domain(wrap, generator.decoder, shared=shared)
        self._discriminate = wrap(Discriminate(discriminator))
        self._classify = wrap(Classify(before, after))

    def update(
        self, batches: Mapping[Domain, HarmonizationBatch], gradient_weight: float = 1.0
    ) -> dict[str, Tensor]:
        """Make one step: the discriminator's, then the joint one of generator and style classifiers.

        Losses are scaled as the released code logs them: `foreground_mse_*` by `reconstruction_weight`, the
        rest by 1; `style` and `total` are the weighted sums. docs/departures.md has the table of names.

        Raises:
            ValueError: a domain is missing or has too few samples, or the rendered batch has no styles.
        """
        rendered = batches.get(Domain.RENDERED)
        if rendered is not None and (rendered.composite_style is None or rendered.ground_truth_style is None):
            raise ValueError("the rendered batch needs composite_style and ground_truth_style")
        encoded = self._encoded(batches) if self.accumulation == 1 else None  # for both halves of the step
        metrics = {}
        if self.options.adversarial_weight:
            metrics = self._update_discriminator(batches, encoded, gradient_weight)
        return metrics | self._update_jointly(batches, encoded, gradient_weight)

    def _encoded(self, batches: Mapping[Domain, HarmonizationBatch]) -> Encoded:
        """Return the features of both domains' encoders."""
        batches = require_batches(batches, self.domains, self.requirements.smallest_batch)
        encoded = {}
        for domain in BOTH_DOMAINS:
            batch = batches[domain]
            with self.autocast(), unsynchronized(*self._shared_ends(domain)):
                inputs = self.generator.network_input(batch.composite, batch.foreground_mask)
                encoded[domain] = self._encode[domain](inputs, domain)
        return encoded

    def _shared_ends(self, domain: Domain) -> tuple[nn.Module, ...]:
        """Return encoder and decoder where the rendered domain's part of an update shares them."""
        ends = (self._encode[domain], self._decode[domain])
        return ends if self.options.shared_paths and domain is Domain.RENDERED else ()

    @torch.no_grad()
    def _encoded_again(self, batches: Mapping[Domain, HarmonizationBatch]) -> Encoded:
        """Return `_encoded`'s features without gradients, for a discriminator's step of several parts.

        Running statistics are left alone, since the joint step updates them by the same samples.
        """
        with frozen_statistics(self.generator):
            return self._encoded(batches)

    def _update_discriminator(
        self,
        batches: Mapping[Domain, HarmonizationBatch],
        encoded: Encoded | None,
        gradient_weight: float,
    ) -> dict[str, Tensor]:
        return optimize(
            self,
            ["discriminator"],
            lambda part: self._discriminator_losses(encoded or self._encoded_again(part)),
            batches,
            gradient_weight,
            self._discriminate,
        )

    def _discriminator_losses(self, features: Encoded) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the discriminator's loss, and metrics."""
        last = (features[domain][-1].detach() for domain in (Domain.RENDERED, Domain.REAL))
        with self.autocast():
            rendered_logits, real_logits = map(at_least_float32, self._discriminate(*last))
        rendered_loss, real_loss = discriminator_hinge(rendered_logits, real_logits)
        loss = rendered_loss + real_loss
        return loss, {
            "discriminator_rendered": rendered_loss,
            "discriminator_real": real_loss,
            "discriminator": loss,
            **discriminator_accuracy(rendered=rendered_logits < 0, real=real_logits > 0),
        }

    def _update_jointly(
        self,
        batches: Mapping[Domain, HarmonizationBatch],
        encoded: Encoded | None,
        gradient_weight: float,
    ) -> dict[str, Tensor]:
        """Step generator and style classifiers.

        The losses are differentiated a domain at a time, rendered first, and only one domain's features are
        kept meanwhile; with shared paths at once, since workers exchange a parameter's gradient once.
        """
        self.optimizers["joint"].zero_grad()
        wrapped = (*self._encode.values(), self._shared, *self._decode.values(), self._classify)
        metrics = []
        for part, share in self.parts(batches, *wrapped):
            features = encoded or self._encoded(part)
            weight = gradient_weight * share
            with unsynchronized(self._shared, self._classify, *self._shared_ends(Domain.RENDERED)):
                losses, values = self._rendered_losses(part[Domain.RENDERED], features.pop(Domain.RENDERED))
                weighted = weight * self._weighted_sum(losses)
                if not self.options.shared_paths:
                    weighted.backward()
            real = self._real_losses(part[Domain.REAL], features.pop(Domain.REAL), gradient_weight)
            real_weighted = weight * self._weighted_sum(real)
            (real_weighted + weighted if self.options.shared_paths else real_weighted).backward()
            both = losses | values | real
            metrics.append(({name: value.detach() for name, value in both.items()}, share))
        classifiers = ("style_classifier_before", "style_classifier_after")
        trained = ("generator", *(classifiers if self.options.style_weight else ()))
        norms = {f"grad_norm_{name}": gradient_norm(self.modules[name].parameters()) for name in trained}
        self.step("joint")
        means = mean_metrics(metrics)
        if self.options.style_weight:
            means["style"] = torch.stack([w * means[name] for name, w in STYLE_WEIGHTS.items()]).sum()
        means["total"] = self._weighted_sum(means)
        return means | norms

    def _weighted_sum(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Return the weighted sum of those losses that the generator learns from."""
        options = self.options
        weights = {name: options.style_weight * weight for name, weight in STYLE_WEIGHTS.items()}
        weights |= {"adversarial": options.adversarial_weight} | dict.fromkeys(RECONSTRUCTION_LOSSES, 1.0)
        return torch.stack([weights[name] * loss for name, loss in losses.items() if name in weights]).sum()

    def _adversarial_loss(self, rendered_features: Tensor) -> Tensor:
        """Return the loss of rendered features under the updated discriminator.

        It is called past its wrapper, and gets no gradients.
        """
        with self.autocast():
            logits = call_frozen(self.modules["discriminator"], rendered_features)
        return -at_least_float32(logits).mean()

    def _rendered_losses(
        self, batch: HarmonizationBatch, encoded: list[Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the rendered domain's losses, and its other metrics."""
        assert batch.composite_style is not None
        assert batch.ground_truth_style is not None
        weighted = bool(self.options.adversarial_weight)
        adversarial = {"adversarial": self._adversarial_loss(encoded[-1])} if weighted else {}
        foreground, logits = self._finish(batch, encoded, Domain.RENDERED)
        losses = {"foreground_mse_rendered": foreground, **adversarial}
        if logits is None:
            return losses, {}
        before, after = logits
        losses |= {
            "style_before_rendered": soft_cross_entropy(before, batch.composite_style.to(before.dtype)),
            "style_after_rendered": F.cross_entropy(after, batch.ground_truth_style.to(torch.int64)),
        }
        return losses, {
            "style_accuracy_before": agreement(before.argmax(1), batch.composite_style.argmax(1)),
            "style_accuracy_after": agreement(after.argmax(1), batch.ground_truth_style),
        }

    def _real_losses(
        self, batch: HarmonizationBatch, encoded: list[Tensor], gradient_weight: float
    ) -> dict[str, Tensor]:
        """Return the real domain's losses."""
        foreground, logits = self._finish(batch, encoded, Domain.REAL)
        losses = {"foreground_mse_real": foreground}
        if logits is not None:
            consistency, margin = style_aggregation(*logits, share=gradient_weight)
            losses |= {"style_consistency_real": consistency, "style_margin_real": margin}
        return losses

    def _finish(
        self, batch: HarmonizationBatch, encoded: list[Tensor], domain: Domain
    ) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        """Return the weighted foreground loss, and the logits of SC1 and SC2 where styles have a weight."""
        *skips, features_before = encoded
        logits = None
        with self.autocast():
            features_after = self._shared(features_before, domain)
            harmonized, *_ = self._decode[domain](
                features_after, skips, batch.composite, batch.foreground_mask, domain
            )
            if self.options.style_weight:
                before, after = self._classify(features_before, features_after)
                logits = at_least_float32(before), at_least_float32(after)
        loss = self.reconstruction_losses(harmonized, batch).mean()
        return self.options.reconstruction_weight * loss, logits
