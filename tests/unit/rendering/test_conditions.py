"""The capture conditions' file: what it gives, and that what is wrong in one is named."""

from __future__ import annotations

from dataclasses import asdict
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from charmnet.errors import DataError
from charmnet.vocabulary import CaptureCondition
from pipelines.rendering.conditions import BUILT_IN, Conditions

TEXT = (resources.files("pipelines.rendering") / BUILT_IN).read_text()


def test_scenes_differ_in_all_conditions_and_seeds_repeat() -> None:
    conditions = Conditions.load()
    first, again, other = (conditions.draw(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again
    assert list(first) == list(CaptureCondition)
    for condition in CaptureCondition:
        assert asdict(first[condition]) != asdict(other[condition])


def test_conditions_of_a_time_share_the_suns_place() -> None:
    lightings = Conditions.load().draw(np.random.default_rng(3))
    places = [(one.sun_elevation_degrees, one.sun_azimuth_degrees) for one in lightings.values()]
    assert len({*places[0:3]}) == len({*places[3:6]}) == len({*places[6:10]}) == 1
    assert places[0] < places[6] < places[3]
    assert [one.night for one in lightings.values()] == [False] * 9 + [True]


def test_clouds_and_sun_are_as_their_names_say() -> None:
    for seed in range(20):
        drawn = Conditions.load().draw(np.random.default_rng(seed))
        for clear in (0, 3, 6):
            weather = [drawn[CaptureCondition(clear + step)] for step in range(3)]
            assert weather[0].cloud_cover < weather[1].cloud_cover < weather[2].cloud_cover == 1
            assert weather[0].sun > weather[1].sun > weather[2].sun


def test_ones_own_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "dim.toml"
    path.write_text(TEXT.replace("sun = [0.95, 1.0]", "sun = 0.25"))
    noon = Conditions.load(path).draw(np.random.default_rng(0))[CaptureCondition.NOON_CLEAR]
    assert noon.sun == 0.25


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[conditions.night]", "[conditions.dusk]", "missing night, unknown dusk"),
        ("[conditions.night]\n", "[conditions.night]\nfog = 1.0\n", r"conditions.night: .*unknown fog"),
        ("sun = [0.95, 1.0]", "", "conditions.noon_clear: missing sun"),
        ("sun = [0.95, 1.0]", "sun = [1.0, 0.95]", "noon_clear.sun: the range .* upside down"),
        ("sun = [0.95, 1.0]", "sun = [0.95, 1.1]", "noon_clear.sun: got .*; expected within 0 to 1"),
        ("sun = [0.95, 1.0]", 'sun = "bright"', "noon_clear.sun: got 'bright'; expected a number"),
        ("sun = [0.95, 1.0]", "sun = [nan, 1.0]", "noon_clear.sun: got"),
        ('time = "noon"', 'time = "tea"', "noon_clear.time: got 'tea'; expected one of sunrise_sunset"),
        ("night = true", 'night = "yes"', "night.night: got 'yes'; expected true or false"),
        ("[[0.20, 0.36, 0.90], [", "[[0.20, 0.36], [", "night.cloud_color: .*expected two colours"),
        ("[times.noon]", "[times.noon", "expected a file like conditions.toml"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "broken.toml"
    assert old in TEXT
    path.write_text(TEXT.replace(old, new, 1))
    with pytest.raises(DataError, match=message) as raised:
        Conditions.load(path)
    assert "broken.toml" in str(raised.value)
