"""Light and look of the sun, the clear sky and clouds.

The unit of radiance is that of a white matt surface under one kilolux. Directions are in the scene's frame: z
is up, azimuths are counted counter-clockwise from x.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import mitsuba as mi
import numpy as np

from charmnet.arrays import Float32Array, Float64Array
from pipelines.rendering.patterns import fractal_noise

KILOLUX = 75.0  # per unit of Mitsuba's sunsky: a clear noon with the sun at 60 degrees has about 100
SUN_RADIUS_DEGREES = 0.2679
SHOWN_SUN_RADIUS_DEGREES = 0.6  # in the picture, with glare
MAP_SHAPE = (64, 256)  # of a map of the upper half of the sky: elevation from the zenith down, azimuth
CLOUD_PERIODS = 4
CLOUD_PIXELS = 512
CLOUD_EDGE = 0.14  # range of noise over which a cloud's edge fades
CLOUD_ALBEDO = 0.9
CLOUD_RADIUS = 20.0  # of the clouds' shell, in heights of clouds; a greater one crowds the horizon more

_VARIANT = "scalar_rgb"  # evaluates one direction at a time, for any variant that traces the scene


@dataclass(frozen=True)
class ClearSky:
    """A cloudless sky and its sun: Mitsuba's `sunsky` (Hosek and Wilkie 2012).

    Attributes:
        elevation_degrees: elevation of the sun.
        turbidity: haze, 1 (none) to 10.
    """

    elevation_degrees: float
    turbidity: float

    def sun_kilolux(self) -> Float64Array:
        """Return the sun's kilolux [3] on a surface that faces it."""
        return _sun_kilolux(self)

    def radiance(self) -> Float32Array:
        """Return the sky's radiance without its sun, float32 [MAP_SHAPE,3]; the sun is at azimuth 0."""
        return _clear_radiance(self)


@lru_cache(maxsize=32)
def _sun_kilolux(sky: ClearSky) -> Float64Array:
    solid_angle = 2 * math.pi * (1 - math.cos(math.radians(SUN_RADIUS_DEGREES)))
    kilolux = KILOLUX * solid_angle * _radiances(sky, _toward_sun(sky)[None], sky_scale=0.0)[0]
    kilolux.flags.writeable = False
    result: Float64Array = kilolux
    return result


@lru_cache(maxsize=32)
def _clear_radiance(sky: ClearSky) -> Float32Array:
    values = _radiances(sky, directions(MAP_SHAPE).reshape(-1, 3), sun_scale=0.0)
    radiance = (math.pi * KILOLUX * values).reshape(*MAP_SHAPE, 3).astype(np.float32)
    radiance.flags.writeable = False
    return radiance


def _toward_sun(sky: ClearSky) -> Float64Array:
    elevation = math.radians(sky.elevation_degrees)
    return np.array([math.cos(elevation), 0.0, math.sin(elevation)])


def _radiances(sky: ClearSky, toward: Float64Array, **scale: float) -> Float64Array:
    """Return radiances [N,3] in unit directions [N,3]."""
    plugin = {"type": "sunsky", "sun_direction": _toward_sun(sky).tolist(), "turbidity": sky.turbidity}
    # All directions in one change of variant: Mitsuba reloads its integrators at each change.
    with mi.variant_context(_VARIANT):
        emitter = mi.load_dict({**plugin, **scale})
        seen = mi.SurfaceInteraction3f()
        return np.array([_seen(emitter, seen, direction) for direction in toward], np.float64)


def _seen(emitter: Any, seen: Any, toward: Float64Array) -> Float64Array:
    seen.wi = mi.Vector3f(*-toward)
    return np.array(emitter.eval(seen), np.float64).reshape(3)


def directions(shape: tuple[int, int]) -> Float64Array:
    """Return unit vectors [H,W,3] to the middles of a map's cells; azimuths rise from 0 along its rows."""
    height, width = shape
    zenith = (np.arange(height) + 0.5) / height * math.pi / 2
    azimuth = (np.arange(width) + 0.5) / width * 2 * math.pi
    sine = np.sin(zenith)[:, None]
    upward = np.broadcast_to(np.cos(zenith)[:, None], shape)
    return np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), upward], axis=-1)


