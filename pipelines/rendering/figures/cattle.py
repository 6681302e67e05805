"""Cows: dairy and beef breeds that differ in coat, horns and build."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pipelines.rendering.description import Color, Material, Part, Pose, Role, Thing, Tube
from pipelines.rendering.figures.anatomy import SIDES
from pipelines.rendering.figures.body_tubes import (
    Frame,
    beyond,
    blended,
    grown,
    limb,
    lump,
    mirrored,
    path,
    shifted,
)
from pipelines.rendering.parts import paint, pick, shade, vary

SMOOTHING_METERS = 0.07
RESOLUTION_METERS = 0.026
FINE_METERS = 0.013
WHITE, BLACK, RED, TAN, CREAM = map(paint, ("e6e1d6", "17161a", "7a3a1f", "b07a48", "d8c3a0"))
PINK, HOOF, HORN = map(paint, ("cfa398", "2f2722", "d6cbb0"))


@dataclass(frozen=True)
class Breed:
    """Look of a breed.

    Attributes:
        coat: colour of the coat.
        patch: colour of the coat's patches; None where it has none.
        face: colour of the face.
        muzzle: colour of the muzzle.
        horned: whether the cow has horns.
        dairy: whether the cow has an udder.
    """

    coat: Color
    patch: Color | None
    face: Color
    muzzle: Color
    horned: bool
    dairy: bool


BREEDS = (
    Breed(WHITE, BLACK, BLACK, shade(PINK, 0.5), horned=False, dairy=True),  # Holstein
    Breed(WHITE, BLACK, WHITE, PINK, horned=True, dairy=True),
    Breed(WHITE, RED, WHITE, PINK, horned=True, dairy=True),  # Simmental
    Breed(RED, None, WHITE, PINK, horned=True, dairy=False),  # Hereford
    Breed(TAN, None, shade(TAN, 0.6), BLACK, horned=True, dairy=True),  # Jersey
    Breed(BLACK, None, BLACK, BLACK, horned=False, dairy=False),  # Angus
    Breed(CREAM, None, CREAM, PINK, horned=True, dairy=False),  # Charolais
    Breed(RED, None, shade(RED, 0.8), shade(PINK, 0.6), horned=True, dairy=True),
)

TRUNK = (
    limb((0, -0.5, 0.97), (0, 0.45, 0.98), 0.32, 0.34),
    lump((0, 0.08, 0.88), 0.36),
    *mirrored(
        (
            limb((0.1, -0.56, 1.02), (0.13, 0.6, 1.1), 0.22, 0.2),
            limb((0.15, 0.6, 1.05), (0.12, 0.8, 1.08), 0.2, 0.14),
        )
    ),
    limb((0, -0.5, 1.27), (0, 0.75, 1.25), 0.11, 0.09),
)
FOREHEAD = (
    *mirrored((limb((0.055, -0.02, 0.02), (0.06, 0.16, 0.0), 0.085, 0.085),)),
    limb((0, 0.1, -0.02), (0, 0.42, -0.035), 0.115, 0.078),
    limb((0, 0.05, -0.08), (0, 0.35, -0.085), 0.09, 0.06),
)
MUZZLE = (
    limb((0.035, 0.45, -0.03), (-0.035, 0.45, -0.03), 0.074),
    limb((0.02, 0.42, -0.095), (-0.02, 0.42, -0.095), 0.055),
)
EARS = mirrored(path(((0.1, -0.03, 0.03), (0.2, -0.06, 0.03), (0.3, -0.07, -0.02)), (0.04, 0.055, 0.025)))
HORNS = mirrored(path(((0.08, -0.04, 0.08), (0.2, -0.09, 0.14), (0.23, -0.08, 0.26)), (0.033, 0.028, 0.01)))


def cow(rng: np.random.Generator) -> Thing:
    """Build a cow that stands, walks or grazes."""
    breed = pick(rng, BREEDS)
    size = float(rng.uniform(0.93, 1.05))
    head, neck = _head_and_neck(rng)
    legs = _legs(rng)
    body = (*TRUNK, *neck, *(tube for chain in legs for tube in chain))
    coat = Material(vary(rng, breed.coat, 0.08), 0.9)
    parts = [blended(body, coat, SMOOTHING_METERS, RESOLUTION_METERS)]
    if breed.patch is not None:
        patches = Material(breed.patch, 0.85)
        blots = _patches(rng)
        parts.append(blended(grown(body, 0.007), patches, SMOOTHING_METERS, RESOLUTION_METERS, blots))
    if breed.dairy:
        teats = mirrored(limb((0.06, y, 0.6), (0.065, y, 0.49), 0.02, 0.014) for y in (0.36, 0.5))
        parts.append(blended((lump((0, 0.45, 0.66), 0.16), *teats), Material(PINK, 0.7), 0.05, FINE_METERS))
    parts += [*_face(head, breed), *_hooves(legs), *_tail(rng, coat, breed)]
    return Thing("cow", Role.FOREGROUND, tuple(replace(part, pose=Pose(scale=size)) for part in parts))


def _head_and_neck(rng: np.random.Generator) -> tuple[Frame, tuple[Tube, ...]]:
    """Draw the frame of a head that looks up, ahead or down to the grass, and build the neck to it."""
    position, nod = pick(rng, (((0, -1.06, 1.46), 38), ((0, -1.12, 1.34), 44), ((0, -1.18, 0.66), 64)))
    yaw = float(rng.uniform(-35, 35))
    poll = np.array([0.25 * np.sin(np.radians(yaw)), *position[1:]])
    throat = shifted(poll, y=0.1, z=-0.1)
    crest = path(
        ((0, -0.5, 1.2), 0.5 * shifted(poll, y=-0.5, z=1.2), shifted(poll, y=0.04, z=-0.02)),
        (0.16, 0.13, 0.1),
    )
    chest = path(((0, -0.66, 0.9), 0.5 * shifted(throat, y=-0.62, z=0.92), throat), (0.2, 0.15, 0.1))
    return Frame(poll, yaw, nod), (*crest, *chest)


def _legs(rng: np.random.Generator) -> tuple[tuple[Tube, ...], ...]:
    """Build four chains from the trunk to the hooves; in a walk the two of a diagonal swing together."""
    stride = float(pick(rng, (0.02, 0.11)))
    legs = []
    for side, front, swing in ((1, True, 1), (-1, False, 1), (-1, True, -1), (1, False, -1)):
        step = swing * stride + rng.uniform(-0.03, 0.03)
        if front:
            points = ((0.17, -0.54, 0.95), (0.19, -0.55 + 0.3 * step, 0.76),
                      (0.185, -0.58 + 0.6 * step, 0.46), (0.18, -0.55 + step, 0.13),
                      (0.18, -0.585 + step, 0.06))  # fmt: skip
            radii = (0.17, 0.112, 0.06, 0.041, 0.043)
        else:
            points = ((0.16, 0.68, 1.0), (0.2, 0.6 + 0.3 * step, 0.78), (0.19, 0.8 + 0.7 * step, 0.5),
                      (0.185, 0.75 + step, 0.14), (0.185, 0.71 + step, 0.06))  # fmt: skip
            radii = (0.21, 0.14, 0.063, 0.043, 0.044)
        legs.append(path([(side * x, y, z) for x, y, z in points], radii))
    return tuple(legs)


def _patches(rng: np.random.Generator) -> tuple[Tube, ...]:
    """Draw the regions of the coat's patches: blots on both flanks, the neck and the rump."""
    blots = []
    for y in np.linspace(-0.95, 0.95, 6):
        for side in SIDES:
            if rng.random() < 0.3:
                continue
            turn = rng.uniform(0.25, 1.35)
            middle = np.array(
                [side * 0.36 * np.sin(turn), y + rng.uniform(-0.12, 0.12), 0.98 + 0.36 * np.cos(turn)]
            )
            blots += [
                lump(middle + rng.normal(0, (0.06, 0.11, 0.1)), rng.uniform(0.09, 0.2)) for _ in range(4)
            ]
    return tuple(blots)


