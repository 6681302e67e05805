"""Constructors of the parts that figures and surroundings are built of."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from pipelines.rendering.description import (
    Ball,
    Box,
    Color,
    Extrusion,
    Lathe,
    Material,
    Part,
    Pose,
    Tube,
    Vector,
)

Option = TypeVar("Option")


def paint(srgb: str) -> Color:
    """Return the linear reflectance of an sRGB colour "rrggbb"."""
    red, green, blue = (int(srgb[start : start + 2], 16) / 255 for start in (0, 2, 4))
    return (_linear(red), _linear(green), _linear(blue))


# `charmnet.srgb` differs in the last bits, which would change the descriptions of scenes.
def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def pick(rng: np.random.Generator, options: Sequence[Option]) -> Option:
    """Draw one of the options, all equally likely."""
    return options[int(rng.integers(len(options)))]


def shade(color: Color, factor: float) -> Color:
    """Return a lighter (factor above 1) or darker colour."""
    red, green, blue = (min(1.0, channel * factor) for channel in color)
    return (red, green, blue)


def vary(rng: np.random.Generator, color: Color, spread: float = 0.15) -> Color:
    """Draw a colour near to this one: all channels scaled alike, and each a little on its own."""
    together = rng.uniform(1 - spread, 1 + spread)
    red, green, blue = (
        min(1.0, channel * together * rng.uniform(1 - spread / 3, 1 + spread / 3)) for channel in color
    )
    return (red, green, blue)


def softened(points: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Cut the corners of an open polyline twice (Chaikin's scheme); its ends stay."""
    curve = np.array(points)
    for _ in range(2):
        before, after = curve[:-1], curve[1:]
        cut = np.stack([0.75 * before + 0.25 * after, 0.25 * before + 0.75 * after], axis=1).reshape(-1, 2)
        curve = np.concatenate([curve[:1], cut, curve[-1:]])
    return tuple((float(first), float(second)) for first, second in curve)


def block(size: Vector, base: Vector, material: Material, bevel: float = 0.0, yaw: float = 0.0) -> Part:
    """Build a box whose underside has its middle at `base`."""
    x, y, z = base
    return Part(Box(size, bevel), material, Pose((x, y, z + size[2] / 2), yaw_degrees=yaw))


def box(
    size: Vector,
    middle: Vector,
    material: Material,
    bevel: float = 0.0,
    pitch: float = 0.0,
    roll: float = 0.0,
) -> Part:
    """Build a box about `middle`, turned by `pitch` and `roll` degrees."""
    return Part(Box(size, bevel), material, Pose(middle, pitch_degrees=pitch, roll_degrees=roll))


def ball(radii: Vector, middle: Vector, material: Material, yaw: float = 0.0) -> Part:
    """Build an ellipsoid about `middle`."""
    return Part(Ball(radii), material, Pose(middle, yaw_degrees=yaw))


def tube(
    start: Vector, end: Vector, radius: float, material: Material, end_radius: float | None = None
) -> Part:
    """Build a capsule, tapered if `end_radius` is given."""
    return Part(Tube(start, end, radius, radius if end_radius is None else end_radius), material)


def bent_tube(points: Sequence[Vector], radius: float, material: Material) -> tuple[Part, ...]:
    """Build capsules end to end through the points."""
    return tuple(tube(start, end, radius, material) for start, end in itertools.pairwise(points))


def turned_profile(
    profile: Iterable[tuple[float, float]], base: Vector, material: Material, smooth: bool = True
) -> Part:
    """Build a profile turned about the z axis, standing at `base`."""
    return Part(Lathe(tuple(profile), smooth), material, Pose(base))


def cylinder(radius: float, height: float, base: Vector, material: Material) -> Part:
    """Build an upright cylinder with sharp rims, standing at `base`."""
    return turned_profile(((0, 0), (radius, 0), (radius, height), (0, height)), base, material, smooth=False)


def wheel(
    profile: Iterable[tuple[float, float]], middle: Vector, material: Material, smooth: bool = True
) -> Part:
    """Build a profile turned about an axle along x; its heights run from -x to +x."""
    return Part(Lathe(tuple(profile), smooth), material, Pose(middle, pitch_degrees=90))


def drawn_out(
    outline: Iterable[tuple[float, float]],
    width: float,
    middle: Vector,
    material: Material,
    bevel: float = 0.0,
) -> Part:
    """Build an outline of (x, z) points extruded along y."""
    return Part(Extrusion(tuple(outline), width, bevel), material, Pose(middle))


def side_view(
    outline: Iterable[tuple[float, float]],
    width: float,
    middle: Vector,
    material: Material,
    bevel: float = 0.0,
    lean: float = 0.0,
) -> Part:
    """Build an outline of (y, z) points, seen from +x, extruded along x."""
    return Part(Extrusion(tuple(outline), width, bevel, lean), material, Pose(middle, yaw_degrees=90))


def top_view(
    outline: Iterable[tuple[float, float]],
    height: float,
    base: Vector,
    material: Material,
    bevel: float = 0.0,
) -> Part:
    """Build an outline of (x, y) points, seen from above, extruded upwards from `base`."""
    x, y, z = base
    mirrored = tuple((px, -py) for px, py in outline)[::-1]
    return Part(Extrusion(mirrored, height, bevel), material, Pose((x, y, z + height / 2), roll_degrees=-90))


def placed(parts: Iterable[Part], by: Vector = (0.0, 0.0, 0.0), yaw: float = 0.0) -> tuple[Part, ...]:
    """Turn parts about the z axis by `yaw` degrees, then move them."""
    cosine, sine = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
    return tuple(_placed(part, by, yaw, cosine, sine) for part in parts)


def _placed(part: Part, by: Vector, yaw: float, cosine: float, sine: float) -> Part:
    x, y, z = part.pose.position
    position = (cosine * x - sine * y + by[0], sine * x + cosine * y + by[1], z + by[2])
    return replace(part, pose=replace(part.pose, position=position, yaw_degrees=part.pose.yaw_degrees + yaw))