def overcast(upward: Float64Array) -> Float64Array:
    """Return the radiance of a closed cover that gives 1 kilolux on the ground (CIE overcast).

    Args:
        upward: sine of the elevation, any shape.
    """
    return (1 + 2 * np.maximum(upward, 0.0)) * 3 / 7


def look_up(radiance: Float32Array, toward: Float64Array, sun_azimuth: float) -> Float64Array:
    """Interpolate a map's radiance in directions [...,3]; below the horizon it is that at the horizon."""
    height, width = radiance.shape[:2]
    zenith = np.arccos(np.clip(toward[..., 2], 0.0, 1.0)) / (math.pi / 2)
    azimuth = (np.arctan2(toward[..., 1], toward[..., 0]) - sun_azimuth) / (2 * math.pi)
    row = np.clip(zenith * height - 0.5, 0, height - 1)
    column = (azimuth * width - 0.5) % width
    top, left = np.minimum(row.astype(int), height - 2), column.astype(int) % width
    down, across = (row - top)[..., None], (column - left)[..., None]
    right = (left + 1) % width
    upper = radiance[top, left] * (1 - across) + radiance[top, right] * across
    lower = radiance[top + 1, left] * (1 - across) + radiance[top + 1, right] * across
    result: Float64Array = upper * (1 - down) + lower * down
    return result


def sun_disc(toward: Float64Array, sun: Float64Array) -> Float64Array:
    """Return radiance [...,1] in directions [...,3] of a sun with glare that gives 1 kilolux face on."""
    angle = np.degrees(np.arccos(np.clip(toward @ sun, -1.0, 1.0)))
    solid_angle = 2 * math.pi * (1 - math.cos(math.radians(SHOWN_SUN_RADIUS_DEGREES)))
    edge = np.clip((SHOWN_SUN_RADIUS_DEGREES - angle) / 0.2 + 0.5, 0.0, 1.0)
    return edge[..., None] * math.pi / solid_angle


def clouds(toward: Float64Array, cover: float, seed: int) -> tuple[Float64Array, Float64Array]:
    """Draw a layer of clouds: fractal noise on a shell around the earth, finer towards the horizon.

    Args:
        toward: unit directions [...,3].
        cover: share of the sky behind clouds, 0..1.
        seed: seed of the clouds' shapes.

    Returns:
        The share of the sky that clouds hide, and their thickness; both [...] of 0..1.
    """
    noise = _cloud_noise(seed)
    rise = CLOUD_RADIUS * np.maximum(toward[..., 2], 0.0)
    distance = np.sqrt(rise**2 + 2 * CLOUD_RADIUS + 1) - rise  # along the ray to the shell
    u, v = (toward[..., axis] * distance / CLOUD_PERIODS / 2 for axis in (0, 1))
    value = _wrapped(noise, u, v)
    threshold = float(np.quantile(noise, 1 - cover)) if cover > 0 else math.inf
    if cover >= 1:
        threshold = -math.inf
    hidden = np.clip((value - threshold) / CLOUD_EDGE + 0.5, 0.0, 1.0)
    hidden = hidden * hidden * (3 - 2 * hidden)
    return hidden, np.clip(value, 0.0, 1.0)


@lru_cache(maxsize=16)
def _cloud_noise(seed: int) -> Float32Array:
    return fractal_noise(CLOUD_PIXELS, CLOUD_PERIODS, octaves=6, seed=seed)


def _wrapped(noise: Float32Array, u: Float64Array, v: Float64Array) -> Float64Array:
    """Interpolate a picture that repeats over 0..1."""
    size = len(noise)
    x, y = u * size % size, v * size % size
    left, top = x.astype(int) % size, y.astype(int) % size
    right, bottom = (left + 1) % size, (top + 1) % size
    across, down = x % 1, y % 1
    upper = noise[top, left] * (1 - across) + noise[top, right] * across
    lower = noise[bottom, left] * (1 - across) + noise[bottom, right] * across
    result: Float64Array = upper * (1 - down) + lower * down
    return result
