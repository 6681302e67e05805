"""Clothes: the tubes of a body, a little thicker, cut off at collar, cuffs and hem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from pipelines.rendering.description import Box, Color, Material, Part, Pattern, Pose, Tube
from pipelines.rendering.figures.anatomy import ANKLE, Body, Leg, arm, leg, seat, torso, upward
from pipelines.rendering.figures.body_tubes import Point, beyond, blended, grown, limb, lump, shifted, vector
from pipelines.rendering.parts import paint, pick, shade, vary

RESOLUTION_METERS = 0.018
SMOOTHING_METERS = 0.03
TOPS = tuple(map(paint, (
    "e8e4da", "c23b2e", "2f5d8c", "e0b23c", "3c7a52", "1d1f24", "7a3b6a", "d9782f", "8fb4cf", "5b6068",
    "e7a9b0", "1f3a5f", "6b7d3a", "a52a3a", "3a9a9a",
)))  # fmt: skip
TROUSERS = tuple(map(paint, (
    "2b3f63", "1c2740", "17181b", "a8946c", "5a5f66", "54412f", "50553a", "3f5c86", "cfc8b8", "6b2a33",
)))  # fmt: skip
JACKETS = tuple(map(paint, ("1d2330", "4b3323", "2e3b2c", "6b6f74", "7a2a26", "b59a6a", "111214", "294a6b")))
SHOES = tuple(map(paint, ("141414", "4a2c1a", "e6e3dc", "7a1f1f", "2a3550", "8a6a44")))
LEATHER = paint("2e1d12")


@dataclass(frozen=True)
class Outfit:
    """Clothes of one person.

    Attributes:
        parts: clothes and shoes.
        sleeve: length of the arms that is covered, as the `reach` of `anatomy.arm`.
        bare_legs: whether the legs are not covered.
    """

    parts: tuple[Part, ...]
    sleeve: float
    bare_legs: bool


def dress(rng: np.random.Generator, body: Body) -> Outfit:
    """Draw the clothes of one person."""
    feminine = body.physique.feminine > 0.5 or (body.physique.child and rng.random() < 0.4)
    cloth = _cloth(rng, TOPS)
    sleeve = float(
        pick(rng, (0.0, 0.55, 0.6, 0.6, 1.5, 1.97, 1.97) if feminine else (0.6, 0.6, 0.65, 1.97, 1.97))
    )
    style = pick(rng, ("trousers", "trousers", "dress", "skirt")) if feminine else "trousers"
    shorts = style == "trousers" and rng.random() < (0.5 if body.physique.child else 0.15)
    if style == "dress":
        parts = [_top(body, cloth, sleeve, 0.009, skirt=_skirt(body, rng.uniform(0.75, 1.5)))]
    elif style == "skirt":
        parts = [_top(body, cloth, sleeve, 0.008, hem=body.waist), _skirt_alone(rng, body)]
    else:
        tucked = rng.random() < 0.4
        hem = shifted(body.pelvis, z=(0.075 if tucked else rng.uniform(0.015, 0.04)) * body.physique.height)
        parts = [_top(body, cloth, sleeve, 0.007, loose=0.0 if tucked else 0.024, hem=hem)]
        parts += _trousers(rng, body, shorts, tucked and rng.random() < 0.7)
    if rng.random() < 0.28:
        parts.append(_jacket(rng, body))
        sleeve = 1.97
    if rng.random() < 0.1:
        parts += _backpack(rng, body)
    return Outfit((*parts, *_shoes(rng, body)), sleeve, shorts or style != "trousers")


def _cloth(rng: np.random.Generator, colors: Sequence[Color]) -> Material:
    """Draw a plain, woven, striped or chequered cloth."""
    color = vary(rng, pick(rng, colors))
    other = shade(color, 0.45) if rng.random() < 0.5 else vary(rng, pick(rng, colors))
    choice = rng.random()
    if choice < 0.55:
        return Material(color, 0.95)
    if choice < 0.8:
        period = round(float(rng.uniform(0.05, 0.12)), 3)
        return Material(color, 0.95, pattern=Pattern.STRIPES, second_color=other, pattern_meters=period)
    if choice < 0.9:
        period = round(float(rng.uniform(0.06, 0.12)), 3)
        return Material(color, 0.95, pattern=Pattern.CHECKER, second_color=other, pattern_meters=period)
    return Material(color, pattern=Pattern.NOISE, second_color=shade(color, 0.7), pattern_meters=0.04)


def _top(
    body: Body,
    cloth: Material,
    sleeve: float,
    ease: float,
    loose: float = 0.0,
    hem: Point | None = None,
    skirt: Sequence[Tube] = (),
) -> Part:
    """Build a shirt down to `hem` or a dress down to the hem of `skirt`; wider by `loose` about the hips."""
    size = body.physique.height
    sleeves = [grown(arm(body, index, sleeve), ease + 0.006) for index in (0, 1)] if sleeve else []
    covered = [tube for chain in sleeves for tube in chain]
    collar = limb(shifted(body.neck, z=-0.03 * size), shifted(body.neck, z=0.006 * size), 0.037 * size)
    tubes = (*grown(torso(body), ease), *grown(seat(body), ease + loose), *covered, *skirt, collar)
    within = (beyond(_hem(skirt) if hem is None else hem, (0, 0, 1)), *_below_the_hem(sleeves))
    cuffs = tuple(_end_of(chain[-1]) for chain in sleeves if sleeve < 1)
    return blended(tubes, cloth, SMOOTHING_METERS, RESOLUTION_METERS, within, cuffs)


def _trousers(rng: np.random.Generator, body: Body, shorts: bool, belted: bool) -> list[Part]:
    """Build long trousers or shorts."""
    cloth = Material(vary(rng, pick(rng, TROUSERS)), 0.95)
    reach = 0.75 if shorts else 1.98
    ease = float(rng.uniform(0.012, 0.019))
    legs = [grown(leg(body, index, reach), ease + 0.012 * shorts) for index in (0, 1)]
    tubes = (*grown(seat(body), ease), *legs[0], *legs[1])
    waistband = shifted(body.waist, z=-0.015 * body.physique.height)
    below = beyond(waistband, (0, 0, -1))
    cuffs = tuple(_end_of(chain[-1]) for chain in legs)
    parts = [blended(tubes, cloth, SMOOTHING_METERS, RESOLUTION_METERS, (below,), cuffs)]
    if belted:
        lower = beyond(shifted(waistband, z=-0.04), (0, 0, -1))
        belt = grown(seat(body), ease + 0.005)
        parts.append(blended(belt, Material(LEATHER, 0.4), SMOOTHING_METERS, 0.01, (below,), (lower,)))
    return parts


def _skirt(body: Body, length: float) -> tuple[Tube, ...]:
    """Build the tubes of a skirt from the waist around both thighs; its length is in lengths of thighs."""
    size = body.thickness
    knees = [joints.hip + length * (joints.knee - joints.hip) for joints in body.legs]
    between = (knees[0] + knees[1]) / 2
    tubes = [
        limb(body.waist, body.pelvis, 0.055 * size, 0.07 * size),
        limb(body.pelvis, between, 0.07 * size),
    ]
    for side, knee in zip((1, -1), knees, strict=True):
        top = shifted(body.pelvis, side * 0.03 * size, z=0.02 * size)
        tubes.append(limb(top, shifted(knee, side * 0.02 * size), 0.068 * size, 0.075 * size))
    return tuple(tubes)


def _hem(skirt: Sequence[Tube]) -> Point:
    return np.array(max(skirt[2:], key=lambda tube: tube.end[2]).end)


def _skirt_alone(rng: np.random.Generator, body: Body) -> Part:
    tubes = (*_skirt(body, rng.uniform(0.7, 1.4)), *grown(seat(body), 0.012))
    below = beyond(shifted(body.waist, z=0.01), (0, 0, 1))
    cloth = _cloth(rng, (*TROUSERS, *TOPS))
    return blended(tubes, cloth, 0.05, RESOLUTION_METERS, (beyond(_hem(tubes[:4]), (0, 0, 1)),), (below,))


def _jacket(rng: np.random.Generator, body: Body) -> Part:
    """Build a jacket that is open in front, from the collar down to its buttons."""
    size = body.physique.height
    ease = 0.022
    cloth = Material(vary(rng, pick(rng, JACKETS)), float(pick(rng, (0.5, 0.9, 0.95))))
    sleeves = [grown(arm(body, index, 1.95), ease + 0.003) for index in (0, 1)]
    covered = (*sleeves[0], *sleeves[1])
    collar = limb(
        shifted(body.neck, y=0.01, z=-0.02 * size), shifted(body.neck, y=0.01, z=0.018 * size), 0.042 * size
    )
    hem = shifted(body.pelvis, z=rng.uniform(-0.07, 0.02) * size)
    tails = [
        limb(
            body.pelvis,
            joints.hip + 0.4 * (joints.knee - joints.hip),
            0.067 * size * body.physique.girth + ease,
        )
        for joints in body.legs
    ]
    depth = 0.075 * size * body.physique.girth
    path = [
        shifted(body.neck, y=-0.03 * size),
        shifted(body.chest, y=-1.3 * depth),
        shifted(body.waist, y=-2.4 * depth - 0.03),
    ]
    gap = [limb(start, end, 0.045 * size) for start, end in pairwise(path)]
    return blended(
        (*grown(torso(body), ease), *grown(seat(body), ease + 0.012), *covered, *tails, collar),
        cloth,
        SMOOTHING_METERS,
        RESOLUTION_METERS,
        (beyond(hem, (0, 0, 1)), *_below_the_hem(sleeves)),
        gap,
    )


def _below_the_hem(sleeves: Sequence[tuple[Tube, ...]]) -> tuple[Tube, ...]:
    """Return the tubes of the lower arms, which a hem must not cut off."""
    return tuple(tube for chain in sleeves for tube in grown(chain[1:], 0.004))


def _end_of(tube: Tube) -> Tube:
    """Return the ball that cuts the round end off a sleeve or trouser leg."""
    end, ahead = np.array(tube.end), np.subtract(tube.end, tube.start)
    radius = 1.25 * tube.end_radius
    return lump(end + 0.95 * radius * ahead / np.linalg.norm(ahead), radius)


def _backpack(rng: np.random.Generator, body: Body) -> list[Part]:
    size = body.physique.height
    cloth = Material(vary(rng, pick(rng, JACKETS)), 0.9)
    back = shifted(body.chest, y=0.075 * size * body.physique.girth + 0.07, z=-0.03 * size)
    parts = [Part(Box(vector((0.17 * size, 0.15, 0.25 * size)), 0.05), cloth, Pose(vector(back)))]
    for joints in body.arms:
        over = body.neck + 0.62 * (joints.shoulder - body.neck)
        aside = over[0] - body.neck[0]
        path = [
            shifted(back, aside, -0.06, 0.1 * size),
            shifted(over, z=0.036 * size),
            shifted(over, y=-0.078 * size, z=-0.03 * size),
            shifted(over, 0.2 * aside, -0.086 * size, -0.1 * size),
            shifted(back, 1.2 * aside, -0.06, -0.1 * size),
        ]
        strap = [limb(start, end, 0.017) for start, end in pairwise(path)]
        parts.append(blended(strap, replace(cloth, color=shade(cloth.color, 0.6)), 0.01, 0.008))
    return parts


def _shoes(rng: np.random.Generator, body: Body) -> list[Part]:
    upper = Material(vary(rng, pick(rng, SHOES)), float(pick(rng, (0.35, 0.8))))
    light = rng.random() < 0.45
    rubber = Material(paint("dedad0") if light else shade(upper.color, 0.4), 0.8)
    boots = rng.random() < 0.2
    return [
        part for joints in body.legs for part in _shoe(joints, body.physique.height, upper, rubber, boots)
    ]


def _shoe(joints: Leg, size: float, upper: Material, rubber: Material, boots: bool) -> list[Part]:
    up, ahead = upward(joints), joints.toes
    ground = joints.ankle - ANKLE * size * up
    heel, ball = ground + size * (0.022 * up - 0.012 * ahead), ground + size * (0.018 * up + 0.082 * ahead)
    tip = ground + size * (0.016 * up + 0.108 * ahead)
    tubes = [
        limb(heel, ball, 0.022 * size, 0.025 * size),
        limb(ball, tip, 0.025 * size, 0.018 * size),
        limb(joints.ankle, ball, 0.025 * size, 0.018 * size),
        limb(heel, joints.ankle, 0.022 * size, 0.025 * size),
    ]
    if boots:
        tubes.append(
            limb(joints.ankle, joints.ankle + 0.3 * (joints.knee - joints.ankle), 0.025 * size, 0.03 * size)
        )
    floor = beyond(ground, -up)
    sole = beyond(ground + 0.011 * size * up, -up)
    return [
        blended(tubes, upper, 0.015, 0.01, without=(floor,)),
        blended(grown(tubes[:2], 0.005), rubber, 0.015, 0.01, (sole,), (floor,)),
    ]
