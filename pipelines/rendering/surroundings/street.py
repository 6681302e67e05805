"""Furniture of streets, paths and raceways."""

from __future__ import annotations

import math

import numpy as np

from pipelines.rendering.description import Material, Part, Pattern, Role, Thing, Vector
from pipelines.rendering.parts import (
    bent_tube,
    block,
    box,
    cylinder,
    drawn_out,
    paint,
    pick,
    placed,
    shade,
    side_view,
    tube,
    turned_profile,
    vary,
)

BENCH_TOP_METERS = 0.45
KERB_TOP_METERS = 0.13
CRATE_TOP_METERS = 0.4
STREET_LAMP_LIGHT: Vector = (0.0, -1.1, 5.35)
"""Position of the light of a `street_lamp`, from its foot: just below its head."""
POST_LAMP_LIGHT: Vector = (0.0, 0.0, 3.35)
"""Position of the light of a `post_lamp`: inside its open lantern."""

IRON = Material(paint("2b2f31"), roughness=0.45)
STEEL = Material(paint("b8bcc0"), roughness=0.3, metallic=True)
RUBBER = Material(paint("242424"), roughness=0.7)
WOODS = tuple(paint(srgb) for srgb in ("8a6642", "7a5a3c", "9c7850", "6b4e36", "a08a70"))


def wooden(rng: np.random.Generator, roughness: float = 0.6) -> Material:
    """Draw a wood with a light grain."""
    color = vary(rng, pick(rng, WOODS))
    return Material(
        color, roughness, pattern=Pattern.NOISE, second_color=shade(color, 0.75), pattern_meters=0.07
    )


def road(rng: np.random.Generator, length: float, width: float = 7.0, marked: bool = True) -> Thing:
    """Build asphalt along x, 1 cm above the ground, with edge lines and a broken line in its middle."""
    grey = vary(rng, paint("5a5a5c"), 0.2)
    asphalt = Material(grey, pattern=Pattern.NOISE, second_color=shade(grey, 0.75), pattern_meters=0.15)
    parts = [block((length, width, 0.04), (0, 0, -0.03), asphalt)]
    if marked:
        white = Material(paint("dcdad2"))
        parts += [
            block((length, 0.12, 0.042), (0, side * (width / 2 - 0.25), -0.03), white) for side in (-1, 1)
        ]
        dashes = max(1, int(length / 6))
        first = -3 * (dashes - 1)
        parts += [block((2.5, 0.12, 0.042), (first + 6 * index, 0, -0.03), white) for index in range(dashes)]
    return Thing("road", Role.GROUND, tuple(parts))


def pavement(rng: np.random.Generator, length: float, width: float = 2.5) -> Thing:
    """Build slabs along x behind a kerb on the -y side; the top of both is at KERB_TOP_METERS."""
    grey = vary(rng, paint("9c9890"), 0.12)
    slabs = Material(grey, pattern=Pattern.CHECKER, second_color=shade(grey, 0.93), pattern_meters=1.0)
    stone = Material(vary(rng, paint("a9a69e"), 0.1))
    parts = (
        block((length, width - 0.18, KERB_TOP_METERS), (0, 0.09, 0), slabs),
        block((length, 0.18, KERB_TOP_METERS), (0, 0.09 - width / 2, 0), stone, bevel=0.02),
    )
    return Thing("pavement", Role.GROUND, parts)


def racing_kerb(rng: np.random.Generator, length: float) -> Thing:
    """Build red and white blocks along x that rise away from the track on the -y side."""
    red, white = Material(vary(rng, paint("b3261e"), 0.08)), Material(paint("e4e2dc"))
    wedge = ((-0.5, 0.0), (0.5, 0.0), (0.5, 0.1), (-0.5, 0.02))
    count = max(1, round(length))
    first = -(count - 1) / 2
    parts = tuple(
        side_view(wedge, 1.0, (first + index, 0, 0), (red, white)[index % 2]) for index in range(count)
    )
    return Thing("kerb", Role.PROP, parts)


def fence(rng: np.random.Generator, length: float = 6.0) -> Thing:
    """Build a fence along x of pickets, of rails between posts, or of iron bars."""
    build = pick(rng, (_pickets, _rails, _iron_bars))
    return Thing("fence", Role.PROP, tuple(build(rng, length)))


