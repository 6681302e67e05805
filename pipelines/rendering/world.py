"""A scene in Mitsuba that is rendered under one source of light after another."""

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
from pipelines.rendering.tracing import trace

LAMP_GLOW_RADIUS = 1.02  # of the emitter around the lamp's glass, by the glass's radius


class World:
    """Shapes with one sun and one sky, which are built once and then changed for each source.

    Args:
        layers: surfaces of the scene.
        sensor: Mitsuba's plugin of the camera.
        max_depth: segments of a light path at most; 2 is direct light.
    """

    def __init__(self, layers: list[Layer], sensor: dict[str, Any], max_depth: int) -> None:
        self._max_depth = max_depth
        shapes = {f"layer{index}": layer.shape() for index, layer in enumerate(layers)}
        self._objects = {"sensor": sensor, **shapes}
        sky = map_plugin(np.zeros((*MAP_SHAPE, 3), np.float32))
        sun = {"type": "directional", "irradiance": rgb_plugin(np.full(3, math.pi))}
        self._outdoors = mi.load_dict({"type": "scene", **self._objects, "sun": sun, "sky": sky})
        self._values = mi.traverse(self._outdoors)

    def render(self, source: Source, seed: int) -> tuple[Float32Array, Float32Array]:
        """Render the scene under a source; the sky itself is black.

        Returns:
            Radiance, float32 [H,W,3], whose unit is a white matt surface under one kilolux; and the share of
            each pixel that surfaces cover, float32 [H,W,1].
        """
        if isinstance(source, Lamps):
            return self._take(self._lamplit(source), seed, hide_emitters=False)
        self._turn_on(source)
        return self._take(self._outdoors, seed, hide_emitters=True)

    def _take(self, scene: Any, seed: int, hide_emitters: bool) -> tuple[Float32Array, Float32Array]:
        path = {"type": "path", "max_depth": self._max_depth, "hide_emitters": hide_emitters}
        image = trace(scene, path, seed)
        return image[..., :3], image[..., 3:]

    def _lamplit(self, source: Lamps) -> Any:
        lamps = {f"lamp{index}": lamp_plugin(lamp) for index, lamp in enumerate(source.lamps)}
        return mi.load_dict({"type": "scene", **self._objects, **lamps})

    def _turn_on(self, source: Sun | Sky | Dome) -> None:
        """Turn the sun or the sky on; the other one is neither seen nor sampled."""
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
    """Return the transform of parallel light that comes from a direction [3]."""
    aside = [1, 0, 0] if abs(direction[2]) > 0.9 else [0, 0, 1]
    return mi.ScalarTransform4f().look_at(origin=[0, 0, 0], target=list(-direction), up=aside)


def map_plugin(upper: Float32Array, azimuth_degrees: float = 0.0) -> dict[str, Any]:
    """Describe an environment map as a plugin; below the horizon it is dark.

    Args:
        upper: radiance [H,W,3] of the upper half of the sky, as `sky.directions` orders it.
        azimuth_degrees: azimuth at which the map begins.
    """
    whole = np.concatenate([upper, np.zeros_like(upper)])
    # Azimuths of Mitsuba's maps run the other way and begin at 90 degrees.
    mirrored = np.roll(whole[:, ::-1], whole.shape[1] // 4, axis=1)
    turn = mi.ScalarTransform4f().rotate([0, 0, 1], azimuth_degrees).rotate([1, 0, 0], 90)
    return {"type": "envmap", "bitmap": mi.Bitmap(np.ascontiguousarray(mirrored)), "to_world": turn}


def lamp_plugin(lamp: Lamp) -> dict[str, Any]:
    """Describe a lamp's light as a plugin."""
    radius = lamp.radius * LAMP_GLOW_RADIUS
    radiance = (
        np.array(lamp.intensity) / radius**2
    )  # of a ball that shines evenly, so that a surface which faces it has the lamp's kilolux
    return {
        "type": "sphere",
        "center": list(lamp.position),
        "radius": radius,
        "emitter": {"type": "area", "radiance": rgb_plugin(radiance)},
    }


def rgb_plugin(values: NDArray[Any]) -> dict[str, Any]:
    """Describe a colour [3] as a plugin."""
    return {"type": "rgb", "value": values.tolist()}
