"""Motorcycles: roadsters, racers and cruisers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from pipelines.rendering.description import Blend, Lathe, Material, Part, Pose, Role, Thing, Tube, Vector
from pipelines.rendering.parts import ball, bent_tube, box, paint, pick, side_view, tube, vary, wheel

BLACK = Material(paint("1c1c1d"), roughness=0.45)
RUBBER = Material(paint("1f1f20"), roughness=0.8)
LEATHER = Material(paint("2a2320"), roughness=0.6)
CHROME = Material(paint("d2d4d6"), roughness=0.32, metallic=True)
ALUMINIUM = Material(paint("9a9da0"), roughness=0.4, metallic=True)
LENS = Material(paint("e9ecee"), roughness=0.08)
TAIL_LENS = Material(paint("a3121a"), roughness=0.12)
AMBER = Material(paint("d98020"), roughness=0.15)
PAINTS = tuple(
    paint(srgb)
    for srgb in ("b01f24", "1f3f8a", "1c1c1e", "c9641f", "2f5d46", "d8d6d0", "d0a81f", "5a1f2a", "3a7a4a")
)


@dataclass(frozen=True)
class _Build:
    """A motorcycle's measures in metres; y runs from the front wheel (-) to the rear one (+).

    Attributes:
        wheelbase: distance of the axles.
        head: (y, z) of the steering head, where the fork meets the frame.
        seat: height of the seat.
        bar: (half width, y, z) of the handlebar's grips.
        spoked: whether wheels have wire spokes.
        faired: whether a fairing covers head and flanks.
    """

    wheelbase: float
    head: tuple[float, float]
    seat: float
    bar: tuple[float, float, float]
    spoked: bool
    faired: bool


BUILDS = (
    _Build(1.42, (-0.40, 0.88), 0.78, (0.38, -0.22, 1.06), spoked=True, faired=False),  # roadster
    _Build(1.40, (-0.42, 0.86), 0.82, (0.31, -0.30, 0.92), spoked=False, faired=True),  # racer
    _Build(1.62, (-0.42, 0.86), 0.68, (0.42, -0.08, 1.12), spoked=True, faired=False),  # cruiser
)
WHEEL_RADIUS = 0.31


def motorcycle(rng: np.random.Generator) -> Thing:
    """Build a motorcycle of one of three kinds on its stand, about 2.1 m long."""
    build = pick(rng, BUILDS)
    if not build.faired and rng.random() < 0.4:
        build = replace(build, spoked=False)
    coat = Material(vary(rng, pick(rng, PAINTS)), roughness=0.15)
    shine = pick(rng, (CHROME, CHROME, BLACK))
    parts = [
        *_wheel(-build.wheelbase / 2, 0.11, build.spoked),
        *_wheel(build.wheelbase / 2, 0.16, build.spoked),
        *_fork(build, coat, shine),
        *_frame(build),
        *_engine(shine),
        *_exhaust(build, shine),
        *_tank_and_seat(rng, build, coat),
        *_rear(build, coat),
        *_handlebar(build, shine),
        *(_fairing(build, coat) if build.faired else _headlamp(build, shine)),
    ]
    return Thing("motorcycle", Role.FOREGROUND, tuple(parts))


def _wheel(y: float, width: float, spoked: bool) -> list[Part]:
    """Build tyre, rim, hub, brake disc, and wire spokes or six cast ones."""
    middle = (0.0, y, WHEEL_RADIUS)
    half = width / 2
    rim = WHEEL_RADIUS - 0.085
    tyre = ((rim, -half * 0.8), (rim + 0.04, -half), (WHEEL_RADIUS - 0.015, -half * 0.6), (WHEEL_RADIUS, 0))
    mirrored = ((WHEEL_RADIUS - 0.015, half * 0.6), (rim + 0.04, half), (rim, half * 0.8), (rim, -half * 0.8))
    ring = ((rim - 0.025, -half * 0.7), (rim, -half * 0.75), (rim, half * 0.75), (rim - 0.025, half * 0.7))
    disc = ((0.07, 0.055), (0.13, 0.055), (0.13, 0.06), (0.07, 0.06), (0.07, 0.055))
    metal = CHROME if spoked else ALUMINIUM
    parts = [
        wheel((*tyre, *mirrored), middle, RUBBER),
        wheel((*ring, ring[0]), middle, metal),
        wheel(((0, -0.07), (0.04, -0.07), (0.05, 0.0), (0.04, 0.07), (0, 0.07)), middle, metal),
        wheel(disc, middle, ALUMINIUM, smooth=False),
    ]
    count = 18 if spoked else 6
    thick = (0.006, 0.006) if spoked else (0.045, 0.04)
    for spoke in range(count):
        angle = 360 * spoke / count
        out = rim / 2
        center = (
            0.0,
            y - out * math.sin(math.radians(angle)),
            WHEEL_RADIUS + out * math.cos(math.radians(angle)),
        )
        parts.append(box((*thick, rim - 0.01), center, metal, roll=angle))
    return parts


def _fork(build: _Build, coat: Material, shine: Material) -> list[Part]:
    """Build two legs from the front axle to above the steering head, and a mudguard between them."""
    axle = -build.wheelbase / 2
    y, z = build.head
    parts: list[Part] = []
    for x in (-0.1, 0.1):
        knee = (x, axle + (y - axle) * 0.45, WHEEL_RADIUS + (z - WHEEL_RADIUS) * 0.45)
        parts.append(tube((x, axle, WHEEL_RADIUS), knee, 0.032, BLACK))
        parts.append(tube(knee, (x, y + 0.02, z + 0.06), 0.022, shine))
    parts += [
        box((0.26, 0.07, 0.03), (0, y - 0.03 + shift, z + level), BLACK, bevel=0.01, roll=-25)
        for shift, level in ((0, 0.02), (-0.08, -0.14))
    ]
    parts.append(_mudguard(axle, (60, 175), 0.13, coat))
    parts.append(tube((-0.1, axle, WHEEL_RADIUS), (0.1, axle, WHEEL_RADIUS), 0.018, ALUMINIUM))
    return parts


def _mudguard(y: float, span: tuple[float, float], width: float, coat: Material) -> Part:
    """Build an arc over a wheel; angles run from the rear (0) over the top (90) to the front (180)."""
    angles = np.radians(np.linspace(*span, 12))
    inner, outer = WHEEL_RADIUS + 0.02, WHEEL_RADIUS + 0.034
    arc = [(outer * math.cos(a), outer * math.sin(a)) for a in angles]
    back = [(inner * math.cos(a), inner * math.sin(a)) for a in angles[::-1]]
    return side_view([*arc, *back], width, (0, y, WHEEL_RADIUS), coat)


def _frame(build: _Build) -> list[Part]:
    y, z = build.head
    rear = build.wheelbase / 2
    seat = build.seat
    parts = [
        *bent_tube(
            ((0, y, z), (0, -0.3, 0.36), (0, -0.2, 0.24), (0, 0.2, 0.24), (0, 0.28, 0.42)), 0.026, BLACK
        ),
        *bent_tube(((0, y, z), (0, 0.1, seat - 0.08), (0, rear - 0.12, seat - 0.02)), 0.026, BLACK),
    ]
    for x in (-0.1, 0.1):
        parts.append(box((0.03, rear - 0.18, 0.05), (x, (rear + 0.2) / 2, 0.34), BLACK, bevel=0.01))
        parts.append(tube((x, rear - 0.06, 0.36), (x, rear - 0.2, seat - 0.04), 0.012, CHROME))
        parts.append(
            tube(
                (x, rear - 0.08, 0.42), (x, rear - 0.16, seat - 0.14), 0.03, AMBER if build.faired else BLACK
            )
        )
        parts.append(tube((x * 0.9, 0.25, 0.42), (x * 0.9, rear - 0.1, seat - 0.03), 0.014, BLACK))
    parts.append(tube((-0.1, rear, WHEEL_RADIUS), (0.1, rear, WHEEL_RADIUS), 0.018, ALUMINIUM))
    stand = ((-0.05, 0.12, 0.26), (-0.24, 0.16, 0.012))
    return [*parts, tube(*stand, 0.012, BLACK)]


def _engine(shine: Material) -> list[Part]:
    """Build a crankcase with round covers under a finned cylinder that leans forward."""
    fins = []
    for fin in range(8):
        low = 0.03 * fin
        fins += [(0.095, low), (0.095, low + 0.016), (0.075, low + 0.016), (0.075, low + 0.03)]
    cylinder = Part(
        Lathe(((0, 0), *fins, (0.06, 0.27), (0, 0.27)), smooth=False),
        ALUMINIUM,
        Pose((0, -0.08, 0.43), roll_degrees=18),
    )
    return [
        box((0.26, 0.42, 0.2), (0, 0.03, 0.36), ALUMINIUM, bevel=0.05),
        box((0.2, 0.2, 0.16), (0, 0.2, 0.47), BLACK, bevel=0.04),
        cylinder,
        *(ball((0.03, 0.1, 0.09), (sign * 0.125, -0.04, 0.37), shine) for sign in (-1, 1)),
        *(ball((0.025, 0.075, 0.075), (sign * 0.125, 0.15, 0.36), shine) for sign in (-1, 1)),
        box((0.12, 0.14, 0.14), (0, 0.12, 0.62), BLACK, bevel=0.03),
    ]


def _exhaust(build: _Build, shine: Material) -> list[Part]:
    """Build a pipe from the cylinder's front down and back along the right side to a silencer."""
    rear = build.wheelbase / 2
    path: list[Vector] = [
        (0.03, -0.19, 0.56),
        (0.07, -0.33, 0.46),
        (0.13, -0.32, 0.28),
        (0.16, -0.2, 0.22),
        (0.17, 0.25, 0.24),
    ]
    rise = 0.42 if build.faired else 0.3
    end = (0.19, rear + 0.12, rise)
    return [
        *bent_tube(path, 0.024, shine),
        tube(path[-1], end, 0.038, shine, 0.05),
        tube(end, (end[0], end[1] + 0.02, rise + 0.004), 0.035, BLACK),
    ]


