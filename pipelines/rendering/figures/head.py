"""Heads: faces, hair, beards and hats.

Measures are in heights of the head; the chin is the origin.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from pipelines.rendering.description import Ball, Lathe, Material, Part, Pattern, Pose, Tube
from pipelines.rendering.figures.anatomy import SIDES, Physique
from pipelines.rendering.figures.body_tubes import Point, beyond, blended, grown, limb, lump, shifted, vector
from pipelines.rendering.parts import paint, pick, shade, vary

HAIR_COLORS = tuple(
    map(paint, ("14100e", "1c1410", "2c1c13", "4a2f1e", "6d4a2c", "a07a46", "cda968", "7c3519"))
)
OLD_HAIR_COLORS = tuple(map(paint, ("8c8a88", "c4c2be", "5a5856")))
EYE_COLORS = tuple(map(paint, ("22150d", "3b2615", "2f4a5e", "3d4a2c")))
HAT_COLORS = tuple(
    map(paint, ("1f2430", "7d1f1f", "27402e", "c9b48a", "d9d5cc", "22406b", "b5462a", "3a3a3a"))
)
LIPS = paint("9c4a44")

CRANIUM = (lump((0, 0.10, 0.645), 0.335), lump((0, -0.06, 0.665), 0.325))
FACE = (
    limb((0, -0.12, 0.46), (0, -0.215, 0.145), 0.26, 0.135),
    limb((0.15, -0.03, 0.30), (0.03, -0.2, 0.13), 0.13, 0.11),
    limb((-0.15, -0.03, 0.30), (-0.03, -0.2, 0.13), 0.13, 0.11),
    limb((0.15, -0.2, 0.40), (-0.15, -0.2, 0.40), 0.14),
    limb((0.14, -0.325, 0.585), (-0.14, -0.325, 0.585), 0.062),
    limb((0, -0.38, 0.53), (0, -0.455, 0.365), 0.03, 0.042),
    limb((0.035, -0.40, 0.345), (-0.035, -0.40, 0.345), 0.034),
)
EARS = tuple(limb((side * 0.325, 0.03, 0.42), (side * 0.35, 0.06, 0.55), 0.032, 0.048) for side in SIDES)
HAIR_GROWS = beyond((0, -0.05, 0.47), (0, 0.35, 0.45))  # above a line from the sideburns to the nape
FACE_IS_FREE = lump((0, -0.62, 0.43), 0.56)
BACK_OF_THE_HEAD = beyond((0, 0.0, 0), (0, 1, 0.05))
NAPE = limb((0, 0.18, 0.5), (0, 0.16, 0.28), 0.24, 0.19)


@dataclass(frozen=True, eq=False)
class HeadFrame:
    """Position, size and direction of a head.

    Attributes:
        chin: position of the chin, [3] metres.
        height: height of the head, metres.
        yaw_degrees: turn to the left.
    """

    chin: Point
    height: float
    yaw_degrees: float

    def point(self, local: Iterable[float]) -> Point:
        """Take a point in heights of the head to the body's frame."""
        x, y, z = local
        sine, cosine = np.sin(np.radians(self.yaw_degrees)), np.cos(np.radians(self.yaw_degrees))
        return self.chin + self.height * np.array([cosine * x - sine * y, sine * x + cosine * y, z])

    def tubes(self, local: Iterable[Tube]) -> tuple[Tube, ...]:
        """Take tubes in heights of the head to the body's frame."""
        size = self.height
        return tuple(
            limb(
                self.point(tube.start), self.point(tube.end), size * tube.start_radius, size * tube.end_radius
            )
            for tube in local
        )

    def blend(
        self,
        local: Iterable[Tube],
        material: Material,
        smoothing: float = 0.05,
        within: Iterable[Tube] = (),
        without: Iterable[Tube] = (),
        resolution: float = 0.03,
    ) -> Part:
        """Build a part from the smooth union of tubes; all measures are in heights of the head."""
        return blended(
            self.tubes(local),
            material,
            smoothing=smoothing * self.height,
            resolution=resolution * self.height,
            within=self.tubes(within),
            without=self.tubes(without),
        )

    def ball(self, center: Iterable[float], radii: tuple[float, float, float], material: Material) -> Part:
        """Build an ellipsoid; all measures are in heights of the head."""
        pose = Pose(vector(self.point(center)), self.yaw_degrees)
        return Part(Ball(vector(self.height * np.array(radii))), material, pose)


