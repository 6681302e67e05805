"""Amounts and directions of light of sun, sky and clouds, their mix, and a camera's tone curve."""

from __future__ import annotations

import math
from dataclasses import replace
from unittest.mock import patch

import mitsuba as mi
import numpy as np
import pytest

from charmnet.vocabulary import CaptureCondition
from pipelines.rendering import sky
from pipelines.rendering.conditions import Conditions, Lighting
from pipelines.rendering.description import Box, Camera, Lamp, Material, Part, Role, Scene, Thing
from pipelines.rendering.light_mixing import Dome, Lamps, Sky, Sun, mix
from pipelines.rendering.sky import ClearSky
from pipelines.rendering.sky_picture import sky_picture
from pipelines.rendering.tone import LUMINANCE, develop, encode_srgb, tone_curve, white_balance

CUBE = Thing("box", Role.FOREGROUND, (Part(Box((1, 1, 1)), Material((0.5, 0.5, 0.5))),))
LAMP = Lamp((0, 0, 3), 0.1, (1, 1, 1))
SCENE = Scene("test", 0, False, (CUBE,), (LAMP,), Camera((0, -10, 1), (0, 0, 1), 60))


@pytest.fixture(autouse=True)
def _variant() -> None:
    mi.set_variant("scalar_rgb")


@pytest.fixture
def lightings() -> dict[CaptureCondition, Lighting]:
    return Conditions.load().draw(np.random.default_rng(0))


def test_a_noons_sun_is_white_and_strong_and_a_low_one_red_and_weak() -> None:
    noon, low = ClearSky(60, 3).sun_kilolux(), ClearSky(5, 3).sun_kilolux()
    assert 60 < noon @ LUMINANCE < 130
    assert low @ LUMINANCE < 0.4 * (noon @ LUMINANCE)
    assert noon.max() / noon.min() < 1.6
    assert low[0] > 1.5 * low[2]