def _tank_and_seat(rng: np.random.Generator, build: _Build, coat: Material) -> list[Part]:
    y, z = build.head
    seat = build.seat
    front, back = (0.0, y + 0.17, z - 0.01), (0.0, 0.06, seat + 0.02)
    belly = tuple(
        Tube((x, front[1], front[2]), (x * 0.45, back[1], back[2]), rng.uniform(0.105, 0.115), 0.065)
        for x in (-0.055, 0.055)
    )
    tank = Part(Blend(belly, smoothing_meters=0.06, resolution_meters=0.012), coat)
    rear = build.wheelbase / 2 - 0.08
    hump = seat + (0.1 if build.faired else 0.06)
    cushion = (
        (0.02, seat - 0.06), (rear, seat - 0.03), (rear + 0.03, hump - 0.01), (rear - 0.04, hump + 0.01),
        (0.36, seat + 0.03), (0.26, seat), (0.1, seat + 0.01), (0.02, seat + 0.03),
    )  # fmt: skip
    cap = ball((0.03, 0.03, 0.012), (0, y + 0.2, z + 0.105), CHROME)
    panels = [ball((0.02, 0.12, 0.08), (sign * 0.1, 0.3, seat - 0.16), coat) for sign in (-1, 1)]
    return [tank, cap, side_view(cushion, 0.25, (0, 0, 0), LEATHER, bevel=0.022), *panels]


