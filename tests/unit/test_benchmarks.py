"""What measurements compare with does the same work."""

from __future__ import annotations

import pytest
import torch

from charmnet.methods import CharmNetMethod
from charmnet.methods.charmnet import RELEASED_NAMES
from charmnet.vocabulary import Domain
from pipelines.benchmarks.plain_update import PlainUpdate
from tests.golden_support import ruled_batches


def test_the_plain_update_is_this_projects() -> None:
    method, plain = CharmNetMethod(width=8, precision="float64", seed=0), PlainUpdate(width=8)
    for released, name in RELEASED_NAMES.items():
        plain.networks[released].double().load_state_dict(method.modules[name].state_dict())
    batches = ruled_batches(torch.float64)
    rendered, real = (
        (batch.composite, batch.ground_truth, batch.foreground_mask)
        for batch in (batches[Domain.RENDERED], batches[Domain.REAL])
    )
    styles = batches[Domain.RENDERED].composite_style, batches[Domain.RENDERED].ground_truth_style
    for _ in range(4):
        losses, expected = plain.update(rendered, real, styles), method.update(batches)
        for name, value in losses.items():
            assert value.item() == pytest.approx(expected[name].item(), rel=1e-6), name
