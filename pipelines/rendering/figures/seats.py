"""Couches and chairs."""

from __future__ import annotations

import math

import numpy as np

from pipelines.rendering.description import Material, Part, Pattern, Role, Thing
from pipelines.rendering.parts import (
    ball,
    block,
    box,
    cylinder,
    paint,
    pick,
    shade,
    side_view,
    tube,
    turned_profile,
    vary,
)

FABRICS = tuple(
    paint(srgb)
    for srgb in (
        "7a8288",
        "3f5f7a",
        "8c3b3b",
        "b9a98c",
        "5b6b4a",
        "6a4a3a",
        "d0c8ba",
        "2f3a48",
        "b5803a",
        "4a7a74",
    )
)
WOODS = tuple(paint(srgb) for srgb in ("8a6642", "5a3c28", "a8845a", "3a2a20", "c0a078"))
STEEL = Material(paint("b8bcc0"), roughness=0.3, metallic=True)
BLACK = Material(paint("242526"), roughness=0.5)


def couch(rng: np.random.Generator) -> Thing:
    """Build an upholstered couch for two or three with cushions, 1.5 to 2.3 m wide."""
    seats = int(rng.integers(2, 4))
    cloth = _upholstery(rng, pick(rng, FABRICS))
    pillow = _upholstery(rng, pick(rng, FABRICS))
    arm = rng.uniform(0.16, 0.26)
    seat = rng.uniform(0.4, 0.46)
    depth = rng.uniform(0.85, 0.95)
    inner = seats * rng.uniform(0.58, 0.66)
    width = inner + 2 * arm
    foot = rng.uniform(0.06, 0.14)
    back = rng.uniform(0.78, 0.9)
    arm_height = rng.uniform(0.56, 0.66)
    rear = depth / 2
    parts = [
        block((width - 0.04, depth - 0.06, seat - 0.16 - foot), (0, 0, foot), cloth, bevel=0.03),
        box(
            (width - 0.04, 0.2, back - foot),
            (0, rear - 0.12, foot + (back - foot) / 2),
            cloth,
            bevel=0.06,
            roll=-4,
        ),
        *_armrests(rng, width, depth, arm, arm_height, foot, cloth),
        *_legs(rng, width, depth, foot),
    ]
    for index in range(seats):
        x = inner * ((index + 0.5) / seats - 0.5)
        wide = inner / seats - 0.008
        parts.append(block((wide, depth - 0.24, 0.17), (x, -0.11, seat - 0.16), cloth, bevel=0.045))
        parts.append(
            box(
                (wide - 0.02, 0.18, back - seat + 0.02),
                (x, rear - 0.29, (seat + back) / 2 + 0.01),
                cloth,
                bevel=0.07,
                roll=-14,
            )
        )
    for sign in (-1, 1):
        if rng.random() < 0.7:
            spot = (sign * (inner / 2 - 0.24), rear - 0.44, seat + 0.2)
            parts.append(
                box((0.4, 0.15, 0.38), spot, pillow, bevel=0.065, roll=-24, pitch=rng.uniform(-12, 12))
            )
    return Thing("couch", Role.FOREGROUND, tuple(parts))


def _upholstery(rng: np.random.Generator, color: tuple[float, float, float]) -> Material:
    color = vary(rng, color)
    if rng.random() < 0.25:
        return Material(color, roughness=0.4)  # leather
    pattern = pick(rng, (Pattern.NOISE, Pattern.NOISE, Pattern.NOISE, Pattern.STRIPES))
    size = 0.015 if pattern is Pattern.NOISE else rng.uniform(0.06, 0.12)
    return Material(color, pattern=pattern, second_color=shade(color, 0.8), pattern_meters=size)


def _armrests(
    rng: np.random.Generator,
    width: float,
    depth: float,
    arm: float,
    height: float,
    foot: float,
    cloth: Material,
) -> list[Part]:
    """Build square armrests, or rolled ones with a round top."""
    rolled = bool(rng.random() < 0.4)
    parts: list[Part] = []
    for sign in (-1, 1):
        x = sign * (width - arm) / 2
        top = height - (arm / 2 if rolled else 0)
        parts.append(block((arm, depth, top - foot), (x, 0, foot), cloth, bevel=0.02 if rolled else 0.05))
        if rolled:
            radius = arm * 0.58
            ends = (-depth / 2 + radius * 0.6, depth / 2 - radius)
            parts.append(tube((x, ends[0], height - radius), (x, ends[1], height - radius), radius, cloth))
    return parts