def _posts(length: float, apart: float, size: float, height: float, material: Material) -> list[Part]:
    count = max(2, round(length / apart) + 1)
    return [
        block(
            (size, size, height), (-length / 2 + length * index / (count - 1), 0, 0), material, bevel=size / 8
        )
        for index in range(count)
    ]


def _pickets(rng: np.random.Generator, length: float) -> list[Part]:
    wood = pick(rng, (Material(paint("e8e4da"), 0.7), wooden(rng)))
    picket = ((-0.045, 0.08), (0.045, 0.08), (0.045, 1.0), (0.0, 1.06), (-0.045, 1.0))
    count = max(2, int(length / 0.16))
    parts = _posts(length, 2.0, 0.09, 0.95, wood)
    parts += [drawn_out(picket, 0.02, (-length / 2 + 0.16 * (i + 0.5), -0.07, 0), wood) for i in range(count)]
    return parts + [block((length, 0.03, 0.09), (0, -0.045, z), wood) for z in (0.25, 0.75)]


def _rails(rng: np.random.Generator, length: float) -> list[Part]:
    wood = wooden(rng)
    parts = _posts(length, 2.2, 0.13, 1.2, wood)
    return parts + [block((length, 0.04, 0.13), (0, -0.085, z), wood, bevel=0.008) for z in (0.3, 0.65, 1.0)]


def _iron_bars(rng: np.random.Generator, length: float) -> list[Part]:
    paintwork = Material(vary(rng, pick(rng, (paint("2b2f31"), paint("26382f")))), 0.5)
    parts = _posts(length, 2.5, 0.06, 1.3, paintwork)
    count = max(2, int(length / 0.14))
    for index in range(count):
        x = -length / 2 + length * (index + 0.5) / count
        parts.append(block((0.018, 0.018, 1.15), (x, 0, 0.1), paintwork))
    return parts + [block((length, 0.03, 0.035), (0, 0, z), paintwork) for z in (0.15, 1.1)]


def bench(rng: np.random.Generator) -> Thing:
    """Build slats on two iron frames, 1.6 m wide; the seat is at BENCH_TOP_METERS, the back at +y."""
    wood = wooden(rng)
    parts = [
        block((1.6, 0.1, 0.035), (0, y, BENCH_TOP_METERS - 0.035), wood, bevel=0.008)
        for y in (-0.2, -0.08, 0.04, 0.16)
    ]
    parts += [
        box((1.6, 0.03, 0.1), (0, 0.25 + 0.25 * (z - 0.5), z), wood, bevel=0.008, roll=-14)
        for z in (0.58, 0.72, 0.86)
    ]
    for x in (-0.62, 0.62):
        parts += bent_tube(((x, -0.26, 0.02), (x, -0.22, 0.4), (x, 0.22, 0.4), (x, 0.28, 0.02)), 0.02, IRON)
        parts.append(tube((x, 0.22, 0.4), (x, 0.37, 0.9), 0.018, IRON))
        parts += bent_tube(((x, -0.23, 0.4), (x, -0.24, 0.62), (x, 0.27, 0.62)), 0.016, IRON)
    return Thing("bench", Role.PROP, tuple(parts))


def street_lamp(rng: np.random.Generator) -> Thing:
    """Build a tall mast with an arm towards -y; its light belongs at STREET_LAMP_LIGHT."""
    mast = Material(vary(rng, paint("7f8587"), 0.15), 0.4)
    _, reach, high = STREET_LAMP_LIGHT
    parts = (
        turned_profile(
            ((0, 0), (0.13, 0), (0.13, 0.5), (0.08, 0.6), (0.05, high), (0, high)), (0, 0, 0), mast
        ),
        *bent_tube(((0, 0, high), (0, reach * 0.25, high + 0.3), (0, reach * 0.7, high + 0.34)), 0.035, mast),
        box((0.24, 0.75, 0.1), (0, reach, high + 0.3), mast, bevel=0.04),
        box((0.18, 0.5, 0.04), (0, reach, high + 0.24), Material(paint("e8e6dc"), 0.3), bevel=0.015),
    )
    return Thing("street lamp", Role.PROP, parts)