def head(rng: np.random.Generator, physique: Physique, chin: Point, skin: Material) -> tuple[Part, ...]:
    """Build a head with face, hair, beard and hat."""
    frame = HeadFrame(chin, physique.head, round(float(rng.normal(0, 14)), 2))
    hat = rng.random() < 0.2
    old = not physique.child and rng.random() < 0.15
    colors = HAIR_COLORS if skin.color[0] > 0.4 else HAIR_COLORS[:3]  # people with dark skin get dark hair
    hair = Material(vary(rng, pick(rng, OLD_HAIR_COLORS if old else colors)), 0.6)
    parts = [frame.blend((*CRANIUM, *FACE, *EARS), skin), *_features(rng, frame, skin, hair)]
    parts += _hair(rng, frame, hair, physique.feminine > 0.5 or (physique.child and rng.random() < 0.5), hat)
    if physique.feminine < 0.3 and not physique.child and rng.random() < 0.35:
        parts.append(_beard(rng, frame, hair))
    if hat:
        parts += _hat(rng, frame)
    return tuple(parts)


def _features(rng: np.random.Generator, frame: HeadFrame, skin: Material, hair: Material) -> list[Part]:
    white, iris = Material((0.62, 0.6, 0.57), 0.3), Material(pick(rng, EYE_COLORS), 0.1)
    brow = replace(hair, color=shade(hair.color, 0.7))
    red, green, blue = (0.5 * (a + b) for a, b in zip(skin.color, LIPS, strict=True))
    shadow = Material(shade(skin.color, 0.3), 0.8)
    lips = Material((0.9 * red, 0.8 * green, 0.8 * blue), 0.5)
    mouth = [limb((side * 0.09, -0.335, 0.222), (0, -0.352, 0.222), 0.02, 0.03) for side in SIDES]
    parts = [frame.blend(mouth, lips, 0.01, resolution=0.02)]
    for side in SIDES:
        eyebrow = limb((side * 0.075, -0.397, 0.61), (side * 0.225, -0.342, 0.622), 0.024, 0.014)
        lid = limb((side * 0.085, -0.36, 0.525), (side * 0.21, -0.325, 0.52), 0.016, 0.014)
        parts += [
            frame.ball((side * 0.148, -0.322, 0.498), (0.062, 0.045, 0.03), white),
            frame.ball((side * 0.148, -0.349, 0.499), (0.028, 0.022, 0.028), iris),
            frame.blend((eyebrow,), brow, 0.01, resolution=0.02),
            frame.blend((lid,), shadow, 0.01, resolution=0.02),
        ]
    return parts


def _hair(rng: np.random.Generator, frame: HeadFrame, hair: Material, long: bool, hat: bool) -> list[Part]:
    """Build hair that is cropped, combed, curly or long."""
    if long:
        return [_long_hair(rng, frame, hair, hat)]
    style = "cropped" if hat else pick(rng, ("cropped", "combed", "combed", "curly"))
    cap = grown((*CRANIUM, NAPE), {"cropped": 0.02, "combed": 0.03, "curly": 0.1}[style])
    if style == "combed":
        cap += _combed(rng)
    return [frame.blend(cap, hair, 0.03, (HAIR_GROWS,), (FACE_IS_FREE,), 0.04)]