def _legs(rng: np.random.Generator, width: float, depth: float, height: float) -> list[Part]:
    material = pick(rng, (STEEL, BLACK, Material(pick(rng, WOODS), 0.5)))
    spots = [(sx * (width / 2 - 0.1), sy * (depth / 2 - 0.1)) for sx in (-1, 1) for sy in (-1, 1)]
    leg = ((0, 0), (0.02, 0), (0.032, height + 0.03), (0, height + 0.03))
    return [turned_profile(leg, (x, y, 0), material) for x, y in spots]


def chair(rng: np.random.Generator) -> Thing:
    """Build a wooden chair, an office chair, a shell on four legs or a bar stool with a back."""
    build = pick(rng, (_wooden_chair, _wooden_chair, _office_chair, _shell_chair, _bar_stool))
    return Thing("chair", Role.FOREGROUND, tuple(build(rng)))


def _wood(rng: np.random.Generator) -> Material:
    color = vary(rng, pick(rng, (*WOODS, paint("e2ded4"), paint("7a2f28"), paint("3f5f6a"))))
    return Material(color, 0.4, pattern=Pattern.NOISE, second_color=shade(color, 0.75), pattern_meters=0.05)


def _wooden_chair(rng: np.random.Generator) -> list[Part]:
    """Build four legs with rungs, a seat, and a back of slats or rails between the rear legs."""
    wood = _wood(rng)
    cover = pick(rng, (wood, _upholstery(rng, pick(rng, FABRICS))))
    wide, deep, seat, top = rng.uniform(0.4, 0.46), rng.uniform(0.4, 0.44), 0.45, rng.uniform(0.85, 1.0)
    x = wide / 2 - 0.025
    y = deep / 2 - 0.025
    leg = rng.uniform(0.016, 0.022)
    post = (
        (y - leg, 0),
        (y + leg, 0),
        (y + leg, seat),
        (y + leg + 0.09, top),
        (y - leg + 0.1, top),
        (y - leg, seat),
    )
    parts = [block((wide, deep, 0.035), (0, 0, seat - 0.035), cover, bevel=0.015)]
    for sign in (-1, 1):
        parts.append(tube((sign * x, -y, 0.016), (sign * x, -y, seat - 0.03), 0.016, wood, 0.022))
        parts.append(side_view(post, 2 * leg, (sign * x, 0, 0), wood))
        parts.append(tube((sign * x, -y, 0.2), (sign * x, y, 0.2), 0.011, wood))
    parts.append(tube((-x, 0, 0.2), (x, 0, 0.2), 0.01, wood))
    parts.append(block((wide - 0.04, 0.025, 0.06), (0, -y, seat - 0.09), wood))
    return parts + _back(rng, wide, y, seat, top, wood)


def _back(
    rng: np.random.Generator, wide: float, y: float, seat: float, top: float, wood: Material
) -> list[Part]:
    def behind(z: float) -> float:
        return y + 0.095 * (z - seat) / (top - seat)

    lean = -math.degrees(math.atan2(0.095, top - seat))
    if rng.random() < 0.5:
        levels = [seat + (top - seat) * share for share in (0.3, 0.6, 0.92)]
        return [
            box((wide - 0.05, 0.02, 0.07), (0, behind(z), z), wood, bevel=0.006, roll=lean) for z in levels
        ]
    rails = [
        box((wide - 0.05, 0.026, tall), (0, behind(z), z), wood, bevel=0.008, roll=lean)
        for z, tall in ((top - 0.05, 0.09), (seat + 0.12, 0.04))
    ]
    low, high = seat + 0.12, top - 0.06
    slats = []
    for index in range(5):
        x = (wide - 0.12) * (index / 4 - 0.5)
        slats.append(
            box((0.03, 0.012, high - low), (x, behind((low + high) / 2), (low + high) / 2), wood, roll=lean)
        )
    return rails + slats