def test_a_clear_sky_is_blue_and_brightest_about_its_sun() -> None:
    radiance = ClearSky(40, 3).radiance()
    zenith, aside = radiance[2].mean(0), radiance[sky.MAP_SHAPE[0] * 5 // 9]
    assert zenith[2] > 1.5 * zenith[0]
    assert aside.sum(1).argmax() in (*range(3), *range(253, 256))


def test_the_sky_does_not_depend_on_the_variant() -> None:
    """Mitsuba reloads its integrators at each change of variant, so there must be one change only."""
    clear = ClearSky(33, 3)
    sun, radiance = clear.sun_kilolux(), clear.radiance()
    for kept in (sky._sun_kilolux, sky._clear_radiance):
        kept.cache_clear()
    before = mi.variant()
    mi.set_variant("scalar_spectral")
    try:
        with patch.object(sky.mi, "variant_context", wraps=mi.variant_context) as changes:
            np.testing.assert_allclose(clear.radiance(), radiance)
        assert changes.call_count == 1
        assert clear.sun_kilolux() == pytest.approx(sun)
        assert mi.variant() == "scalar_spectral"
    finally:
        mi.set_variant(before)


def test_overcast_gives_one_on_the_ground() -> None:
    upward = sky.directions(sky.MAP_SHAPE)[..., 2]
    zenith_step, around = math.pi / 2 / sky.MAP_SHAPE[0], 2 * math.pi / sky.MAP_SHAPE[1]
    given = (sky.overcast(upward) * upward * np.sqrt(1 - upward**2)).sum() * zenith_step * around
    assert given / math.pi == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("cover", [0.0, 0.3, 0.7, 1.0])
def test_clouds_cover_their_share(cover: float) -> None:
    toward = sky.directions(sky.MAP_SHAPE)[:40]
    hidden = np.mean([sky.clouds(toward, cover, seed)[0].mean() for seed in range(12)])
    assert hidden == pytest.approx(cover, abs=0.12)


def test_clouds_are_no_finer_at_the_horizon_than_a_picture_shows() -> None:
    """A degree of elevation, several pixels, must not pass through more than a cloud."""
    low = np.radians(np.linspace(0, 5, 51))
    toward = np.stack([np.cos(low), np.zeros(51), np.sin(low)], axis=-1)
    jumps = [np.abs(np.diff(sky.clouds(toward, 0.5, seed)[0])).max() for seed in range(8)]
    assert np.median(jumps) < 0.5


def test_conditions_are_mixed_of_few_sources(lightings: dict[CaptureCondition, Lighting]) -> None:
    mixes = {condition: mix(SCENE, lighting) for condition, lighting in lightings.items()}
    sources = {source for one in mixes.values() for source in one.weights}
    assert len([source for source in sources if isinstance(source, Sun)]) == 3
    assert len([source for source in sources if isinstance(source, Sky)]) == 3
    assert {Dome(), Lamps((LAMP,))} < sources
    assert len(sources) == 8
    day, night = mixes[CaptureCondition.NOON_CLEAR], mixes[CaptureCondition.NIGHT]
    assert not any(isinstance(source, Lamps) for source in day.weights)
    assert any(isinstance(source, Lamps) for source in night.weights)
    assert not night.sun_kilolux.any()
    assert night.daylight() @ LUMINANCE < 0.01 * (day.daylight() @ LUMINANCE)


@pytest.mark.parametrize(("azimuth", "expected"), [(0, (0, -1)), (90, (1, 0)), (180, (0, 1)), (-90, (-1, 0))])
def test_the_sun_stands_where_its_azimuth_says(
    lightings: dict[CaptureCondition, Lighting], azimuth: float, expected: tuple[int, int]
) -> None:
    """The camera looks along +y: 0 is behind it, 90 to its right."""
    noon = replace(lightings[CaptureCondition.NOON_CLEAR], sun_azimuth_degrees=azimuth)
    x, y, z = mix(SCENE, noon).sun_direction
    assert np.allclose((x, y) / np.hypot(x, y), expected)
    assert math.degrees(math.asin(z)) == pytest.approx(noon.sun_elevation_degrees)


def test_the_sky_picture_has_the_sun_where_it_shines_from(
    lightings: dict[CaptureCondition, Lighting],
) -> None:
    noon = replace(lightings[CaptureCondition.NOON_CLEAR], sun=1.0)
    one = mix(SCENE, noon)
    away = np.cross(one.sun_direction, [0, 0, 1])
    beside = one.sun_direction + 0.1 * away
    rays = np.stack([one.sun_direction, beside / np.linalg.norm(beside)])[None]
    sun, clear = sky_picture(rays, one, noon)[0]
    assert sun.min() > 100 * clear.max()
    assert clear[2] > clear[0]


def test_noon_clouds_are_brighter_than_the_blue_between_them(
    lightings: dict[CaptureCondition, Lighting],
) -> None:
    partly = lightings[CaptureCondition.NOON_PARTLY_CLOUDY]
    rays = sky.directions((64, 64))[20:50]
    picture = sky_picture(rays, mix(SCENE, partly), partly)
    hidden, _ = sky.clouds(rays, partly.cloud_cover, partly.cloud_seed)
    clouds, blue = picture[hidden > 0.95].mean(0), picture[hidden < 0.05].mean(0)
    assert clouds @ LUMINANCE > 1.3 * (blue @ LUMINANCE)
    assert clouds[2] / clouds[0] < 0.8 * blue[2] / blue[0]


def test_tone_is_srgb_and_never_clips() -> None:
    light = np.linspace(0, 4, 200)
    toned = tone_curve(light)
    assert (np.diff(toned) > 0).all()
    assert toned[light <= 0.5] == pytest.approx(light[light <= 0.5])
    assert toned.max() < 1
    assert encode_srgb(np.array([0.0, 0.0021, 0.214, 1.0, 7.0])).tolist() == [0, 7, 127, 255, 255]
    assert develop(np.full((1, 1, 3), -0.1), np.ones(3)).tolist() == [[[0, 0, 0]]]


def test_white_balance_takes_a_share_of_the_colour_away() -> None:
    warm = np.array([2.0, 1.0, 0.5])
    assert white_balance(warm, 0) == pytest.approx(1)
    neutral = white_balance(warm, 1) * warm
    assert neutral == pytest.approx(np.full(3, warm @ LUMINANCE))
    half = white_balance(warm, 0.5) * warm
    assert half[0] / half[2] == pytest.approx(2)
    assert half @ LUMINANCE == pytest.approx(warm @ LUMINANCE)
    assert white_balance(np.zeros(3), 0.5).tolist() == [1, 1, 1]
