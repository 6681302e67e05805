"""Dogs: breeds that differ in proportions, ears, tails and coats."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

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
from pipelines.rendering.parts import paint, pick, vary

SMOOTHING, RESOLUTION, FINE = 0.06, 0.022, 0.011  # in heights at the withers
WHITE, BLACK, TAN, GOLD, CHOCOLATE, GREY, RED = map(
    paint, ("e4ded2", "161517", "a8743f", "c99a58", "4a2a18", "77757a", "8a4a22")
)
COLLARS = tuple(map(paint, ("b3262b", "1f4fa0", "2b7a3d", "222222", "d98a1f")))
PINK = paint("c76a6a")


Regions = tuple[tuple[Tube, ...], tuple[Tube, ...]]  # regions of the body, regions of the head


@dataclass(frozen=True)
class Breed:
    """Look of a breed; lengths are relative to a labrador's unless said otherwise.

    Attributes:
        height: height at the withers, metres.
        coat: colour of the coat.
        marking: colour of the markings; None where the coat has none.
        marked: kind of the markings.
        legs: length of the legs.
        length: length of the trunk.
        girth: thickness of the body.
        muzzle: length of the muzzle in heights at the withers.
        ears: form of the ears.
        tail: posture of the tail.
    """

    height: float
    coat: Color
    marking: Color | None = None
    marked: Literal["saddle", "spots", "white", "points"] = "white"
    legs: float = 1.0
    length: float = 1.0
    girth: float = 1.0
    muzzle: float = 0.25
    ears: Literal["erect", "hanging", "folded"] = "hanging"
    tail: Literal["hanging", "curled", "raised"] = "raised"


BREEDS = (
    Breed(0.57, GOLD),  # labrador
    Breed(0.57, BLACK),
    Breed(0.56, CHOCOLATE),
    Breed(
        0.62, TAN, BLACK, "saddle", length=1.05, girth=0.97, muzzle=0.28, ears="erect", tail="hanging"
    ),  # shepherd
    Breed(0.56, GREY, WHITE, "white", girth=1.02, ears="erect", tail="curled"),  # husky
    Breed(0.58, WHITE, BLACK, "spots", girth=0.92, muzzle=0.27),  # dalmatian
    Breed(0.38, TAN, WHITE, "white", legs=0.9, muzzle=0.24),  # beagle
    Breed(0.25, RED, None, legs=0.55, length=1.5, girth=1.15, muzzle=0.36, tail="raised"),  # dachshund
    Breed(0.34, WHITE, TAN, "spots", muzzle=0.23, ears="folded"),  # terrier
    Breed(0.66, BLACK, TAN, "points", girth=0.9, muzzle=0.28, ears="erect", tail="hanging"),  # dobermann
    Breed(0.38, RED, WHITE, "white", girth=1.05, muzzle=0.2, ears="erect", tail="curled"),  # shiba
    Breed(0.52, BLACK, WHITE, "white", girth=1.05, muzzle=0.25, ears="folded", tail="hanging"),  # collie
)


def dog(rng: np.random.Generator) -> Thing:
    """Build a dog that stands or trots, often with a collar."""
    breed = pick(rng, BREEDS)
    height = breed.height * float(rng.uniform(0.94, 1.06))
    legs = _legs(rng, breed)
    trunk, neck, head = _trunk(rng, breed)
    body = (*trunk, *neck, *(tube for chain in legs for tube in chain))
    skull, ears = head.tubes(_skull(breed)), head.tubes(_ears(breed))
    coat = Material(vary(rng, breed.coat, 0.1), 0.9)
    floor = beyond((0, 0, 0), (0, 0, -1))
    parts = [
        blended((*body, *_tail(rng, breed)), coat, SMOOTHING, RESOLUTION, without=(floor,)),
        blended(skull, coat, 0.04, FINE),
        blended(ears, replace(coat, color=_ear_color(breed, coat.color)), 0.02, FINE),
        *_markings(rng, breed, body, skull, head),
        *_face(rng, head, breed),
    ]
    if rng.random() < 0.55:
        parts.append(_collar(rng, neck))
    return Thing("dog", Role.FOREGROUND, tuple(replace(part, pose=Pose(scale=height)) for part in parts))


def _trunk(rng: np.random.Generator, breed: Breed) -> tuple[tuple[Tube, ...], tuple[Tube, ...], Frame]:
    """Build trunk and neck, and draw the frame of the head, in heights at the withers."""
    girth, long = breed.girth, breed.length
    lift = 0.45 * (breed.legs - 1)
    trunk = (
        lump((0, -0.4 * long, 0.68 + lift), 0.2 * girth),
        limb((0, -0.38 * long, 0.7 + lift), (0, 0.12 * long, 0.74 + lift), 0.19 * girth, 0.155 * girth),
        limb((0, 0.12 * long, 0.75 + lift), (0, 0.42 * long, 0.8 + lift), 0.15 * girth, 0.14 * girth),
        *mirrored(
            (
                lump((0.07, -0.4 * long, 0.74 + lift), 0.14 * girth),
                lump((0.06, 0.43 * long, 0.77 + lift), 0.13 * girth),
            )
        ),
    )
    yaw = float(rng.uniform(-35, 35))
    aside = 0.14 * np.sin(np.radians(yaw))
    poll = np.array([aside, -0.4 * long - 0.24, 1.12 + lift + rng.uniform(-0.08, 0.05)])
    neck = path(
        ((0, -0.4 * long, 0.84 + lift), shifted(poll, -0.3 * aside, 0.06, -0.06)),
        (0.155 * girth, 0.105 * girth),
    )
    return trunk, neck, Frame(poll, yaw, float(rng.uniform(4, 18)))


def _legs(rng: np.random.Generator, breed: Breed) -> tuple[tuple[Tube, ...], ...]:
    """Build four chains from the trunk to the paws; in a trot the two of a diagonal swing together."""
    stride = float(pick(rng, (0.015, 0.1)))
    legs = []
    for side, front, swing in ((1, True, 1), (-1, False, 1), (-1, True, -1), (1, False, -1)):
        step = swing * stride + rng.uniform(-0.02, 0.02)
        if front:
            at = -0.4 * breed.length
            radii = (0.1, 0.068, 0.04, 0.036, 0.042)
            points = ((0.1, 0, 0.66), (0.115, 0.05 + 0.2 * step, 0.47), (0.105, step * 0.7, 0.2),
                      (0.105, -0.01 + step, 0.06), (0.105, -0.055 + step, 0.036))  # fmt: skip
        else:
            at = 0.44 * breed.length
            radii = (0.13, 0.085, 0.042, 0.034, 0.041)
            points = ((0.085, 0, 0.7), (0.115, -0.07 + 0.3 * step, 0.46), (0.11, 0.11 + 0.8 * step, 0.24),
                      (0.11, 0.07 + step, 0.06), (0.11, 0.02 + step, 0.036))  # fmt: skip
        lift = 0.45 * (breed.legs - 1)
        stations = [
            (side * x, at + y, z + share * lift)
            for (x, y, z), share in zip(points, (1.0, 0.8, 0.3, 0.0, 0.0), strict=True)
        ]
        legs.append(path(stations, [radius * breed.girth for radius in radii]))
    return tuple(legs)


def _skull(breed: Breed) -> tuple[Tube, ...]:
    long = breed.muzzle
    return (
        lump((0, -0.01, 0.0), 0.12),
        limb((0, 0.06, -0.005), (0, 0.1, -0.02), 0.105, 0.085),
        limb((0, 0.1, -0.035), (0, 0.06 + long, -0.05), 0.075, 0.05),
        limb((0, 0.04, -0.085), (0, 0.03 + long, -0.09), 0.06, 0.036),
        *mirrored((lump((0.05, 0.02, -0.05), 0.07),)),
    )


def _ears(breed: Breed) -> tuple[Tube, ...]:
    if breed.ears == "erect":
        return mirrored(
            path(((0.07, -0.02, 0.07), (0.085, -0.025, 0.14), (0.09, -0.03, 0.225)), (0.05, 0.045, 0.012))
        )
    if breed.ears == "folded":
        return mirrored(
            path(((0.07, -0.02, 0.09), (0.1, 0.0, 0.125), (0.115, 0.055, 0.07)), (0.04, 0.035, 0.022))
        )
    return mirrored(
        path(((0.09, -0.02, 0.06), (0.125, 0.0, 0.01), (0.125, 0.02, -0.11)), (0.03, 0.042, 0.04))
    )


def _tail(rng: np.random.Generator, breed: Breed) -> tuple[Tube, ...]:
    wag = float(rng.uniform(-0.1, 0.1))
    root = 0.42 * breed.length
    lift = 0.45 * (breed.legs - 1) + 0.85
    steps = {
        "hanging": ((0.1, 0.0), (0.2, -0.08), (0.24, -0.25), (0.26, -0.4)),
        "raised": ((0.1, 0.02), (0.22, 0.08), (0.32, 0.18), (0.37, 0.3)),
        "curled": ((0.11, 0.08), (0.15, 0.2), (0.05, 0.27), (-0.06, 0.21)),
    }[breed.tail]
    thick = 0.05 if breed.tail == "curled" else 0.034
    radii = (0.05, thick, thick, 0.9 * thick, 0.5 * thick)
    points = [(wag * index / 4, root + y, lift + z) for index, (y, z) in enumerate(((0.02, -0.03), *steps))]
    return path(points, radii)


def _ear_color(breed: Breed, coat: Color) -> Color:
    return breed.marking if breed.marking and breed.marked in ("spots", "saddle") else coat


def _markings(
    rng: np.random.Generator, breed: Breed, body: tuple[Tube, ...], skull: tuple[Tube, ...], head: Frame
) -> list[Part]:
    """Build the markings in the second colour as thin layers over body and head."""
    if breed.marking is None:
        return []
    fur = Material(vary(rng, breed.marking, 0.08), 0.9)
    lift = 0.45 * (breed.legs - 1)
    on_body, on_head = MARKINGS[breed.marked](rng, breed.length, lift)
    floor = beyond((0, 0, 0), (0, 0, -1))
    parts = [blended(grown(body, 0.006), fur, SMOOTHING, RESOLUTION, on_body, (floor,))]
    if on_head:
        parts.append(blended(grown(skull, 0.005), fur, 0.04, FINE, head.tubes(on_head)))
    return parts


def _saddle(_rng: np.random.Generator, length: float, lift: float) -> Regions:
    back = limb((0, -0.35 * length, 0.93 + lift), (0, 0.5 * length, 0.95 + lift), 0.24, 0.17)
    return (back,), (limb((0, 0.2, -0.06), (0, 0.5, -0.06), 0.1),)


def _spots(rng: np.random.Generator, length: float, lift: float) -> Regions:
    spots = []
    for _ in range(70):
        y, turn = rng.uniform(-0.65, 0.6) * length, rng.uniform(-2.6, 2.6)
        position = (0.19 * np.sin(turn), y, 0.74 + lift + 0.19 * np.cos(turn))
        spots.append(lump(position, rng.uniform(0.02, 0.055)))
    legs = [
        lump((s * 0.12, y * length, rng.uniform(0.15, 0.5)), 0.035)
        for s in SIDES
        for y in (-0.42, -0.36, 0.4, 0.5)
    ]
    face = [
        lump((0.11 * s, rng.uniform(-0.05, 0.15), rng.uniform(-0.05, 0.09)), rng.uniform(0.015, 0.05))
        for s in SIDES
    ]
    return (*spots, *legs), tuple(face)


def _white(_rng: np.random.Generator, length: float, lift: float) -> Regions:
    """Return the regions of paws, chest and belly, muzzle and a blaze."""
    chest = limb((0, -0.62 * length, 0.72 + lift), (0, -0.5 * length, 0.5 + lift), 0.14, 0.16)
    belly = limb((0, -0.4 * length, 0.42 + lift), (0, 0.1 * length, 0.48 + lift), 0.12)
    muzzle = limb((0, 0.2, -0.07), (0, 0.5, -0.07), 0.09)
    return (beyond((0, 0, 0.2), (0, 0, -1)), chest, belly), (muzzle, limb((0, 0.2, 0), (0, 0.05, 0.14), 0.03))


def _points(_rng: np.random.Generator, length: float, lift: float) -> Regions:
    """Return the regions of paws, breast, the sides of the muzzle, and spots above the eyes."""
    breast = mirrored((lump((0.1, -0.58 * length, 0.68 + lift), 0.075),))
    sides = mirrored(
        (limb((0.05, 0.15, -0.09), (0.04, 0.33, -0.09), 0.05), lump((0.045, 0.12, 0.065), 0.018))
    )
    return (beyond((0, 0, 0.25), (0, 0, -1)), *breast), sides


MARKINGS = {"saddle": _saddle, "spots": _spots, "white": _white, "points": _points}


def _face(rng: np.random.Generator, head: Frame, breed: Breed) -> list[Part]:
    dark = Material((0.01, 0.009, 0.008), 0.15)
    tip = 0.09 + breed.muzzle
    nose = (limb((0.014, tip + 0.012, -0.03), (-0.014, tip + 0.012, -0.03), 0.026),)
    eyes = mirrored((lump((0.06, 0.125, 0.03), 0.021),))
    parts = [blended(head.tubes(nose), dark, 0.01, 0.007), blended(head.tubes(eyes), dark, 0.0, 0.007)]
    if rng.random() < 0.4:
        tongue = path(
            ((0, tip - 0.08, -0.125), (0, tip - 0.02, -0.135), (0, tip - 0.01, -0.175)), (0.024, 0.026, 0.018)
        )
        parts.append(blended(head.tubes(tongue), Material(PINK, 0.4), 0.01, 0.008))
    return parts


def _collar(rng: np.random.Generator, neck: tuple[Tube, ...]) -> Part:
    start, end = np.array(neck[0].start), np.array(neck[-1].end)
    along = (end - start) / np.linalg.norm(end - start)
    low, high = start + 0.55 * (end - start), start + 0.55 * (end - start) + 0.06 * along
    band = Material(pick(rng, COLLARS), 0.5)
    return blended(grown(neck, 0.014), band, SMOOTHING, FINE, (beyond(low, along),), (beyond(high, along),))
