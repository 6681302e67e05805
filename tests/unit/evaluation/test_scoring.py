"""Harmonizing and scoring images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from charmnet.errors import DataError
from charmnet.full_size import harmonize_full_size
from charmnet.methods import CharmNetMethod, HarmonizationMethod
from charmnet.methods.base import Requirements
from charmnet.metrics import Protocol, image_errors, scoring_mask
from pipelines.evaluation.images import row_images
from pipelines.evaluation.scoring import Scoring, evaluate_images
from tests.toy_methods import Keep
from tests.unit.evaluation.test_images import real_row


class Dim(Keep):
    """A method that darkens everything, its background, too."""

    def infer(self, composite: Tensor, foreground_mask: Tensor) -> tuple[Tensor, None]:
        """Return the darker picture."""
        return composite - 0.3, None

    harmonize_with_attention = infer


class PastedDim(Dim):
    """The same, pasted."""

    requirements = Requirements(pastes=True)

    def harmonize_with_attention(self, composite: Tensor, foreground_mask: Tensor) -> tuple[Tensor, None]:
        """Return the darker foreground."""
        return torch.where(foreground_mask > 0, composite - 0.3, composite), None


SIZES = [256, 64, None]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("method", [Dim(), PastedDim()])
def test_the_background_is_the_composites_where_it_is_asked_for(method: Dim, size: int | None) -> None:
    (image,) = row_images(real_row(), size)
    if size != 256 and method.requirements.pastes:
        with pytest.raises(ValueError, match="leave out --no-paste"):
            Scoring(size=size, paste=False).check(method)
        return
    scored = {
        paste: evaluate_images(method, [image], Scoring(size=size, paste=paste))[0].harmonized
        for paste in (True, False, None)
    }
    background = 1 - image.scoring_mask
    by_default = method.requirements.pastes or size != 256
    assert scored[True].fmse == pytest.approx(scored[False].fmse, rel=0.02)
    assert scored[True].mse < scored[False].mse
    assert scored[None] == scored[by_default]
    if size == 256:
        inside = scored[True].fmse * image.scoring_mask.sum()
        outside = image_errors(image.composite, image.ground_truth, background).fmse * background.sum()
        assert scored[True].mse * background.size == pytest.approx(inside + outside, rel=0.01)


def test_pictures_of_their_own_size_are_harmonized_as_the_command_does() -> None:
    row = real_row()
    (image,) = row_images(row, None)
    assert image.composite.shape[:2] == image.scoring_mask.shape == image.foreground_mask.shape
    assert image.composite.shape != (256, 256, 3)
    (result,) = evaluate_images(Dim(), [image], Scoring(size=None))
    output = harmonize_full_size(Dim(), image.composite, image.foreground_mask)
    expected = image_errors(output, image.ground_truth, scoring_mask(row["foreground_mask"], None), ssim=True)
    assert result.harmonized == expected


def affine() -> CharmNetMethod:
    """Return a model with colour maps that changes what it is given."""
    method = CharmNetMethod(width=4, head="affine", size=96, unshared_layers=3, seed=0)
    for parameter in method.generator.parameters():
        parameter.data += 0.02
    return method


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "method", [affine(), CharmNetMethod(width=8, paste=True, seed=0)], ids=["affine", "paste"]
)
def test_networks_that_paste_are_not_pasted_again(method: CharmNetMethod, size: int | None) -> None:
    edges = method.requirements.mask_edges if size == 256 else "hard"
    (image,) = row_images(real_row(), size, edges)
    (own,), (pasted,) = (evaluate_images(method, [image], Scoring(size=size, paste=p)) for p in (None, True))
    assert pasted.harmonized == own.harmonized != own.composite
    assert Scoring(size=size).pastes(method)
    with pytest.raises(ValueError, match=r"head=affine or paste=true.*leave out --no-paste"):
        Scoring(size=size, paste=False).check(method)


@pytest.mark.parametrize("method", [Dim(), affine()], ids=["pixels", "affine"])
def test_a_foreground_that_the_network_cannot_see_stays(method: HarmonizationMethod) -> None:
    (image,) = row_images(real_row(), None)
    large = {
        "composite": np.repeat(np.repeat(image.composite, 32, 0), 32, 1),
        "ground_truth": np.repeat(np.repeat(image.ground_truth, 32, 0), 32, 1),
    }
    mask = np.zeros(large["composite"].shape[:2], np.uint8)
    mask[0, 0] = 1
    lost = type(image)(
        "lost",
        "lost",
        **large,
        foreground_mask=mask,
        scoring_mask=mask,
        stratum=image.stratum,
        foreground_ratio=0.0,
    )
    scoring = Scoring(size=None, ssim=False, tricks=False)
    (result,) = evaluate_images(method, [lost], scoring)
    assert result.harmonized == result.composite
    wrong = replace(lost, foreground_mask=image.foreground_mask)
    with pytest.raises(DataError, match="expected the same"):
        evaluate_images(method, [wrong], scoring)


def test_tricks_and_ssim_can_be_left_out() -> None:
    images = list(row_images(real_row(), 256))
    (whole,) = evaluate_images(Dim(), images)
    assert set(whole.errors) == {"composite", "harmonized", "mean_shift", "reinhard", "monge_kantorovitch"}
    assert 0 < whole.harmonized.ssim < 1
    (bare,) = evaluate_images(Dim(), images, Scoring(ssim=False, tricks=False))
    assert set(bare.errors) == {"composite", "harmonized"}
    assert bare.harmonized.ssim is None
    assert bare.harmonized.fmse == whole.harmonized.fmse


def test_pct_nets_rules_ignore_what_the_model_does_to_the_background() -> None:
    (image,) = row_images(real_row(), None, protocol=Protocol.PCT_NET)
    for paste in (True, False):
        (result,) = evaluate_images(Dim(), [image], Scoring(Protocol.PCT_NET, None, paste))
        assert result.harmonized.mse < result.harmonized.fmse
        share = (image.scoring_mask / 255).mean()
        assert result.harmonized.mse == pytest.approx(result.harmonized.fmse * share)


def test_the_released_protocol_has_one_size() -> None:
    with pytest.raises(ValueError, match="has only the size 256; expected standard or pct_net"):
        Scoring(Protocol.RELEASED, 1024)
