"""Gradients of updates, against derivatives made by hand."""

from __future__ import annotations

import torch
from torch import nn

from charmnet.methods.accuracy import discriminator_accuracy
from charmnet.methods.gradients import call_frozen, gradient_penalty


def test_the_gradient_penalty_and_its_derivative_are_those_made_by_hand() -> None:
    """With D(x) = a|x|²/2 the gradient is ax, so the penalty is mean((a|x| - 1)²)."""
    inputs = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    inputs.requires_grad_()
    scale = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    penalty = gradient_penalty(scale * inputs.square().sum((1, 2, 3)) / 2, inputs)
    lengths = inputs.detach().flatten(1).norm(dim=1)
    torch.testing.assert_close(penalty.detach(), (0.3 * lengths - 1).square().mean())
    (derivative,) = torch.autograd.grad(penalty, scale)
    torch.testing.assert_close(derivative, (2 * (0.3 * lengths - 1) * lengths).mean())


def test_the_penalty_of_a_critic_that_sees_nothing_is_one_and_its_gradient_finite() -> None:
    inputs = torch.ones(2, 3, requires_grad=True)
    weight = torch.zeros(3, requires_grad=True)
    penalty = gradient_penalty(inputs @ weight, inputs)
    assert penalty == 1
    assert torch.autograd.grad(penalty, weight)[0].isfinite().all()


def test_a_frozen_call_reaches_its_input_alone() -> None:
    network, inputs = nn.Linear(2, 1), torch.ones(1, 2, requires_grad=True)
    output = call_frozen(network, inputs)
    assert torch.equal(output, network(inputs))
    output.sum().backward()
    assert inputs.grad is not None
    assert all(parameter.grad is None for parameter in network.parameters())


def test_accuracies_are_means_of_their_kinds() -> None:
    right = {"real": torch.tensor([True, True, False, False]), "rendered": torch.tensor([True])}
    shares = discriminator_accuracy("discriminator_accuracy_patches", **right)
    assert {name: share.item() for name, share in shares.items()} == {
        "discriminator_accuracy_patches": 0.75,
        "discriminator_accuracy_patches_real": 0.5,
        "discriminator_accuracy_patches_rendered": 1,
    }