def _combed(rng: np.random.Generator) -> tuple[Tube, ...]:
    """Build locks that run across the top of the head to one side."""
    side = pick(rng, SIDES)
    turns = np.radians([-25, 15, 50, 80])
    volume = rng.uniform(0.0, 0.04)
    locks = []
    for y in np.linspace(-0.3, 0.3, 7):
        reach = np.sqrt(0.36**2 - 0.55 * y * y) + volume + rng.uniform(-0.01, 0.015)
        path = [(side * reach * np.sin(turn), y + 0.03 * turn, 0.64 + reach * np.cos(turn)) for turn in turns]
        locks += [limb(start, end, 0.05) for start, end in pairwise(path)]
    return tuple(locks)


def _long_hair(rng: np.random.Generator, frame: HeadFrame, hair: Material, hat: bool) -> Part:
    """Build long hair that falls loose, is cut to a bob, or is tied to a tail or a knot."""
    cap = grown((*CRANIUM, NAPE), 0.03)
    style = pick(rng, ("loose", "loose", "bob", "tail", "knot"))
    if style == "tail":
        cap += (
            limb((0, 0.46, 0.72), (0, 0.58, 0.5), 0.07, 0.1),
            limb((0, 0.58, 0.5), (0, 0.52, -0.1), 0.1, 0.04),
        )
    elif style == "knot":
        cap += (lump((0, 0.4, 0.5 if hat else 0.84), 0.15),)
    else:
        end = 0.12 if style == "bob" else rng.uniform(-0.6, -0.15)
        for angle in np.radians(np.linspace(-105, 105, 11)):
            out = np.array([np.sin(angle), np.cos(angle), 0])
            wave = rng.uniform(-0.02, 0.03)
            last = end + rng.uniform(-0.05, 0.05)
            path = [
                shifted(0.33 * out, y=0.05, z=0.68),
                shifted((0.37 + wave) * out, y=0.04, z=0.4),
                shifted((0.34 + wave) * out, y=0.07, z=last),
            ]
            cap += tuple(limb(start, end, 0.075, 0.06) for start, end in pairwise(path))
    if style != "knot" and not hat:
        cap += _combed(rng)
    return frame.blend(cap, hair, 0.03, (HAIR_GROWS, BACK_OF_THE_HEAD), (FACE_IS_FREE,), 0.04)


def _beard(rng: np.random.Generator, frame: HeadFrame, hair: Material) -> Part:
    growth = pick(rng, (0.012, 0.03, 0.05))
    below = beyond((0, -0.3, 0.31), (0, 0.12, -1))
    return frame.blend(grown(FACE[:3], growth), hair, 0.05, (below,))


def _hat(rng: np.random.Generator, frame: HeadFrame) -> list[Part]:
    """Build a peaked cap, a woollen cap or a straw hat."""
    cloth = Material(vary(rng, pick(rng, HAT_COLORS)), 0.95)
    kind = pick(rng, ("cap", "cap", "beanie", "brim"))
    if kind == "beanie":
        wool = replace(
            cloth, pattern=Pattern.STRIPES, second_color=shade(cloth.color, 0.6), pattern_meters=0.04
        )
        above = beyond((0, -0.4, 0.76), (0, 0.3, 1))
        return [frame.blend(grown((*CRANIUM, lump((0, 0.05, 0.75), 0.3)), 0.07), wool, 0.1, (above,))]
    if kind == "cap":
        above = beyond((0, -0.4, 0.755), (0, 0.18, 1))
        peak = frame.ball((0, -0.46, 0.76), (0.27, 0.3, 0.025), cloth)
        return [frame.blend(grown(CRANIUM, 0.06), cloth, 0.08, (above,)), peak]
    profile = ((0.0, 0.0), (0.8, -0.02), (0.8, 0.0), (0.43, 0.06), (0.38, 0.26), (0.28, 0.33), (0.0, 0.34))
    straw = Material(vary(rng, paint("cdb27c")), 0.95)
    band = ((0.43, 0.05), (0.44, 0.06), (0.425, 0.13), (0.40, 0.13))
    pose = Pose(vector(frame.point((0, 0.02, 0.76))), frame.yaw_degrees)
    return [
        Part(Lathe(tuple((r * frame.height, z * frame.height) for r, z in points)), material, pose)
        for points, material in ((profile, straw), (band, cloth))
    ]
