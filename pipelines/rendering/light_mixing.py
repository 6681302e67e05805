"""The parts that the light of ten conditions is mixed from.

Rendering is linear in light, colour by colour: a scene is rendered once under each white source, and a condition's
picture is their sum, weighted by how bright and of which colour the sources are in it. Conditions share sources: all
three of a time of day have its sun and clear sky, and every sky behind clouds is the same dome in another colour.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import mitsuba as mi
import numpy as np
from numpy.typing import NDArray

from pipelines.rendering import sky
from pipelines.rendering.conditions import Lighting
from pipelines.rendering.description import Lamp, Scene
from pipelines.rendering.sky import ClearSky

LAMP_GLOW_RADIUS = 1.02  # just around the lamp's glass

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sun:
    """White parallel light, 1 kilolux on what faces it; the moon's too."""

    direction: tuple[float, float, float]

    def emitters(self) -> dict[str, Any]:
        return {
            "sun": {
                "type": "directional",
                "direction": [-value for value in self.direction],
                "irradiance": _rgb(np.full(3, math.pi)),
            }
        }


@dataclass(frozen=True)
class Sky:
    """A cloudless sky in its own colours, its sun at an azimuth in degrees."""

    clear: ClearSky
    azimuth_degrees: float

    def emitters(self) -> dict[str, Any]:
        return {"sky": _map_emitter(self.clear.radiance(), self.azimuth_degrees)}


@dataclass(frozen=True)
class Dome:
    """A white closed cover of clouds, 1 kilolux on the ground."""

    def emitters(self) -> dict[str, Any]:
        cover = sky.overcast(sky.directions(sky.MAP_SHAPE)[..., 2:])
        return {"dome": _map_emitter(np.repeat(cover, 3, axis=2).astype(np.float32), 0.0)}


@dataclass(frozen=True)
class Lamps:
    """A scene's lamps in their own colours, 1 kilolux at 1 m from one of intensity 1."""

    lamps: tuple[Lamp, ...]

    def emitters(self) -> dict[str, Any]:
        return {f"lamp{index}": _lamp_emitter(lamp) for index, lamp in enumerate(self.lamps)}


Source = Sun | Sky | Dome | Lamps


@dataclass(frozen=True)
class Mix:
    """One condition in one scene.

    Attributes:
        weights: kilolux by source, [3] each.
        sun_direction: unit vector to the sun or moon. sun_kilolux: [3], what of the sun comes through.
        sky: the clear sky behind the clouds.
    """

    weights: dict[Source, Floats]
    sun_direction: Floats
    sun_kilolux: Floats
    sky: Sky

    def daylight(self) -> Floats:
        """[3] kilolux of what lights the open: half of the sun, as surfaces face it by chance, and the sky."""
        return 0.5 * self.sun_kilolux + sum(
            (weight * _on_ground(source) for source, weight in self.weights.items()), np.zeros(3)
        )


def mix(scene: Scene, lighting: Lighting) -> Mix:
    """What lights the scene in a condition; sources of no light are left out."""
    clear = ClearSky(lighting.sun_elevation_degrees, lighting.turbidity)
    azimuth = _camera_back_degrees(scene) - lighting.sun_azimuth_degrees
    above, around = math.radians(lighting.sun_elevation_degrees), math.radians(azimuth)
    direction = (
        math.cos(above) * math.cos(around),
        math.cos(above) * math.sin(around),
        math.sin(above),
    )
    sun = lighting.sun * clear.sun_kilolux()
    behind_clouds = lighting.cloud_cover * lighting.cloud_kilolux
    lamps = tuple(lamp for lamp in scene.lamps if not lamp.night_only or lighting.night)
    weights: dict[Source, Floats] = {
        Sun(direction): sun + lighting.moon_kilolux,
        Sky(clear, azimuth): np.full(3, 1 - lighting.cloud_cover),
        Dome(): behind_clouds * np.array(lighting.cloud_color),
        Lamps(lamps): np.full(3, lighting.lamp_kilolux * bool(lamps)),
    }
    lit = {source: weight for source, weight in weights.items() if weight.any()}
    return Mix(lit, np.array(direction), sun, Sky(clear, azimuth))


def _on_ground(source: Source) -> Floats:
    """[3] kilolux on open ground of sources overhead."""
    if isinstance(source, Dome):
        return np.ones(3)
    if not isinstance(source, Sky):
        return np.zeros(3)
    upward = sky.directions(sky.MAP_SHAPE)[..., 2:]
    height, width = sky.MAP_SHAPE
    cell = np.sqrt(1 - upward**2) * (math.pi / 2 / height) * (2 * math.pi / width)
    return (source.clear.radiance() * upward * cell).sum(axis=(0, 1)) / math.pi


def _camera_back_degrees(scene: Scene) -> float:
    (x, y, _), (to_x, to_y, _) = scene.camera.position, scene.camera.target
    return math.degrees(math.atan2(y - to_y, x - to_x))


def _map_emitter(upper: NDArray[np.float32], azimuth_degrees: float) -> dict[str, Any]:
    """An environment of a map of the upper half of the sky, dark below the horizon."""
    whole = np.concatenate([upper, np.zeros_like(upper)])
    # Mitsuba's maps have their azimuths running the other way, from 90 degrees on.
    mirrored = np.roll(whole[:, ::-1], whole.shape[1] // 4, axis=1)
    turn = mi.ScalarTransform4f().rotate([0, 0, 1], azimuth_degrees).rotate([1, 0, 0], 90)
    return {"type": "envmap", "bitmap": mi.Bitmap(np.ascontiguousarray(mirrored)), "to_world": turn}


def _lamp_emitter(lamp: Lamp) -> dict[str, Any]:
    radius = lamp.radius * LAMP_GLOW_RADIUS
    radiance = np.array(lamp.intensity) / radius**2  # of an even ball, times pi for kilolux
    return {
        "type": "sphere",
        "center": list(lamp.position),
        "radius": radius,
        "emitter": {"type": "area", "radiance": _rgb(radiance)},
    }


def _rgb(values: Floats) -> dict[str, Any]:
    return {"type": "rgb", "value": values.tolist()}
