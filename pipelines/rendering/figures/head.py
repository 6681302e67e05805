"""Heads: faces, hair, beards and hats. Measures are in heights of the head, its chin at the origin."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from pipelines.rendering.description import Ball, Lathe, Material, Part, Pattern, Pose, Tube
from pipelines.rendering.figures.anatomy import Physique
from pipelines.rendering.figures.flesh import Point, beyond, blended, grown, limb, lump, vector
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
EARS = tuple(limb((side * 0.325, 0.03, 0.42), (side * 0.35, 0.06, 0.55), 0.032, 0.048) for side in (1, -1))
HAIRLINE, ABOVE_THE_HAIRLINE = (0, -0.36, 0.82), (0, 0.60, 0.66)
BACK_OF_THE_HEAD = beyond((0, 0.0, 0), (0, 1, 0.05))
NAPE = limb((0, 0.18, 0.5), (0, 0.16, 0.28), 0.24, 0.19)


@dataclass(frozen=True, eq=False)
class Place:
    """Where a head is: its chin, its height and where it looks."""

    chin: Point
    height: float
    yaw_degrees: float

    def point(self, local: Iterable[float]) -> Point:
        x, y, z = local
        sine, cosine = np.sin(np.radians(self.yaw_degrees)), np.cos(np.radians(self.yaw_degrees))
        return self.chin + self.height * np.array([cosine * x - sine * y, sine * x + cosine * y, z])

    def tubes(self, local: Iterable[Tube]) -> tuple[Tube, ...]:
        size = self.height
        return tuple(
            limb(
                self.point(tube.start), self.point(tube.end), size * tube.start_radius, size * tube.end_radius
            )
            for tube in local
        )

    def blend(
        self, local: Iterable[Tube], material: Material, smoothing: float = 0.05, within: Iterable[Tube] = ()
    ) -> Part:
        return blended(
            self.tubes(local), material, smoothing * self.height, 0.027 * self.height, self.tubes(within)
        )

    def ball(self, center: Iterable[float], radii: tuple[float, float, float], material: Material) -> Part:
        pose = Pose(vector(self.point(center)), self.yaw_degrees)
        return Part(Ball(vector(self.height * np.array(radii))), material, pose)


def head(rng: np.random.Generator, physique: Physique, chin: Point, skin: Material) -> tuple[Part, ...]:
    """A head upon a neck, with its hair and what it wears."""
    place = Place(chin, physique.head, round(float(rng.normal(0, 14)), 2))
    hat = rng.random() < 0.2
    old = not physique.child and rng.random() < 0.15
    hair = Material(vary(rng, pick(rng, OLD_HAIR_COLORS if old else HAIR_COLORS)), 0.6)
    parts = [place.blend((*CRANIUM, *FACE, *EARS), skin), *_features(rng, place, skin, hair)]
    parts += _hair(rng, place, hair, physique.feminine > 0.5 or (physique.child and rng.random() < 0.5), hat)
    if physique.feminine < 0.3 and not physique.child and rng.random() < 0.35:
        parts.append(_beard(rng, place, hair))
    if hat:
        parts += _hat(rng, place)
    return tuple(parts)


def _features(rng: np.random.Generator, place: Place, skin: Material, hair: Material) -> list[Part]:
    white, iris = Material((0.75, 0.73, 0.7), 0.2), Material(pick(rng, EYE_COLORS), 0.1)
    brow = replace(hair, color=shade(hair.color, 0.7))
    red, green, blue = (0.5 * (a + b) for a, b in zip(skin.color, LIPS, strict=True))
    lips = Material((0.9 * red, 0.8 * green, 0.8 * blue), 0.5)
    parts = [
        place.blend(
            (
                limb((0.09, -0.335, 0.222), (0, -0.352, 0.222), 0.02, 0.03),
                limb((-0.09, -0.335, 0.222), (0, -0.352, 0.222), 0.02, 0.03),
            ),
            lips,
            0.01,
        )
    ]
    for side in (1, -1):
        parts += [
            place.ball((side * 0.14, -0.318, 0.5), (0.066, 0.05, 0.036), white),
            place.ball((side * 0.14, -0.345, 0.5), (0.033, 0.03, 0.033), iris),
            place.blend(
                (limb((side * 0.07, -0.375, 0.592), (side * 0.21, -0.325, 0.605), 0.02, 0.014),), brow, 0.01
            ),
        ]
    return parts


def _hair(rng: np.random.Generator, place: Place, hair: Material, long: bool, hat: bool) -> list[Part]:
    """Cropped, short, full or curly; long hair falls loose, to a tail or into a knot."""
    top = (beyond(HAIRLINE, ABOVE_THE_HAIRLINE),)
    thickness = 0.035 if hat else pick(rng, (0.02, 0.04, 0.055, 0.07))
    cap = grown((*CRANIUM, NAPE), thickness)
    if not long:
        if rng.random() < 0.12 and not hat:
            cap = grown((*CRANIUM, NAPE), 0.14)
        return [place.blend(cap, hair, 0.06, top)]
    style = pick(rng, ("loose", "loose", "bob", "tail", "knot"))
    if style == "tail":
        tail = (
            limb((0, 0.46, 0.72), (0, 0.56, 0.5), 0.07, 0.1),
            limb((0, 0.56, 0.5), (0, 0.5, -0.05), 0.1, 0.04),
        )
        return [place.blend((*cap, *tail), hair, 0.06, (*top, BACK_OF_THE_HEAD))]
    if style == "knot":
        return [place.blend((*cap, lump((0, 0.4, 0.84), 0.15)), hair, 0.04, top)]
    end = 0.1 if style == "bob" else rng.uniform(-0.75, -0.2)
    fall = [limb((0, 0.2, 0.6), (0, 0.27, end), 0.27, 0.14)]
    for side in (1, -1):
        fall += [
            limb((side * 0.25, 0.05, 0.7), (side * 0.28, 0.06, 0.2), 0.12, 0.11),
            limb((side * 0.28, 0.06, 0.2), (side * 0.2, 0.2, end), 0.11, 0.09),
        ]
    return [place.blend((*cap, *fall), hair, 0.06, (*top, BACK_OF_THE_HEAD))]


def _beard(rng: np.random.Generator, place: Place, hair: Material) -> Part:
    growth = pick(rng, (0.012, 0.03, 0.05))
    below = beyond((0, -0.3, 0.31), (0, 0.12, -1))
    return place.blend(grown(FACE[:3], growth), hair, 0.05, (below,))


def _hat(rng: np.random.Generator, place: Place) -> list[Part]:
    """A peaked cap, a woollen one or a straw hat."""
    cloth = Material(vary(rng, pick(rng, HAT_COLORS)), 0.95)
    kind = pick(rng, ("cap", "cap", "beanie", "brim"))
    if kind == "beanie":
        wool = replace(
            cloth, pattern=Pattern.STRIPES, second_color=shade(cloth.color, 0.6), pattern_meters=0.04
        )
        above = beyond((0, -0.4, 0.76), (0, 0.3, 1))
        return [place.blend(grown((*CRANIUM, lump((0, 0.05, 0.75), 0.3)), 0.07), wool, 0.1, (above,))]
    if kind == "cap":
        above = beyond((0, -0.4, 0.755), (0, 0.18, 1))
        peak = place.ball((0, -0.46, 0.76), (0.27, 0.3, 0.025), cloth)
        return [place.blend(grown(CRANIUM, 0.06), cloth, 0.08, (above,)), peak]
    profile = ((0.0, 0.0), (0.8, -0.02), (0.8, 0.0), (0.43, 0.06), (0.38, 0.26), (0.28, 0.33), (0.0, 0.34))
    straw = Material(vary(rng, paint("cdb27c")), 0.95)
    band = ((0.43, 0.05), (0.44, 0.06), (0.425, 0.13), (0.40, 0.13))
    pose = Pose(vector(place.point((0, 0.02, 0.76))), place.yaw_degrees)
    return [
        Part(Lathe(tuple((r * place.height, z * place.height) for r, z in points)), material, pose)
        for points, material in ((profile, straw), (band, cloth))
    ]
