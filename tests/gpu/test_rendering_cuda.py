"""A view rendered on a GPU; skipped where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from charmnet.vocabulary import CaptureCondition
from pipelines.rendering.assets import Assets
from pipelines.rendering.conditions import Conditions
from pipelines.rendering.job import Settings, View, fit_scene
from pipelines.rendering.mitsuba_renderer import VARIANT, render_view

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
WIDTH, HEIGHT = 128, 72


@pytest.mark.parametrize("view", [View("street", "human", 0, 0), View("room", "human", 4, 0)], ids=str)
def test_a_view_is_that_of_a_cpu(view: View) -> None:
    conditions = Conditions.load()
    scene = fit_scene(view, Settings(WIDTH, HEIGHT, 8, 95, conditions, Assets(), VARIANT))
    lightings = conditions.draw(view.rng("light"))
    there, here = (
        render_view(scene, lightings, WIDTH, HEIGHT, 32, 0, name) for name in ("cuda_ad_rgb", VARIANT)
    )
    assert (there.foreground_mask != here.foreground_mask).mean() < 0.002
    for condition in (
        CaptureCondition.NOON_CLEAR,
        CaptureCondition.OTHER_TIMES_CLOUDY,
        CaptureCondition.NIGHT,
    ):
        apart = there.images[condition].astype(float) - here.images[condition]
        assert np.abs(apart).mean() < 3, condition
        assert abs(apart.mean()) < 1, condition