def post_lamp(rng: np.random.Generator) -> Thing:
    """Build a lantern on a post, open at its sides; its light belongs at POST_LAMP_LIGHT."""
    iron = Material(vary(rng, pick(rng, (paint("2b2f31"), paint("26382f"))), 0.15), 0.45)
    low, high = POST_LAMP_LIGHT[2] - 0.25, POST_LAMP_LIGHT[2] + 0.25
    post = (
        (0, 0),
        (0.14, 0),
        (0.14, 0.25),
        (0.07, 0.35),
        (0.06, 0.9),
        (0.04, 1.0),
        (0.035, low - 0.1),
        (0.13, low - 0.03),
        (0.13, low),
        (0, low),
    )
    hat = (
        (0, high),
        (0.24, high),
        (0.2, high + 0.05),
        (0.06, high + 0.18),
        (0.03, high + 0.28),
        (0, high + 0.3),
    )
    bars = []
    for corner in range(4):
        x, y = math.cos(math.pi * (corner + 0.5) / 2), math.sin(math.pi * (corner + 0.5) / 2)
        bars.append(tube((x * 0.12, y * 0.12, low), (x * 0.19, y * 0.19, high), 0.01, iron))
    return Thing(
        "street lamp",
        Role.PROP,
        (turned_profile(post, (0, 0, 0), iron), turned_profile(hat, (0, 0, 0), iron), *bars),
    )


def bollard(rng: np.random.Generator) -> Thing:
    """Build an iron post with a bright band, 0.9 m high."""
    iron = Material(vary(rng, pick(rng, (paint("2b2f31"), paint("4a2a28"), paint("3a4a40"))), 0.15), 0.4)
    post = (
        (0, 0),
        (0.1, 0),
        (0.1, 0.08),
        (0.07, 0.12),
        (0.06, 0.75),
        (0.085, 0.78),
        (0.085, 0.83),
        (0.05, 0.88),
        (0, 0.9),
    )
    band = cylinder(0.066, 0.08, (0, 0, 0.6), Material(paint("e8e4d0"), 0.4))
    return Thing("bollard", Role.PROP, (turned_profile(post, (0, 0, 0), iron), band))


def litter_bin(rng: np.random.Generator) -> Thing:
    """Build a round bin with a lid over its opening, 0.95 m high."""
    body = Material(
        vary(rng, pick(rng, (paint("3a4a40"), paint("4a4d50"), paint("2f4a6a"), paint("6a4a35")))), 0.5
    )
    barrel = ((0, 0.05), (0.22, 0.05), (0.25, 0.7), (0.26, 0.72), (0, 0.72))
    lid = ((0, 0.86), (0.27, 0.86), (0.24, 0.9), (0.1, 0.95), (0, 0.95))
    parts = [turned_profile(barrel, (0, 0, 0), body), turned_profile(lid, (0, 0, 0), body)]
    parts.append(cylinder(0.2, 0.06, (0, 0, 0), IRON))
    parts.append(cylinder(0.2, 0.14, (0, 0, 0.72), Material(paint("151515"))))
    parts += [tube((x, 0, 0.7), (x, 0, 0.88), 0.012, body) for x in (-0.23, 0.23)]
    return Thing("litter bin", Role.PROP, tuple(parts))


def traffic_cone(rng: np.random.Generator) -> Thing:
    """Build an orange cone with white bands, 0.5 to 0.75 m high."""
    height = rng.uniform(0.5, 0.75)
    orange, white = Material(vary(rng, paint("e2571f"), 0.1), 0.5), Material(paint("e8e6e0"), 0.5)
    radius = 0.28 * height
    cone = ((0, 0), (radius, 0), (0.045 * height, height), (0, height))
    parts = [turned_profile(cone, (0, 0, 0.03), orange, smooth=False)]
    for low, high in ((0.35, 0.52), (0.66, 0.8)):
        inner, outer = (radius + (0.045 * height - radius) * level + 0.003 for level in (high, low))
        band = ((0, low * height), (outer, low * height), (inner, high * height), (0, high * height))
        parts.append(turned_profile(band, (0, 0, 0.03), white, smooth=False))
    return Thing(
        "traffic cone",
        Role.PROP,
        (block((radius * 2.6, radius * 2.6, 0.03), (0, 0, 0), orange, 0.01), *parts),
    )