def _rear(build: _Build, coat: Material) -> list[Part]:
    rear = build.wheelbase / 2
    seat = build.seat
    parts = [
        _mudguard(rear, (5, 115), 0.19, coat),
        box((0.12, 0.06, 0.06), (0, rear + 0.12, seat + 0.0), TAIL_LENS, bevel=0.02),
        box((0.2, 0.012, 0.14), (0, rear + 0.26, seat - 0.2), Material(paint("e8e6d8"), 0.4), roll=-15),
        tube((0, rear + 0.02, seat - 0.02), (0, rear + 0.27, seat - 0.16), 0.02, BLACK),
    ]
    for sign in (-1, 1):
        parts.append(
            tube((0, rear + 0.1, seat - 0.05), (sign * 0.13, rear + 0.12, seat - 0.05), 0.009, BLACK)
        )
        parts.append(ball((0.03, 0.03, 0.025), (sign * 0.15, rear + 0.12, seat - 0.05), AMBER))
    return parts


def _handlebar(build: _Build, shine: Material) -> list[Part]:
    half, bar_y, bar_z = build.bar
    y, z = build.head
    parts: list[Part] = []
    for sign in (-1, 1):
        grip = (sign * half, bar_y, bar_z)
        inner = (sign * (half - 0.13), bar_y - 0.03, bar_z + 0.005)
        parts += bent_tube(((0, y + 0.03, z + 0.09), (sign * 0.1, y + 0.04, z + 0.1), inner), 0.012, shine)
        parts.append(tube(inner, grip, 0.019, BLACK))
        parts.append(
            tube((inner[0], inner[1] - 0.06, inner[2]), (grip[0], grip[1] - 0.07, grip[2]), 0.006, ALUMINIUM)
        )
        mirror = (sign * (half - 0.02), bar_y - 0.05, bar_z + 0.2)
        parts.append(tube(inner, mirror, 0.006, shine))
        parts.append(ball((0.065, 0.018, 0.042), mirror, shine))
        parts.append(tube((sign * 0.13, y - 0.06, z - 0.02), (sign * 0.2, y - 0.07, z - 0.02), 0.008, BLACK))
        parts.append(ball((0.03, 0.03, 0.028), (sign * 0.22, y - 0.07, z - 0.02), AMBER))
    dial = Part(
        Lathe(((0, -0.03), (0.045, -0.02), (0.05, 0.03), (0, 0.03))),
        shine,
        Pose((0, y - 0.05, z + 0.14), roll_degrees=-40),
    )
    return [*parts, dial]


