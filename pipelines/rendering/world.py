"""A scene in Mitsuba that is put under one source of light after another."""

from __future__ import annotations

import math
from typing import Any

import mitsuba as mi
import numpy as np
from numpy.typing import NDArray

from charmnet.arrays import Float32Array, Float64Array
from pipelines.rendering.description import Lamp
from pipelines.rendering.geometry import Layer
from pipelines.rendering.light_mixing import Dome, Lamps, Sky, Source, Sun
from pipelines.rendering.sky import MAP_SHAPE
from pipelines.rendering.tracing import traced

LAMP_GLOW_RADIUS = 1.02  # just around the lamp's glass


class World:
    """Shapes and one sun and one sky, which are turned and coloured as wanted: neither is built twice."""

    def __init__(self, layers: list[Layer], sensor: dict[str, Any], max_depth: int) -> None:
        """
        Args:
            sensor: Mitsuba's plugin of the camera.
            max_depth: of light paths: 2 is direct light.
        """
        self._max_depth = max_depth
        shapes = {f"layer{index}": layer.shape() for index, layer in enumerate(layers)}
        self._objects = {"sensor": sensor, **shapes}
        sky = map_plugin(np.zeros((*MAP_SHAPE, 3), np.float32))
        sun = {"type": "directional", "irradiance": rgb_plugin(np.full(3, math.pi))}
        self._outdoors = mi.load_dict({"type": "scene", **self._objects, "sun": sun, "sky": sky})
        self._values = mi.traverse(self._outdoors)

    def render(self, source: Source, seed: int) -> tuple[Float32Array, Float32Array]:
        """
        Returns:
            Radiance, float32 [H,W,3] in kilolux as of a white matt surface in so many, and the share of each
            pixel where there is something, [H,W,1]; the sky itself is black.
        """
        if isinstance(source, Lamps):
            return self._take(self._lamplit(source), seed, hide_emitters=False)
        self._turn_on(source)
        return self._take(self._outdoors, seed, hide_emitters=True)

    def _take(self, scene: Any, seed: int, hide_emitters: bool) -> tuple[Float32Array, Float32Array]:
        path = {"type": "path", "max_depth": self._max_depth, "hide_emitters": hide_emitters}
        seen = traced(scene, path, seed)
        return seen[..., :3], seen[..., 3:]

    def _lamplit(self, source: Lamps) -> Any:
        lamps = {f"lamp{index}": lamp_plugin(lamp) for index, lamp in enumerate(source.lamps)}
        return mi.load_dict({"type": "scene", **self._objects, **lamps})

    def _turn_on(self, source: Sun | Sky | Dome) -> None:
        """The sun or the sky; the other one is neither seen nor sampled."""
        is_sun = isinstance(source, Sun)
        self._values["sun.sampling_weight"] = float(is_sun)
        self._values["sky.sampling_weight"] = self._values["sky.scale"] = float(not is_sun)
        if isinstance(source, Sun):
            self._values["sun.to_world"] = shining_from(np.array(source.direction))
        else:
            plugin = mi.traverse(mi.load_dict(map_plugin(source.radiance(), source.azimuth_degrees)))
            self._values["sky.data"] = plugin["data"]
            self._values["sky.to_world"] = plugin["to_world"]
        self._values.update()


def shining_from(direction: Float64Array) -> Any:
    aside = [1, 0, 0] if abs(direction[2]) > 0.9 else [0, 0, 1]
    return mi.ScalarTransform4f().look_at(origin=[0, 0, 0], target=list(-direction), up=aside)


def map_plugin(upper: Float32Array, azimuth_degrees: float = 0.0) -> dict[str, Any]:
    """An environment of a map of the upper half of the sky, dark below the horizon."""
    whole = np.concatenate([upper, np.zeros_like(upper)])
    # Mitsuba's maps have their azimuths running the other way, from 90 degrees on.
    mirrored = np.roll(whole[:, ::-1], whole.shape[1] // 4, axis=1)
    turn = mi.ScalarTransform4f().rotate([0, 0, 1], azimuth_degrees).rotate([1, 0, 0], 90)
    return {"type": "envmap", "bitmap": mi.Bitmap(np.ascontiguousarray(mirrored)), "to_world": turn}


def lamp_plugin(lamp: Lamp) -> dict[str, Any]:
    radius = lamp.radius * LAMP_GLOW_RADIUS
    radiance = np.array(lamp.intensity) / radius**2  # of an even ball, in kilolux on a surface that faces it
    return {
        "type": "sphere",
        "center": list(lamp.position),
        "radius": radius,
        "emitter": {"type": "area", "radiance": rgb_plugin(radiance)},
    }


def rgb_plugin(values: NDArray[Any]) -> dict[str, Any]:
    return {"type": "rgb", "value": values.tolist()}
