"""The update that benchmarks compare with does the same work."""

from __future__ import annotations

import pytest
import torch

from charmnet.methods import CharmNetMethod
from charmnet.methods.charmnet import RELEASED_NAMES
from charmnet.vocabulary import Domain
from pipelines.benchmarks.plain_update import PlainBatch, PlainUpdate
from pipelines.benchmarks.update import update_figures
from pipelines.benchmarks.update_worker import Turn
from tests.golden_support import ruled_batches


@pytest.mark.slow
def test_the_plain_update_is_this_projects() -> None:
    method, plain = CharmNetMethod(width=8, precision="float64", seed=0), PlainUpdate(width=8)
    for released, name in RELEASED_NAMES.items():
        plain.networks[released].double().load_state_dict(method.modules[name].state_dict())
    batches = ruled_batches(torch.float64)
    rendered, real = (
        PlainBatch(batch.composite, batch.ground_truth, batch.foreground_mask)
        for batch in (batches[Domain.RENDERED], batches[Domain.REAL])
    )
    styles = batches[Domain.RENDERED].composite_style, batches[Domain.RENDERED].ground_truth_style
    for _ in range(4):
        losses, expected = plain.update(rendered, real, styles), method.update(batches)
        for name, value in losses.items():
            assert value.item() == pytest.approx(expected[name].item(), rel=1e-6), name


def test_ratios_are_of_the_same_round() -> None:
    plain = [Turn(1.0, 2.0), Turn(4.0, 8.0), Turn(2.0, 4.0)]  # the machine was busy in the second round
    turns = {"plain float32": plain, "float32": [Turn(t.seconds / 2, t.cpu_seconds / 4) for t in plain]}
    figures = update_figures(turns, batch=4, limits={"float32": Turn(0.5, 0.25)})["float32"]
    assert (figures["ratio"], figures["cpu_ratio"]) == (2, 4)
    assert figures["pairs_per_second"] == 4
    assert (figures["share_of_limit"], figures["cpu_share_of_limit"]) == (0.5, 0.25)