def _headlamp(build: _Build, shine: Material) -> list[Part]:
    y, z = build.head
    shell = ((0, -0.11), (0.06, -0.09), (0.095, -0.02), (0.1, 0.03), (0.09, 0.04), (0, 0.04))
    lens = ((0, 0.0), (0.086, 0.0), (0.06, 0.025), (0, 0.035))
    pose = Pose((0, y - 0.14, z + 0.02), roll_degrees=90)
    glass = replace(pose, position=(0, y - 0.177, z + 0.02))
    return [Part(Lathe(shell), shine, pose), Part(Lathe(lens), LENS, glass)]


def _fairing(build: _Build, coat: Material) -> list[Part]:
    """Build a pointed nose with twin lamps and a screen, and flanks down to the engine's foot."""
    y, z = build.head
    nose = (
        (y - 0.34, z - 0.06),
        (y - 0.1, z - 0.2),
        (y + 0.1, z - 0.12),
        (y + 0.02, z + 0.12),
        (y - 0.14, z + 0.12),
    )
    flank = (
        (y + 0.14, 0.3),
        (-0.1, 0.2),
        (0.2, 0.22),
        (0.24, 0.34),
        (0.0, 0.5),
        (-0.08, 0.74),
        (y + 0.02, z - 0.08),
        (y - 0.1, z - 0.16),
    )
    screen = ((y - 0.14, z + 0.1), (y + 0.02, z + 0.1), (y + 0.1, z + 0.3), (y + 0.07, z + 0.3))
    stripe = Material(paint("e8e6e0"), 0.2)
    return [
        side_view(nose, 0.36, (0, 0, 0), coat, bevel=0.07),
        side_view(flank, 0.33, (0, 0, 0), coat, bevel=0.02),
        side_view(((-0.25, 0.45), (0.02, 0.4), (0.0, 0.46), (-0.24, 0.52)), 0.335, (0, 0, 0), stripe),
        side_view(screen, 0.24, (0, 0, 0), Material(paint("3a4148"), 0.06), bevel=0.01),
        *(ball((0.06, 0.06, 0.035), (sign * 0.085, y - 0.24, z + 0.0), LENS) for sign in (-1, 1)),
    ]
