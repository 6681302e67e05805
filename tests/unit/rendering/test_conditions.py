"""Reading conditions.toml, drawing light from it, and naming what is wrong in such a file."""

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


def test_conditions_of_a_time_of_day_share_the_suns_position() -> None:
    lightings = Conditions.load().draw(np.random.default_rng(3))
    suns = [(light.sun_elevation_degrees, light.sun_azimuth_degrees) for light in lightings.values()]
    assert len({*suns[0:3]}) == len({*suns[3:6]}) == len({*suns[6:10]}) == 1
    assert suns[0] < suns[6] < suns[3]
    assert [light.night for light in lightings.values()] == [False] * 9 + [True]


def test_clouds_hide_more_of_the_sun_from_clear_to_cloudy() -> None:
    for seed in range(20):
        drawn = Conditions.load().draw(np.random.default_rng(seed))
        for clear in (0, 3, 6):
            weather = [drawn[CaptureCondition(clear + step)] for step in range(3)]
            assert weather[0].cloud_cover < weather[1].cloud_cover < weather[2].cloud_cover == 1
            assert weather[0].sun > weather[1].sun > weather[2].sun


def test_a_file_of_the_user_is_read(tmp_path: Path) -> None:
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
        ("night = true", "night = 1", "night.night: got 1; expected true or false"),
        ("night = true", 'night = "yes"', "night.night: got 'yes'; expected true or false"),
        ("[[0.20, 0.36, 0.90], [", "[[0.20, 0.36], [", "night.cloud_color: .*expected two colours"),
        ("[times.noon]", "[times.noon", "expected a file like conditions.toml"),
        ("turbidity = [2.0, 3.5]", "turbidity = [2]", "noon.turbidity: got .2.; expected a number or"),
        ("moon_kilolux = 0.0", "moon_kilolux = true", "moon_kilolux: got True; expected a number"),
        ("[[0.20, 0.36, 0.90], [", "[[0.20, 0.36, 1.2], [", "night.cloud_color: .*colours .* 0 to 1"),
    ],
)
def test_errors_name_file_and_field(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "broken.toml"
    assert old in TEXT
    path.write_text(TEXT.replace(old, new, 1))
    with pytest.raises(DataError, match=message) as raised:
        Conditions.load(path)
    assert "broken.toml" in str(raised.value)
