"""The ten capture conditions as data, and the light that one scene draws from them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from charmnet.errors import DataError
from charmnet.vocabulary import CaptureCondition
from pipelines.rendering.description import Color

BUILT_IN = "conditions.toml"

Range = tuple[float, float]


@dataclass(frozen=True)
class Lighting:
    """The light of one scene in one capture condition.

    Attributes:
        sun_elevation_degrees: above the horizon; the moon stands there at night.
        sun_azimuth_degrees: 0 is behind the camera, 90 to its right, 180 before it, -90 to its left.
        turbidity: haze of the clear sky, 1 (none) to 10.
        night: lamps burn that are off by day.
        sun: share of the sun's light that comes through, 0..1.
        cloud_cover: share of the sky behind clouds, 0..1.
        cloud_kilolux: on the ground beneath a closed cover, the sun's light apart.
        cloud_color: of that light.
        cloud_contrast: of the clouds' texture as it is seen, 0..1.
        cloud_seed: of the clouds' shapes.
        moon_kilolux: on a surface that faces the moon.
        lamp_kilolux: at one metre from a lamp of intensity 1.
        white_kilolux, indoor_white_kilolux: in which a white wall is just shown white: the exposure.
        white_balance: 0 keeps the light's colour, 1 takes it away.
    """

    sun_elevation_degrees: float
    sun_azimuth_degrees: float
    turbidity: float
    night: bool
    sun: float
    cloud_cover: float
    cloud_kilolux: float
    cloud_color: Color
    cloud_contrast: float
    cloud_seed: int
    moon_kilolux: float
    lamp_kilolux: float
    white_kilolux: float
    indoor_white_kilolux: float
    white_balance: float


# What a number may be at all.
_TIME_LIMITS: dict[str, Range] = {
    "sun_elevation_degrees": (0.5, 90.0),
    "sun_azimuth_degrees": (0.0, 180.0),
    "turbidity": (1.0, 10.0),
}
_CONDITION_LIMITS: dict[str, Range] = {
    "sun": (0.0, 1.0),
    "cloud_cover": (0.0, 1.0),
    "cloud_kilolux": (0.0, 1000.0),
    "cloud_contrast": (0.0, 1.0),
    "moon_kilolux": (0.0, 1000.0),
    "lamp_kilolux": (0.0, 1000.0),
    "white_kilolux": (1e-6, 1000.0),
    "indoor_white_kilolux": (1e-6, 1000.0),
    "white_balance": (0.0, 1.0),
}


@dataclass(frozen=True)
class _ConditionRanges:
    time: str
    night: bool
    numbers: Mapping[str, Range]
    cloud_colors: tuple[Color, Color]


@dataclass(frozen=True)
class Conditions:
    """Ranges of light by capture condition, and of the sun's place by time of day."""

    times: Mapping[str, Mapping[str, Range]]
    conditions: Mapping[CaptureCondition, _ConditionRanges]

    @classmethod
    def load(cls, path: Path | None = None) -> Conditions:
        """Reads a file like this package's own conditions.toml, or that one.

        Raises:
            DataError: it cannot be read, lacks a condition or a field, has one too many, or a range is upside
                down or out of bounds; the message names it.
        """
        name = str(path or BUILT_IN)
        try:
            text = (path or resources.files(__package__) / BUILT_IN).read_text()
            content = tomllib.loads(text)
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise DataError(f"conditions {name}: {error}; expected a file like {BUILT_IN}") from None
        names = [condition.name.lower() for condition in CaptureCondition]
        tables = _table(content, name, ["times", "conditions"])
        times = {
            time: _ranges(values, f"{name}: times.{time}", _TIME_LIMITS)
            for time, values in _table(tables["times"], f"{name}: times").items()
        }
        by_name = _table(tables["conditions"], f"{name}: conditions", names)
        return cls(
            times,
            {
                condition: _condition(by_name[key], f"{name}: conditions.{key}", times)
                for condition, key in zip(CaptureCondition, names, strict=True)
            },
        )

    def draw(self, rng: np.random.Generator) -> dict[CaptureCondition, Lighting]:
        """The light of a scene in all its conditions; conditions of one time of day share the sun's place."""
        suns = {time: _draw(ranges, rng) for time, ranges in self.times.items()}
        for sun in suns.values():
            sun["sun_azimuth_degrees"] *= rng.choice([-1.0, 1.0])
        return {
            condition: Lighting(
                **suns[ranges.time],
                night=ranges.night,
                **_draw(ranges.numbers, rng),
                cloud_color=_between(*ranges.cloud_colors, float(rng.uniform())),
                cloud_seed=int(rng.integers(2**31)),
            )
            for condition, ranges in self.conditions.items()
        }


def _draw(ranges: Mapping[str, Range], rng: np.random.Generator) -> dict[str, Any]:
    return {name: float(rng.uniform(*limits)) for name, limits in ranges.items()}


def _between(first: Color, second: Color, share: float) -> Color:
    red, green, blue = (a + share * (b - a) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _table(value: Any, place: str, keys: list[str] | None = None) -> dict[str, Any]:
    """A table that has just these keys."""
    if not isinstance(value, dict):
        raise DataError(f"conditions {place}: got {value!r:.60}; expected a table")
    if keys is not None and set(value) != set(keys):
        missing, unknown = sorted(set(keys) - set(value)), sorted(set(value) - set(keys))
        raise DataError(
            f"conditions {place}: missing {', '.join(missing) or 'nothing'}, "
            f"unknown {', '.join(unknown) or 'nothing'}; expected {', '.join(keys)}"
        )
    return value


def _condition(value: Any, place: str, times: Mapping[str, Any]) -> _ConditionRanges:
    table = _table(value, place, ["time", "night", *_CONDITION_LIMITS, "cloud_color"])
    if table["time"] not in times:
        raise DataError(f"conditions {place}.time: got {table['time']!r}; expected one of {', '.join(times)}")
    if not isinstance(table["night"], bool):
        raise DataError(f"conditions {place}.night: got {table['night']!r}; expected true or false")
    numbers = {name: table[name] for name in _CONDITION_LIMITS}
    return _ConditionRanges(
        table["time"],
        table["night"],
        _ranges(numbers, place, _CONDITION_LIMITS),
        _colors(table["cloud_color"], f"{place}.cloud_color"),
    )


def _ranges(values: Any, place: str, limits: Mapping[str, Range]) -> dict[str, Range]:
    table = _table(values, place, list(limits))
    return {name: _range(table[name], f"{place}.{name}", bounds) for name, bounds in limits.items()}


def _range(value: Any, place: str, bounds: Range) -> Range:
    ends = value if isinstance(value, list) else [value, value]
    if len(ends) != 2 or not all(_is_number(end) for end in ends):
        raise DataError(f"conditions {place}: got {value!r:.60}; expected a number or [low, high]")
    low, high = ends
    if low > high:
        raise DataError(f"conditions {place}: the range {value} is upside down; expected [low, high]")
    if not bounds[0] <= low <= high <= bounds[1]:
        raise DataError(f"conditions {place}: got {value}; expected within {bounds[0]:g} to {bounds[1]:g}")
    return float(low), float(high)


def _colors(value: Any, place: str) -> tuple[Color, Color]:
    array = np.array(value, dtype=object)
    if array.shape != (2, 3) or not all(_is_number(item) and 0 <= item <= 1 for item in array.flat):
        raise DataError(f"conditions {place}: got {value!r:.60}; expected two colours [r, g, b] of 0 to 1")
    first, second = ((float(red), float(green), float(blue)) for red, green, blue in value)
    return first, second


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
