"""Sources of light, and the weights by which a condition's light is mixed from them.

Rendering is linear in light, channel by channel: a scene is rendered once under each source, and the picture
of a condition is the sum of these, weighted by the sources' brightness and colour. Conditions share sources:
those of one time of day have the same sun and clear sky, and all clouds are one dome whose colour differs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from charmnet.arrays import Float32Array, Float64Array
from pipelines.rendering import sky
from pipelines.rendering.conditions import Lighting
from pipelines.rendering.description import Lamp, Scene, Vector
from pipelines.rendering.sky import ClearSky


@dataclass(frozen=True)
class Sun:
    """White parallel light of the sun or moon: 1 kilolux on a surface that faces its direction."""

    direction: Vector


@dataclass(frozen=True)
class Sky:
    """A cloudless sky in its own colours.

    Attributes:
        clear: the sky.
        azimuth_degrees: azimuth of its sun.
    """

    clear: ClearSky
    azimuth_degrees: float

    def radiance(self) -> Float32Array:
        """Return float32 [sky.MAP_SHAPE,3], in directions whose azimuths are counted from the sun's."""
        return self.clear.radiance()


@dataclass(frozen=True)
class Dome:
    """A white closed cover of clouds that gives 1 kilolux on the ground."""

    azimuth_degrees = 0.0

    def radiance(self) -> Float32Array:
        """Return float32 [sky.MAP_SHAPE,3]."""
        cover = sky.overcast(sky.directions(sky.MAP_SHAPE)[..., 2:])
        return np.repeat(cover, 3, axis=2).astype(np.float32)


@dataclass(frozen=True)
class Lamps:
    """Lamps of a scene in their own colours: 1 kilolux at 1 m from a lamp of intensity 1."""

    lamps: tuple[Lamp, ...]


Source = Sun | Sky | Dome | Lamps


@dataclass(frozen=True)
class Mix:
    """Light of one condition in one scene.

    Attributes:
        weights: kilolux [3] of each source.
        sun_direction: unit vector [3] to the sun or moon.
        sun_kilolux: kilolux [3] of the sun that comes through the clouds.
        sky: clear sky behind the clouds.
    """

    weights: dict[Source, Float64Array]
    sun_direction: Float64Array
    sun_kilolux: Float64Array
    sky: Sky

    def daylight(self) -> Float64Array:
        """Return kilolux [3] in the open: the sky, and half of the sun, since surfaces face it by chance."""
        return 0.5 * self.sun_kilolux + sum(
            (weight * _on_ground(source) for source, weight in self.weights.items()), np.zeros(3)
        )


def mix(scene: Scene, lighting: Lighting) -> Mix:
    """Compute the light of a scene in a condition; sources without light are left out."""
    clear = ClearSky(lighting.sun_elevation_degrees, lighting.turbidity)
    azimuth = _camera_back_degrees(scene) + lighting.sun_azimuth_degrees
    above, around = math.radians(lighting.sun_elevation_degrees), math.radians(azimuth)
    direction = (
        math.cos(above) * math.cos(around),
        math.cos(above) * math.sin(around),
        math.sin(above),
    )
    sun = lighting.sun * clear.sun_kilolux()
    behind_clouds = lighting.cloud_cover * lighting.cloud_kilolux
    lamps = tuple(lamp for lamp in scene.lamps if not lamp.night_only or lighting.night)
    weights: dict[Source, Float64Array] = {
        Sun(direction): sun + lighting.moon_kilolux,
        Sky(clear, azimuth): np.full(3, 1 - lighting.cloud_cover),
        Dome(): behind_clouds * np.array(lighting.cloud_color),
        Lamps(lamps): np.full(3, lighting.lamp_kilolux * bool(lamps)),
    }
    lit = {source: weight for source, weight in weights.items() if weight.any()}
    return Mix(lit, np.array(direction), sun, Sky(clear, azimuth))


def _on_ground(source: Source) -> Float64Array:
    """Return kilolux [3] on open ground of a sky or dome; 0 for other sources."""
    if isinstance(source, Dome):
        return np.ones(3)
    if not isinstance(source, Sky):
        return np.zeros(3)
    upward = sky.directions(sky.MAP_SHAPE)[..., 2:]
    height, width = sky.MAP_SHAPE
    cell = np.sqrt(1 - upward**2) * (math.pi / 2 / height) * (2 * math.pi / width)
    result: Float64Array = (source.radiance() * upward * cell).sum(axis=(0, 1)) / math.pi
    return result


def _camera_back_degrees(scene: Scene) -> float:
    (x, y, _), (to_x, to_y, _) = scene.camera.position, scene.camera.target
    return math.degrees(math.atan2(y - to_y, x - to_x))
