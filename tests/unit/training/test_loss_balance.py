"""The balance of the small recipe's losses in the blocks that both domains share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from charmnet.batch import HarmonizationBatch, normalize
from charmnet.losses import soft_cross_entropy, style_aggregation
from charmnet.methods import CharmNetMethod
from charmnet.vocabulary import NUM_CONDITIONS, Domain
from pipelines.config.recipes import recipe
from pipelines.training.build import configured_method

STEPS = 4


def batch(generator: torch.Generator, size: int, pairs: int = 16) -> HarmonizationBatch:
    """Return smooth pictures whose foregrounds were recoloured by a random map each."""
    smooth = F.interpolate(torch.rand(pairs, 3, 6, 6, generator=generator), size=size, mode="bilinear")
    truth = 0.8 * smooth + 0.1 * torch.rand(pairs, 3, size, size, generator=generator)
    mask = torch.zeros(pairs, 1, size, size)
    mask[..., size // 4 : size // 2, size // 3 : size // 4 * 3] = 1
    matrix = torch.eye(3) + 0.15 * torch.randn(pairs, 3, 3, generator=generator)
    shift = 0.08 * torch.randn(pairs, 3, 1, 1, generator=generator)
    changed = (torch.einsum("nij,njhw->nihw", matrix, truth) + shift).clamp(0, 1)
    classes, others = torch.randint(0, NUM_CONDITIONS, (2, pairs), generator=generator)
    style = 0.75 * F.one_hot(classes, NUM_CONDITIONS) + 0.25 * F.one_hot(others, NUM_CONDITIONS)
    composite = normalize(torch.lerp(truth, changed, mask))
    return HarmonizationBatch(composite, normalize(truth), mask, style, classes)


def shared_gradients(method: CharmNetMethod, data: HarmonizationBatch, domain: Domain) -> tuple[float, float]:
    """Return the norms of the shared blocks' gradients by reconstruction and by style losses."""
    encoded = method._encoded({Domain.REAL: data, Domain.RENDERED: data})[domain]
    reconstruction, logits = method._finish(data, encoded, domain)
    assert logits is not None
    before, after = logits
    if domain is Domain.RENDERED:
        assert data.composite_style is not None
        assert data.ground_truth_style is not None
        first = soft_cross_entropy(before, data.composite_style)
        style = first + F.cross_entropy(after, data.ground_truth_style)
    else:
        consistency, margin = style_aggregation(before, after)
        style = 0.5 * (consistency + margin)
    shared = list(method.generator.shared().parameters())
    weighted = method.options.style_weight * style
    return _gradient_norm(reconstruction, shared), _gradient_norm(weighted, shared)


def _gradient_norm(loss: Tensor, parameters: list[torch.nn.Parameter]) -> float:
    gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return float(torch.stack([g.norm() for g in gradients if g is not None]).norm())


def test_reconstruction_is_not_outweighed_in_the_shared_blocks() -> None:
    method = configured_method(recipe("small"))
    generator = torch.Generator().manual_seed(0)
    for step in range(STEPS):
        data = batch(generator, method.size)
        for domain in Domain:
            reconstruction, style = shared_gradients(method, data, domain)
            if step == 0:  # at the identity no gradient passes the head
                assert reconstruction == 0
            else:
                assert reconstruction >= style
        method.update({Domain.REAL: data, Domain.RENDERED: data})
