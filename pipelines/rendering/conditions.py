"""The ten capture conditions as ranges of light in a file, and the light that one scene draws from them."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, BeforeValidator, PlainValidator, StrictBool, ValidationError, model_validator

from charmnet.errors import DataError
from charmnet.vocabulary import CaptureCondition
from pipelines.rendering.description import Color

BUILT_IN = "conditions.toml"

Range = tuple[float, float]

_TYPES = {"bool_type": "true or false", "dict_type": "a table", "string_type": "a string"}
_CONDITIONS = {condition.name.lower(): condition for condition in CaptureCondition}


@dataclass(frozen=True)
class Lighting:
    """Light of one scene in one capture condition.

    Attributes:
        sun_elevation_degrees: elevation of the sun above the horizon; the moon stands there at night.
        sun_azimuth_degrees: 0 is behind the camera, 90 to its right, 180 in front of it, -90 to its left.
        turbidity: haze of the clear sky, 1 (none) to 10.
        night: whether lamps burn that are off by day.
        sun: share of the sun's light that comes through, 0..1.
        cloud_cover: share of the sky behind clouds, 0..1.
        cloud_kilolux: light of a closed cloud cover on the ground, without the sun's light.
        cloud_color: colour of that light, linear RGB.
        cloud_contrast: contrast of the clouds' texture in the picture, 0..1.
        cloud_seed: seed of the clouds' shapes.
        moon_kilolux: light of the moon on a surface that faces it.
        lamp_kilolux: light at one metre from a lamp of intensity 1.
        white_kilolux: exposure outdoors: the light in which a white wall is just shown white.
        indoor_white_kilolux: the same exposure for indoor scenes.
        white_balance: 0 keeps the light's colour, 1 removes it.
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


def _table(value: Any, names: Collection[str]) -> dict[str, Any]:
    """Return a TOML table that has just these names."""
    if not isinstance(value, dict):
        raise ValueError(f"got {value!r:.60}; expected a table")
    missing, unknown = sorted(set(names) - set(value)), sorted(set(value) - set(names))
    if missing or unknown:
        raise ValueError(
            f"missing {', '.join(missing) or 'nothing'}, unknown {', '.join(unknown) or 'nothing'}; "
            f"expected {', '.join(names)}"
        )
    return value


def _within(lowest: float, highest: float) -> PlainValidator:
    """Return a validator that reads a number or [low, high] and refuses what is out of bounds."""

    def read(value: Any) -> Range:
        ends = value if isinstance(value, list) else [value, value]
        if len(ends) != 2 or not {type(end) for end in ends} <= {int, float}:
            raise ValueError(f"got {value!r:.60}; expected a number or [low, high]")
        low, high = map(float, ends)
        if low > high:
            raise ValueError(f"the range {value} is upside down; expected [low, high]")
        if not lowest <= low <= high <= highest:
            raise ValueError(f"got {value}; expected within {lowest:g} to {highest:g}")
        return low, high

    return PlainValidator(read)


def _read_colors(value: Any) -> tuple[Color, Color]:
    array = np.array(value, dtype=object)
    if array.shape != (2, 3) or not all(type(item) in (int, float) and 0 <= item <= 1 for item in array.flat):
        raise ValueError(f"got {value!r:.60}; expected two colours [r, g, b] of 0 to 1")
    first, second = ((float(red), float(green), float(blue)) for red, green, blue in value)
    return first, second


_Share = Annotated[Range, _within(0, 1)]
_Kilolux = Annotated[Range, _within(0, 1000)]
_WhiteKilolux = Annotated[Range, _within(1e-6, 1000)]


class _Table(BaseModel):
    @model_validator(mode="before")
    @classmethod
    def _check_fields(cls, value: Any) -> dict[str, Any]:
        return _table(value, cls.model_fields)


class _SunTable(_Table):
    sun_elevation_degrees: Annotated[Range, _within(0.5, 90)]
    sun_azimuth_degrees: Annotated[Range, _within(0, 180)]
    turbidity: Annotated[Range, _within(1, 10)]


class _LightTable(_Table):
    sun: _Share
    cloud_cover: _Share
    cloud_kilolux: _Kilolux
    cloud_contrast: _Share
    moon_kilolux: _Kilolux
    lamp_kilolux: _Kilolux
    white_kilolux: _WhiteKilolux
    indoor_white_kilolux: _WhiteKilolux
    white_balance: _Share


class _ConditionTable(_LightTable):
    time: str
    night: StrictBool
    cloud_color: Annotated[tuple[Color, Color], PlainValidator(_read_colors)]


class _File(_Table):
    times: dict[str, _SunTable]
    conditions: Annotated[
        dict[str, _ConditionTable], BeforeValidator(lambda value: _table(value, _CONDITIONS))
    ]


@dataclass(frozen=True)
class _ConditionRanges:
    time: str
    night: bool
    numbers: Mapping[str, Range]
    cloud_colors: tuple[Color, Color]


@dataclass(frozen=True)
class Conditions:
    """Ranges of light by capture condition, and of the sun's position by time of day."""

    times: Mapping[str, Mapping[str, Range]]
    conditions: Mapping[CaptureCondition, _ConditionRanges]

    @classmethod
    def load(cls, path: Path | None = None) -> Conditions:
        """Read a file in the form of this package's conditions.toml, by default that file itself.

        Raises:
            DataError: the file cannot be read, a condition or a field is missing or unknown, or a value is
                out of bounds; the message names it.
        """
        name = str(path or BUILT_IN)
        try:
            text = (path or resources.files(__package__) / BUILT_IN).read_text()
            file = _File.model_validate(tomllib.loads(text))
        except ValidationError as error:
            first = error.errors()[0]
            location = ".".join(map(str, first["loc"]))
            message = first["msg"].removeprefix("Value error, ")
            if expected := _TYPES.get(first["type"]):
                message = f"got {first['input']!r:.60}; expected {expected}"
            raise DataError(": ".join(filter(None, (f"conditions {name}", location, message)))) from None
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise DataError(f"conditions {name}: {error}; expected a file like {BUILT_IN}") from None
        conditions = {}
        for key, condition in _CONDITIONS.items():
            table = file.conditions[key]
            if table.time not in file.times:
                raise DataError(
                    f"conditions {name}: conditions.{key}.time: got {table.time!r}; "
                    f"expected one of {', '.join(file.times)}"
                )
            numbers = {field: getattr(table, field) for field in _LightTable.model_fields}
            conditions[condition] = _ConditionRanges(table.time, table.night, numbers, table.cloud_color)
        return cls({time: dict(table) for time, table in file.times.items()}, conditions)

    def draw(self, rng: np.random.Generator) -> dict[CaptureCondition, Lighting]:
        """Draw a scene's light in all conditions; conditions of one time of day share the sun's position."""
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
    return {name: float(rng.uniform(*ends)) for name, ends in ranges.items()}


def _between(first: Color, second: Color, share: float) -> Color:
    red, green, blue = (a + share * (b - a) for a, b in zip(first, second, strict=True))
    return red, green, blue