def _office_chair(rng: np.random.Generator) -> list[Part]:
    """Build a padded seat and back on a column over five arms with castors."""
    cloth = _upholstery(rng, pick(rng, (*FABRICS, paint("242526"), paint("242526"))))
    frame = pick(rng, (BLACK, STEEL))
    top = rng.uniform(1.0, 1.2)
    parts = [cylinder(0.026, 0.32, (0, 0, 0.1), STEEL), cylinder(0.045, 0.1, (0, 0, 0.08), frame)]
    for arm in range(5):
        angle = math.tau * (arm + 0.25) / 5
        x, y = math.cos(angle) * 0.29, math.sin(angle) * 0.29
        parts.append(tube((0, 0, 0.12), (x, y, 0.075), 0.028, frame, 0.018))
        parts.append(ball((0.028, 0.028, 0.03), (x, y, 0.03), BLACK))
    parts.append(block((0.24, 0.24, 0.03), (0, 0, 0.4), BLACK))
    parts.append(block((0.5, 0.49, 0.09), (0, 0, 0.43), cloth, bevel=0.04))
    parts.append(box((0.46, 0.09, top - 0.58), (0, 0.26, (top + 0.58) / 2), cloth, bevel=0.042, roll=-9))
    parts.append(box((0.07, 0.025, 0.36), (0, 0.285, 0.58), frame, roll=-9))
    parts.append(box((0.07, 0.2, 0.025), (0, 0.19, 0.42), frame))
    if rng.random() < 0.7:
        for sign in (-1, 1):
            parts.append(block((0.03, 0.05, 0.26), (sign * 0.28, 0.03, 0.44), frame))
            parts.append(block((0.07, 0.27, 0.035), (sign * 0.28, 0.0, 0.69), BLACK, bevel=0.014))
            parts.append(block((0.14, 0.05, 0.02), (sign * 0.22, 0.03, 0.425), frame))
    return parts


def _shell_chair(rng: np.random.Generator) -> list[Part]:
    """Build a bent shell, seat and back in one, on four splayed legs."""
    shell = Material(vary(rng, pick(rng, (*FABRICS, paint("e4e2dc"), paint("d0a02a"), paint("c0482a")))), 0.3)
    legs = pick(rng, (STEEL, BLACK, _wood(rng)))
    spine = (
        (-0.23, 0.41),
        (-0.2, 0.44),
        (-0.1, 0.445),
        (0.05, 0.43),
        (0.14, 0.44),
        (0.19, 0.49),
        (0.22, 0.58),
        (0.25, 0.7),
        (0.27, 0.82),
    )
    under = [(y + 0.012 * (z - 0.4) / 0.4, z - 0.014) for y, z in spine[:4]]
    under += [(y + 0.014, z - 0.006) for y, z in spine[4:]]
    parts = [side_view((*under, *spine[::-1]), 0.45, (0, 0, 0), shell, lean=0.03)]
    wing = ((-0.18, 0.435), (0.1, 0.43), (0.2, 0.5), (0.24, 0.62), (0.16, 0.56), (0.02, 0.5))
    parts += [side_view(wing, 0.018, (sign * 0.215, 0, 0), shell, bevel=0.004) for sign in (-1, 1)]
    for sx in (-1, 1):
        for sy in (-1, 1):
            parts.append(tube((sx * 0.23, sy * 0.22, 0.012), (sx * 0.14, sy * 0.13, 0.43), 0.012, legs))
        parts.append(tube((sx * 0.2, -0.19, 0.16), (sx * 0.2, 0.19, 0.16), 0.007, legs))
    return parts


def _bar_stool(rng: np.random.Generator) -> list[Part]:
    """Build a high round seat with a low back, on splayed legs with a foot ring."""
    wood = pick(rng, (_wood(rng), BLACK, STEEL))
    cloth = _upholstery(rng, pick(rng, FABRICS))
    seat = rng.uniform(0.66, 0.76)
    cushion = (
        (0, seat - 0.04),
        (0.17, seat - 0.04),
        (0.19, seat - 0.02),
        (0.185, seat + 0.005),
        (0.15, seat + 0.02),
        (0, seat + 0.025),
    )
    parts = [turned_profile(cushion, (0, 0, 0), cloth)]
    ring = 0.19 + 0.02 * (1 - 0.25 / seat)
    parts.append(
        turned_profile(
            ((ring - 0.012, 0.24), (ring, 0.232), (ring + 0.012, 0.24), (ring, 0.252), (ring - 0.012, 0.24)),
            (0, 0, 0),
            STEEL,
        )
    )
    for sx in (-1, 1):
        parts += [
            tube((sx * 0.17, sy * 0.17, 0.014), (sx * 0.1, sy * 0.1, seat - 0.04), 0.014, wood, 0.017)
            for sy in (-1, 1)
        ]
        parts.append(tube((sx * 0.13, 0.13, seat - 0.02), (sx * 0.15, 0.2, seat + 0.24), 0.012, wood))
    parts.append(box((0.36, 0.03, 0.12), (0, 0.2, seat + 0.25), cloth, bevel=0.012, roll=-12))
    return parts
