"""iDIH, and thereby CharmNet's real path, against figures of the released code."""

from __future__ import annotations

import pytest
import torch

from charmnet.methods import CharmNetMethod, IDIHMethod
from charmnet.vocabulary import Domain
from tests.golden_support import (
    assert_figures,
    draw,
    draws_agree,
    figures,
    ruled_batch,
    ruled_mask,
    ruled_weights,
)


@pytest.mark.parametrize("kind", [pytest.param("fp64", marks=pytest.mark.slow), "fp32"])
def test_idih_gives_the_released_outputs_loss_and_gradient(kind: str) -> None:
    golden = figures("idih")
    exact = kind == "fp64" and draws_agree()
    dtype = torch.float64 if kind == "fp64" else torch.float32
    method = IDIHMethod.from_released(ruled_weights("iDIH"), dtype=dtype)
    batch = ruled_batch(dtype)
    atol = 1e-9 if exact else 1e-4
    assert_figures(
        golden, f"{kind}_eval_output", method.harmonize(batch.composite, batch.foreground_mask), atol
    )
    with torch.no_grad():
        trained = method.generator(batch.composite, batch.foreground_mask).harmonized
    assert_figures(golden, f"{kind}_train_output", trained, atol)
    metrics = method.update({Domain.REAL: batch})
    loss, norm = (golden[f"{kind}_train_{name}"] for name in ("loss", "gradnorm"))
    assert metrics["total"].item() == pytest.approx(loss, rel=1e-9 if exact else 1e-5)
    assert metrics["grad_norm_generator"].item() == pytest.approx(norm, rel=1e-8 if exact else 1e-3)


def test_released_names_come_back_as_they_went() -> None:
    released = ruled_weights("iDIH")
    again = IDIHMethod.from_released(released).released_state_dict()
    assert list(again) == list(released)
    assert all(torch.equal(again[key], released[key]) for key in released)


@pytest.mark.parametrize("unshared_layers", [2, 4, 5])
def test_charmnet_started_from_idih_harmonizes_as_idih(unshared_layers: int) -> None:
    idih = IDIHMethod(width=8, seed=1)
    charmnet = CharmNetMethod(width=8, unshared_layers=unshared_layers, seed=2)
    charmnet.warm_start(idih)
    inputs = draw(1, 3, 256, 256, seed=3), ruled_mask()[:1]
    torch.testing.assert_close(charmnet.harmonize(*inputs), idih.harmonize(*inputs), rtol=0, atol=0)