def _face(head: Frame, breed: Breed) -> list[Part]:
    face = Material(breed.face, 0.85)
    parts = [
        blended(head.tubes((*FOREHEAD, *EARS)), face, 0.05, FINE_METERS),
        blended(head.tubes(MUZZLE), Material(breed.muzzle, 0.45), 0.04, FINE_METERS),
    ]
    dark = Material((0.01, 0.008, 0.008), 0.15)
    nostrils = mirrored((limb((0.05, 0.515, 0.0), (0.06, 0.505, -0.02), 0.02),))
    eyes = mirrored((lump((0.118, 0.13, 0.015), 0.032),))
    parts += [blended(head.tubes(tubes), dark, 0.0, 0.009) for tubes in (nostrils, eyes)]
    if breed.patch is not None and breed.face == breed.patch:
        blaze = (limb((0, 0.02, 0.12), (0, 0.36, 0.06), 0.05, 0.035),)
        parts.append(
            blended(
                grown(head.tubes(FOREHEAD), 0.004),
                Material(WHITE, 0.85),
                0.05,
                FINE_METERS,
                head.tubes(blaze),
            )
        )
    if breed.horned:
        parts.append(blended(head.tubes(HORNS), Material(HORN, 0.5), 0.02, FINE_METERS))
    return parts


def _hooves(legs: tuple[tuple[Tube, ...], ...]) -> list[Part]:
    horn = Material(HOOF, 0.6)
    ground = beyond((0, 0, 0), (0, 0, -1))
    hooves = []
    for chain in legs:
        x, y, _ = chain[-1].end
        hooves += [
            limb((x + aside, y + 0.015, 0.06), (x + aside, y - 0.04, 0.03), 0.038) for aside in (-0.02, 0.02)
        ]
    return [blended(hooves, horn, 0.015, FINE_METERS, without=(ground,))]


def _tail(rng: np.random.Generator, coat: Material, breed: Breed) -> list[Part]:
    sway = float(rng.uniform(-0.12, 0.12))
    hang = path(
        ((0, 0.86, 1.26), (0, 0.97, 1.15), (0.3 * sway, 1.0, 0.85), (sway, 0.99, 0.55)),
        (0.05, 0.03, 0.024, 0.02),
    )
    tuft = path(
        ((sway, 0.99, 0.57), (sway * 1.1, 0.985, 0.45), (sway * 1.2, 0.98, 0.3)), (0.025, 0.05, 0.015)
    )
    color = shade(breed.coat, 0.9) if breed.patch is None else WHITE
    return [
        blended(hang, coat, 0.03, FINE_METERS),
        blended(tuft, Material(color, 1.0), 0.03, FINE_METERS),
    ]
