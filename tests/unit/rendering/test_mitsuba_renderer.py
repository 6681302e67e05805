"""Renders of simple scenes whose look is known: boxes on a floor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import drjit
import mitsuba as mi
import numpy as np
import pytest

from charmnet.errors import DataError
from charmnet.vocabulary import CaptureCondition
from pipelines.benchmarks.separate_renders import render_separately
from pipelines.rendering.camera import stratified
from pipelines.rendering.conditions import Conditions, Lighting
from pipelines.rendering.description import Box, Camera, Lamp, Material, Part, Pose, Role, Scene, Thing
from pipelines.rendering.mitsuba_renderer import RenderedView, foreground_coverage, render_view

GREY = Material((0.5, 0.5, 0.5))
CAMERA = Camera((0, -8, 3), (0, 0, 0.5), 50)
LAMP = Lamp((1.2, -0.5, 2.5), 0.1, (9, 8, 5))
Vector = tuple[float, float, float]
Lightings = dict[CaptureCondition, Lighting]


def a_box(role: Role, size: Vector, at: Vector, color: Vector = (0.5, 0.5, 0.5)) -> Thing:
    return Thing("box", role, (Part(Box(size), Material(color)),), Pose(at))


def a_scene(*things: Thing, lamps: tuple[Lamp, ...] = ()) -> Scene:
    floor = a_box(Role.GROUND, (40, 40, 1), (0, 0, -0.5))
    return Scene("test", 0, False, (floor, *things), lamps, CAMERA)


POST = a_box(Role.FOREGROUND, (0.6, 0.6, 1.6), (0, 0, 0.8), (0.7, 0.2, 0.1))


@pytest.fixture(scope="module")
def lightings() -> Lightings:
    return Conditions.load().draw(np.random.default_rng(0))


@pytest.fixture(scope="module")
def view(lightings: Lightings) -> RenderedView:
    return render_view(a_scene(POST, lamps=(LAMP,)), lightings, 48, 32, 16)


@pytest.fixture
def _threads_restored() -> Iterator[None]:
    before = drjit.thread_count()
    yield
    drjit.set_thread_count(before)


def test_the_mask_is_where_the_foreground_is_and_nowhere_else(view: RenderedView) -> None:
    mask = view.foreground_mask
    rows, columns = np.nonzero(mask)
    assert 0.02 < mask.mean() < 0.2
    assert np.ptp(rows) + 1 == pytest.approx(1.6 / 0.6 * (np.ptp(columns) + 1), rel=0.35)
    assert len(np.unique(mask)) == 2
    noon = view.images[CaptureCondition.NOON_CLEAR].astype(int)
    redness = noon[..., 0] - noon[..., 1]
    assert ((redness > 8) == (mask == 1)).mean() > 0.98


def test_what_hides_the_foreground_is_not_in_its_mask(view: RenderedView, lightings: Lightings) -> None:
    fence = a_box(Role.PROP, (5, 0.1, 0.8), (0, -1, 0.4))
    cloudy = {CaptureCondition.NOON_CLOUDY: lightings[CaptureCondition.NOON_CLOUDY]}
    behind = render_view(a_scene(POST, fence), cloudy, 48, 32, 1).foreground_mask
    assert (behind <= view.foreground_mask).all()
    assert 0.2 < behind.sum() / view.foreground_mask.sum() < 0.7
    assert behind[: np.nonzero(view.foreground_mask)[0].min() + 3].any()


def test_coverage_is_the_masks(view: RenderedView) -> None:
    assert foreground_coverage(a_scene(POST), 48, 32) == pytest.approx(view.foreground_mask.mean(), rel=0.15)


def test_shadows_fall_away_from_the_sun(lightings: Lightings) -> None:
    """Sun low at the camera's right: the ground to the post's left is dark beneath it."""
    clear = replace(
        lightings[CaptureCondition.OTHER_TIMES_CLEAR], sun_azimuth_degrees=90.0, sun_elevation_degrees=30.0
    )
    for azimuth in (90.0, -90.0):
        lit = {CaptureCondition.OTHER_TIMES_CLEAR: replace(clear, sun_azimuth_degrees=azimuth)}
        rendered = render_view(a_scene(POST), lit, 48, 32, 16)
        foot = np.nonzero(rendered.foreground_mask)[0].max() - 1
        left, right = rendered.images[0][foot, 12:20].mean(), rendered.images[0][foot, 28:36].mean()
        darker, brighter = (left, right) if azimuth > 0 else (right, left)
        assert darker < 0.75 * brighter


def test_conditions_differ_in_brightness_shadows_and_warmth(view: RenderedView) -> None:
    mean = [image.reshape(-1, 3).mean(0) for image in view.images]
    warmth = [red / blue for red, _, blue in mean]
    assert min(range(10), key=lambda condition: mean[condition].sum()) == CaptureCondition.NIGHT
    assert mean[CaptureCondition.NOON_CLEAR].sum() > mean[CaptureCondition.SUNRISE_SUNSET_CLOUDY].sum()
    ground = view.foreground_mask[16:] == 0
    for clear in (CaptureCondition.NOON_CLEAR, CaptureCondition.OTHER_TIMES_CLEAR):
        darkest = [
            np.quantile(view.images[clear + step][16:][ground], 0.02)
            / np.median(view.images[clear + step][16:][ground])
            for step in (0, 2)
        ]
        assert darkest[0] < darkest[1], "clouds soften shadows"
    assert warmth[CaptureCondition.SUNRISE_SUNSET_CLEAR] > warmth[CaptureCondition.NOON_CLEAR]


def test_lamps_light_the_night(view: RenderedView, lightings: Lightings) -> None:
    night = {CaptureCondition.NIGHT: lightings[CaptureCondition.NIGHT]}
    dark = render_view(a_scene(POST), night, 48, 32, 16).images[0].astype(int)
    lamplit = view.images[CaptureCondition.NIGHT].astype(int)
    floor = lamplit[16:] - dark[16:]
    assert floor.mean() > 10
    assert floor[..., 0].mean() > floor[..., 2].mean(), "in the lamp's own colour"


def test_mixed_light_agrees_with_light_that_is_rendered_together(
    view: RenderedView, lightings: Lightings
) -> None:
    together = render_separately(a_scene(POST, lamps=(LAMP,)), lightings, 48, 32, 16)
    for mixed, separate in zip(view.images, together, strict=True):
        apart = np.abs(mixed.astype(float) - separate)
        assert np.median(apart) <= 2
        assert apart.mean() < 3


@pytest.mark.slow
@pytest.mark.usefixtures("_threads_restored")
def test_the_bytes_depend_on_the_seed_and_not_on_the_threads(
    view: RenderedView, lightings: Lightings
) -> None:
    scene = a_scene(POST, lamps=(LAMP,))
    for threads in (1, 3):
        drjit.set_thread_count(threads)
        again = render_view(scene, lightings, 48, 32, 16)
        assert all((a == b).all() for a, b in zip(again.images, view.images, strict=True))
        assert (again.foreground_mask == view.foreground_mask).all()
    other = render_view(scene, lightings, 48, 32, 16, seed=1)
    assert any((a != b).any() for a, b in zip(other.images, view.images, strict=True))


def test_only_the_given_conditions_are_rendered(view: RenderedView, lightings: Lightings) -> None:
    clear = {CaptureCondition.NOON_CLEAR: lightings[CaptureCondition.NOON_CLEAR]}
    (image,) = render_view(a_scene(POST, lamps=(LAMP,)), clear, 48, 32, 16).images
    assert (image == view.images[CaptureCondition.NOON_CLEAR]).all()


def test_a_scene_has_one_foreground(lightings: Lightings) -> None:
    for things in ((), (POST, POST)):
        with pytest.raises(DataError, match="expected exactly one"):
            render_view(a_scene(*things), lightings, 16, 16, 1)


def test_samples_are_those_that_the_sampler_takes() -> None:
    for samples in (1, 2, 3, 8, 16, 32, 33, 100):
        sampler = mi.load_dict({"type": "multijitter", "sample_count": stratified(samples)})
        assert sampler.sample_count() == stratified(samples) >= samples