def tyre_stack(rng: np.random.Generator, height: int = 4) -> Thing:
    """Build a stack of `height` old tyres, 0.2 m each; some are painted red or white."""
    parts = []
    for index in range(height):
        color = pick(rng, (RUBBER.color, RUBBER.color, paint("b3261e"), paint("dedcd6")))
        tyre = (
            (0, 0.02),
            (0.17, 0.02),
            (0.19, 0.0),
            (0.28, 0.0),
            (0.31, 0.04),
            (0.31, 0.16),
            (0.28, 0.2),
            (0.19, 0.2),
            (0.17, 0.17),
            (0, 0.13),
        )
        base = (rng.uniform(-0.015, 0.015), rng.uniform(-0.015, 0.015), 0.2 * index)
        parts.append(turned_profile(tyre, base, Material(vary(rng, color), 0.7)))
    return Thing("tyre stack", Role.PROP, tuple(parts))


def tyre_wall(rng: np.random.Generator, length: float = 6.0, height: int = 4) -> Thing:
    """Build tyre stacks side by side along x."""
    count = max(1, int(length / 0.63))
    first = -0.63 * (count - 1) / 2
    parts: list[Part] = []
    for index in range(count):
        parts += placed(tyre_stack(rng, height).parts, by=(first + 0.63 * index, 0, 0))
    return Thing("tyre wall", Role.PROP, tuple(parts))


def guard_rail(rng: np.random.Generator, length: float = 8.0) -> Thing:
    """Build a steel barrier along x: two waved rails on posts, facing -y; 0.95 m high."""
    wave = (
        (-0.02, 0.0),
        (0.02, 0.0),
        (0.02, 0.3),
        (-0.02, 0.3),
        (-0.05, 0.25),
        (-0.05, 0.19),
        (-0.02, 0.15),
        (-0.05, 0.11),
        (-0.05, 0.05),
    )
    post = Material(vary(rng, paint("8a8d8f"), 0.1), 0.5)
    count = max(2, round(length / 2) + 1)
    parts = [side_view(wave, length, (0, -0.08, z), STEEL) for z in (0.28, 0.63)]
    parts += [
        block((0.1, 0.12, 0.95), (-length / 2 + length * i / (count - 1), 0, 0), post) for i in range(count)
    ]
    return Thing("guard rail", Role.PROP, tuple(parts))


def crash_barrier(rng: np.random.Generator, length: float = 6.0) -> Thing:
    """Build concrete blocks along x, painted in alternating colours; 0.9 m high."""
    profile = (
        (-0.3, 0.0),
        (0.3, 0.0),
        (0.3, 0.08),
        (0.13, 0.35),
        (0.09, 0.9),
        (-0.09, 0.9),
        (-0.13, 0.35),
        (-0.3, 0.08),
    )
    colors = pick(
        rng, ((paint("b3261e"), paint("dedcd6")), (paint("2a4f9a"), paint("dedcd6")), (paint("a5a29a"),) * 2)
    )
    count = max(1, round(length / 2))
    first = -(count - 1)
    parts = tuple(
        side_view(profile, 1.97, (first + 2 * i, 0, 0), Material(vary(rng, colors[i % 2], 0.06), 0.8), 0.01)
        for i in range(count)
    )
    return Thing("barrier", Role.STRUCTURE, parts)


def crate(rng: np.random.Generator) -> Thing:
    """Build a wooden box of slats, 0.6 m wide; its top is at CRATE_TOP_METERS."""
    wood = wooden(rng)
    dark = Material(shade(wood.color, 0.4))
    high = CRATE_TOP_METERS
    parts = [block((0.54, 0.36, high - 0.01), (0, 0, 0), dark)]
    for z in (0.01, 0.14, 0.27):
        parts += [block((0.6, 0.015, 0.11), (0, side * 0.2, z), wood, 0.004) for side in (-1, 1)]
        parts += [block((0.015, 0.4, 0.11), (side * 0.29, 0, z), wood, 0.004) for side in (-1, 1)]
    parts += [block((0.6, 0.125, 0.015), (0, y, high - 0.015), wood, 0.004) for y in (-0.135, 0, 0.135)]
    return Thing("crate", Role.PROP, tuple(parts))
