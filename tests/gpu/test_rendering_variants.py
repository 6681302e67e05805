"""A view rendered by the variants that compile kernels; each is skipped where it cannot run."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from charmnet.vocabulary import CaptureCondition
from pipelines.rendering.assets import Assets
from pipelines.rendering.conditions import Conditions
from pipelines.rendering.job import RenderSettings, View, fit_scene
from pipelines.rendering.mitsuba_renderer import VARIANT, render_view

WIDTH, HEIGHT = 128, 72
VARIANTS = [
    pytest.param("cuda_ad_rgb", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
    pytest.param(
        "llvm_ad_rgb",
        marks=pytest.mark.skipif("DRJIT_LIBLLVM_PATH" not in os.environ, reason="not told where LLVM is"),
    ),
]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("view", [View("street", "human", 0, 0), View("room", "human", 4, 0)], ids=str)
def test_a_view_is_that_of_the_default_variant_but_for_noise(view: View, variant: str) -> None:
    conditions = Conditions.load()
    scene = fit_scene(view, RenderSettings(WIDTH, HEIGHT, 8, 95, conditions, Assets(), VARIANT))
    lightings = conditions.draw(view.rng("light"))
    there, here, again = (
        render_view(scene, lightings, WIDTH, HEIGHT, 32, seed, name)
        for name, seed in ((variant, 0), (VARIANT, 0), (VARIANT, 1))
    )
    assert (there.foreground_mask != here.foreground_mask).mean() < 0.002
    for condition in CaptureCondition:
        apart = there.images[condition].astype(float) - here.images[condition]
        noise = np.abs(again.images[condition].astype(float) - here.images[condition]).mean()
        assert np.abs(apart).mean() < 1.1 * noise + 0.1, condition
        assert abs(apart.mean()) < 1, condition
