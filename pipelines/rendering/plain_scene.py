"""A plain 3D scene under the ten capture conditions: the quickstart's rendered domain.

A figure of simple shapes stands on open ground before a few blocks, under Mitsuba's physical sky with a sun,
under an even cover of cloud, or under a night sky with a lamp. Only the light changes from one condition to
the next, as in RdHarmony; the camera and everything before it stay.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charmnet.images import encode_jpeg, encode_png
from charmnet.vocabulary import CaptureCondition
from pipelines.progress import progress

SUBSET = "SFigure"
VARIANT = "scalar_rgb"  # needs nothing but the wheel: no LLVM, no GPU
SAMPLES_PER_PIXEL = 16
FIELD_OF_VIEW_DEGREES = 42
MASK_SAMPLES_PER_PIXEL = 25
GROUND_METERS = 2000  # to the horizon, below which the sky model is black
FOREGROUND_COVERAGE = 0.5  # of a pixel, to be foreground

Color = tuple[float, float, float]
UInt8Array = NDArray[np.uint8]


@dataclass(frozen=True)
class Light:
    """What lights a scene in one condition.

    Attributes:
        exposure: factor from radiance to display values, as a photographer would set it.
        sun_elevation_degrees: above the horizon; None where a cover of cloud or the night hides the sky.
        turbidity: haze of the sky, 1-10. sun_scale: how much of the sun comes through broken cloud.
        cover: radiance of an even sky, where there is no other.
        lamp: radiant intensity of a street lamp, or None.
    """

    exposure: float
    sun_elevation_degrees: float | None = None
    turbidity: float = 2.5
    sun_scale: float = 1.0
    cover: Color | None = None
    lamp: Color | None = None


LIGHTS = {
    CaptureCondition.SUNRISE_SUNSET_CLEAR: Light(6.0, sun_elevation_degrees=5),
    CaptureCondition.SUNRISE_SUNSET_PARTLY_CLOUDY: Light(6.0, 7, turbidity=7, sun_scale=0.4),
    CaptureCondition.SUNRISE_SUNSET_CLOUDY: Light(1.0, cover=(0.36, 0.30, 0.30)),
    CaptureCondition.NOON_CLEAR: Light(3.0, sun_elevation_degrees=62),
    CaptureCondition.NOON_PARTLY_CLOUDY: Light(3.4, 62, turbidity=7, sun_scale=0.35),
    CaptureCondition.NOON_CLOUDY: Light(1.0, cover=(0.80, 0.84, 0.90)),
    CaptureCondition.OTHER_TIMES_CLEAR: Light(3.2, sun_elevation_degrees=28),
    CaptureCondition.OTHER_TIMES_PARTLY_CLOUDY: Light(3.6, 28, turbidity=7, sun_scale=0.35),
    CaptureCondition.OTHER_TIMES_CLOUDY: Light(1.0, cover=(0.52, 0.56, 0.62)),
    CaptureCondition.NIGHT: Light(1.0, cover=(0.012, 0.018, 0.040), lamp=(2.6, 1.7, 0.8)),
}


@dataclass(frozen=True)
class PlainScene:
    """Geometry and materials, drawn by seed: what all ten pictures of a scene share.

    Attributes:
        width, height: of the pictures, in pixels.
    """

    seed: int
    width: int = 192
    height: int = 128

    def render(self, condition: CaptureCondition) -> UInt8Array:
        """[height,width,3] uint8 sRGB under one capture condition."""
        light = LIGHTS[condition]
        objects = {**self._surroundings(), **self._figure(), **self._emitters(light)}
        radiance = self._radiance(objects, max_depth=3, samples_per_pixel=SAMPLES_PER_PIXEL)
        return np.rint(_to_srgb(radiance * light.exposure) * 255).astype(np.uint8)

    def foreground_mask(self) -> UInt8Array:
        """[height,width] uint8, 1 where the figure covers at least half of the pixel.

        The figure glows, all else is black: what is bright is what the camera sees of it.
        """
        glow = {"type": "area", "radiance": _rgb((1.0, 1.0, 1.0))}
        figure = {name: {**shape, "emitter": glow} for name, shape in self._figure().items()}
        coverage = self._radiance(
            {**self._surroundings(), **figure}, max_depth=1, samples_per_pixel=MASK_SAMPLES_PER_PIXEL
        )
        return (coverage[..., 0] >= FOREGROUND_COVERAGE).astype(np.uint8)

    def _radiance(
        self, objects: dict[str, Any], max_depth: int, samples_per_pixel: int
    ) -> NDArray[np.float32]:
        mi = _mitsuba()
        scene = mi.load_dict(
            {
                "type": "scene",
                "integrator": {"type": "path", "max_depth": max_depth},
                "sensor": self._camera(samples_per_pixel),
                **objects,
            }
        )
        return np.asarray(mi.render(scene, seed=self.seed), np.float32)[..., :3]

    def _camera(self, samples_per_pixel: int) -> dict[str, Any]:
        transform = _mitsuba().ScalarTransform4f
        rng = self._rng("camera")
        eye = [float(rng.uniform(-1.2, 1.2)), -6.0, float(rng.uniform(1.2, 2.2))]
        return {
            "type": "perspective",
            "fov": FIELD_OF_VIEW_DEGREES,
            "to_world": transform().look_at(origin=eye, target=[0, 0, 1.0], up=[0, 0, 1]),
            "film": {
                "type": "hdrfilm",
                "width": self.width,
                "height": self.height,
                "rfilter": {"type": "box"},
                "pixel_format": "rgb",
            },
            "sampler": {"type": "multijitter", "sample_count": samples_per_pixel},
        }

    def _emitters(self, light: Light) -> dict[str, Any]:
        emitters: dict[str, Any] = {}
        if light.sun_elevation_degrees is not None:
            azimuth = (
                self._rng("sun").uniform(0.55, 0.95) * math.pi * (-1) ** self.seed
            )  # from beside the camera
            elevation = math.radians(light.sun_elevation_degrees)
            emitters["sky"] = {
                "type": "sunsky",
                "sun_direction": [
                    math.cos(elevation) * math.sin(azimuth),
                    math.cos(elevation) * math.cos(azimuth),
                    math.sin(elevation),
                ],
                "turbidity": light.turbidity,
                "sun_scale": light.sun_scale,
            }
        if light.cover is not None:
            emitters["cover"] = {"type": "constant", "radiance": _rgb(light.cover)}
        if light.lamp is not None:
            emitters["lamp"] = {"type": "point", "position": [2.2, -2.5, 3.5], "intensity": _rgb(light.lamp)}
        return emitters

    def _surroundings(self) -> dict[str, Any]:
        """The ground and a few blocks behind the figure."""
        transform = _mitsuba().ScalarTransform4f
        rng = self._rng("surroundings")
        ground = {
            "type": "checkerboard",
            "color0": _rgb(_color(rng, 0.12, 0.5, saturation=0.35)),
            "color1": _rgb(_color(rng, 0.12, 0.5, saturation=0.35)),
            "to_uv": transform().scale([GROUND_METERS / 2, GROUND_METERS / 2, 1]),
        }
        objects: dict[str, Any] = {
            "ground": {
                "type": "rectangle",
                "to_world": transform().scale([GROUND_METERS, GROUND_METERS, 1]),
                "bsdf": {"type": "diffuse", "reflectance": ground},
            }
        }
        for number in range(int(rng.integers(3, 6))):
            size = rng.uniform([0.5, 0.5, 0.4], [1.6, 1.6, 2.2])
            place = [rng.uniform(-6, 6), rng.uniform(3, 9), size[2]]
            objects[f"block{number}"] = {
                "type": "cube",
                "to_world": transform().translate(place).rotate([0, 0, 1], rng.uniform(0, 90)).scale(size),
                "bsdf": _diffuse(_color(rng, 0.1, 0.6, saturation=0.5)),
            }
        return objects

    def _figure(self) -> dict[str, Any]:
        """The foreground: a body with a head and two arms, its colours and proportions drawn by seed."""
        rng = self._rng("figure")
        x, y = rng.uniform(-0.9, 0.9), rng.uniform(-0.6, 0.6)
        height, girth = rng.uniform(1.0, 1.5), rng.uniform(0.3, 0.5)
        head = girth * rng.uniform(0.6, 0.85)
        cloth, skin, sleeve = (_diffuse(_color(rng, 0.12, 0.75)) for _ in range(3))
        figure: dict[str, Any] = {
            "body": _tube([x, y, 0.0], [x, y, height], girth, cloth),
            "shoulders": _ball([x, y, height], girth, cloth),
            "head": _ball([x, y, height + girth + 0.8 * head], head, skin),
        }
        for side, name in ((-1, "left"), (1, "right")):
            shoulder = [x + side * girth * 0.9, y, height]
            hand = [x + side * girth * rng.uniform(1.4, 2.2), y - 0.3, height * rng.uniform(0.4, 1.2)]
            figure[f"{name}_arm"] = _tube(shoulder, hand, girth * 0.28, sleeve)
            figure[f"{name}_hand"] = _ball(hand, girth * 0.3, skin)
        return figure

    def _rng(self, part: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, *part.encode()])


def write_scenes(folder: Path, scenes: Sequence[PlainScene]) -> None:
    """Renders into RdHarmony's layout: SFigure/real_images/<scene>-<NN>.jpg and SFigure/masks/<scene>.png.

    NN is the capture condition's number, 01 to 10. There is no list: every exchange may be drawn.
    """
    pictures, masks = (folder / SUBSET / kind for kind in ("real_images", "masks"))
    for place in (pictures, masks):
        place.mkdir(parents=True, exist_ok=True)
    with progress("Renderings under ten conditions", total=len(scenes) * len(CaptureCondition)) as advance:
        for scene in scenes:
            name = f"{scene.seed + 1:03d}"
            (masks / f"{name}.png").write_bytes(encode_png(scene.foreground_mask() * 255))
            for condition in CaptureCondition:
                picture = encode_jpeg(scene.render(condition))
                (pictures / f"{name}-{condition + 1:02d}.jpg").write_bytes(picture)
                advance(1)


def _mitsuba() -> Any:
    import mitsuba as mi

    mi.set_variant(VARIANT)
    return mi


def _rgb(color: Color) -> dict[str, Any]:
    return {"type": "rgb", "value": list(color)}


def _color(rng: np.random.Generator, low: float, high: float, saturation: float = 1.0) -> Color:
    values = rng.uniform(low, high, 3)
    red, green, blue = (float(value) for value in values.mean() + saturation * (values - values.mean()))
    return red, green, blue


def _diffuse(color: Color) -> dict[str, Any]:
    # Two-sided, since the tubes have no caps.
    return {"type": "twosided", "bsdf": {"type": "diffuse", "reflectance": _rgb(color)}}


def _ball(center: list[float], radius: float, bsdf: dict[str, Any]) -> dict[str, Any]:
    return {"type": "sphere", "center": center, "radius": radius, "bsdf": bsdf}


def _tube(start: list[float], end: list[float], radius: float, bsdf: dict[str, Any]) -> dict[str, Any]:
    return {"type": "cylinder", "p0": start, "p1": end, "radius": radius, "bsdf": bsdf}


def _to_srgb(linear: NDArray[np.float32]) -> NDArray[np.float32]:
    """Linear light to display values in 0..1; highlights roll off softly instead of being cut."""
    shown = np.clip(1.0 - np.exp(-linear), 0.0, 1.0)
    return np.where(shown <= 0.0031308, 12.92 * shown, 1.055 * shown ** (1 / 2.4) - 0.055)
