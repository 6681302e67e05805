"""Cars: hatchbacks, saloons, estates, off-roaders and vans."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pipelines.rendering.description import Material, Part, Role, Thing
from pipelines.rendering.parts import ball, block, box, paint, pick, shade, side_view, vary, wheel

Points = list[tuple[float, float]]

GLASS = Material(paint("1d2429"), roughness=0.06)
TRIM = Material(paint("26282a"), roughness=0.5)
RUBBER = Material(paint("1f1f20"), roughness=0.8)
ALLOY = Material(paint("c4c7ca"), roughness=0.3, metallic=True)
LENS = Material(paint("e9ecee"), roughness=0.08)
TAIL_LENS = Material(paint("a3121a"), roughness=0.12)
AMBER = Material(paint("d98020"), roughness=0.15)
PAINTS = tuple(
    paint(srgb)
    for srgb in (
        "b01f24",
        "1f3f7a",
        "d9dadb",
        "2a2c2f",
        "8e9499",
        "e6e3da",
        "2f5d46",
        "c98a1f",
        "5d7f9c",
        "6a2a35",
        "d4c23a",
    )
)


@dataclass(frozen=True)
class _Body:
    """A car's measures in metres; y runs from the nose (-) to the tail (+), about the middle.

    Attributes:
        length: length of the car.
        width: width of the car.
        height: height of the roof.
        wheelbase: distance of the axles.
        wheel_radius: radius of the tyres.
        clearance: height of the body's lower edge.
        belt: height of the windows' lower edge.
        bonnet: height of the bonnet's front edge.
        deck: height of the tail's upper edge.
        screen: y of the windscreen's foot and top.
        back: y of the rear window's top and foot.
        side_windows: number of windows on each side.
    """

    length: float
    width: float
    height: float
    wheelbase: float
    wheel_radius: float
    clearance: float
    belt: float
    bonnet: float
    deck: float
    screen: tuple[float, float]
    back: tuple[float, float]
    side_windows: int = 2

    @property
    def roof_rise(self) -> float:
        """Height of the roof above the windows' lower edge."""
        return self.height - self.belt


BODIES = (
    _Body(3.95, 1.7, 1.48, 2.5, 0.3, 0.18, 0.93, 0.68, 0.93, (-0.95, -0.25), (1.25, 1.72)),  # hatchback
    _Body(4.6, 1.8, 1.44, 2.72, 0.32, 0.17, 0.92, 0.68, 0.98, (-0.85, -0.1), (0.75, 1.45)),  # saloon
    _Body(4.65, 1.8, 1.46, 2.72, 0.32, 0.17, 0.92, 0.68, 0.94, (-0.9, -0.15), (1.85, 2.16), 3),  # estate
    _Body(4.5, 1.86, 1.72, 2.68, 0.38, 0.25, 1.08, 0.88, 1.08, (-0.98, -0.35), (1.8, 2.08), 3),  # off-roader
    _Body(4.85, 1.9, 1.98, 3.0, 0.34, 0.2, 1.12, 0.85, 1.12, (-1.7, -1.0), (2.2, 2.34), 3),  # van
)  # fmt: skip
LEAN = 0.27


def car(rng: np.random.Generator) -> Thing:
    """Build a car of one of five bodies, 3.8 to 5 m long, in one of many colours."""
    body = pick(rng, BODIES)
    coat = Material(vary(rng, pick(rng, PAINTS)), roughness=rng.uniform(0.15, 0.3))
    parts = [
        *_hull(body, coat),
        *_cabin(body, coat),
        *_face(rng, body),
        *_tail(rng, body),
        *_flanks(body, coat, has_trim=bool(rng.random() < 0.4)),
        *_wheels(rng, body),
    ]
    return Thing("car", Role.FOREGROUND, tuple(parts))


def _arch(center: float, body: _Body) -> Points:
    """Return the outline of a wheel's cut-out in the lower edge, front to rear."""
    radius = body.wheel_radius + 0.06
    low = math.asin((body.clearance - body.wheel_radius) / radius)
    angles = np.linspace(math.pi - low, low, 13)
    return [(center + radius * math.cos(a), body.wheel_radius + radius * math.sin(a)) for a in angles]


def _hull(body: _Body, coat: Material) -> list[Part]:
    """Build the body below the windows, open at the wheels, and the dark floor behind the openings."""
    half = body.length / 2
    low = body.clearance
    foot, rear_foot = body.screen[0], body.back[1]
    outline = [
        (-half + 0.12, low),
        *_arch(-body.wheelbase / 2, body),
        *_arch(body.wheelbase / 2, body),
        (half - 0.14, low + 0.06),
        (half - 0.01, low + 0.22),
        (half, body.deck - 0.25),
        (half - 0.05, body.deck - 0.02),
        (half - 0.14, body.deck),
        (min(rear_foot, half - 0.2), body.deck + 0.01),
        (foot, body.belt + 0.01),
        (foot - 0.5 * (foot + half), body.belt - 0.3 * (body.belt - body.bonnet)),
        (-half + 0.14, body.bonnet),
        (-half + 0.03, body.bonnet - 0.08),
        (-half, body.bonnet - 0.2),
        (-half + 0.02, low + 0.14),
    ]
    floor_height = body.bonnet - 0.16 - low
    return [
        side_view(outline, body.width, (0, 0, 0), coat, bevel=0.07),
        block((body.width - 0.5, body.length - 0.5, floor_height), (0, 0, low), TRIM),
    ]


def _cabin(body: _Body, coat: Material) -> list[Part]:
    """Build roof and pillars in the body's colour, and the windows between them."""
    width = body.width - 0.14
    rise = body.roof_rise
    (foot, top), (rear_top, rear_foot) = body.screen, body.back
    base = (0.0, 0.0, body.belt)
    middle = (top + rear_top) / 2
    # Roof and windows meet in two gentle edges each: smooth shading over a single edge would spread far.
    outline = [(foot, -0.1), (rear_foot, -0.1), (rear_foot, 0.0)]
    outline += [_between((rear_top, rise - 0.05), (rear_foot, 0.0), 0.08), (rear_top - 0.1, rise - 0.035)]
    outline += [(middle + 0.35, rise - 0.005), (middle - 0.35, rise)]
    outline += [(top + 0.1, rise - 0.03), _between((top, rise - 0.04), (foot, 0.0), 0.08), (foot, 0.0)]
    parts = [side_view(outline, width, base, coat, bevel=0.04, lean=LEAN)]
    parts += [side_view(window, width + 0.012, base, GLASS, lean=LEAN) for window in _side_windows(body)]
    screen = _pane((foot, 0.0), (top, rise - 0.04), outward=-0.012)
    rear = _pane((rear_foot, 0.0), (rear_top, rise - 0.05), outward=0.012)
    parts.append(side_view(screen, width - 0.14, base, GLASS, lean=LEAN))
    parts.append(side_view(rear, width - 0.18, base, GLASS, lean=LEAN))
    return parts


def _between(start: tuple[float, float], end: tuple[float, float], share: float) -> tuple[float, float]:
    return (start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share)


def _pane(foot: tuple[float, float], top: tuple[float, float], outward: float) -> Points:
    """Return the outline of a window across the car between two points; it stands out by `outward`."""
    a, b = _between(foot, top, 0.08), _between(foot, top, 0.9)
    inner = -4 * outward
    points = [(a[0] + outward, a[1]), (a[0] + inner, a[1]), (b[0] + inner, b[1]), (b[0] + outward, b[1])]
    return points if outward < 0 else points[::-1]


def _side_windows(body: _Body) -> list[Points]:
    """Return the outlines of the side windows: one band, divided by upright posts."""
    low, high = 0.03, body.roof_rise - 0.11
    (foot, top), (rear_top, rear_foot) = body.screen, body.back

    def front(z: float) -> float:
        return foot + (top - foot) * z / body.roof_rise + 0.13

    def rear(z: float) -> float:
        return rear_foot + (rear_top - rear_foot) * z / body.roof_rise - 0.13

    count = body.side_windows
    post = 0.05
    cuts = [front(high) + (rear(high) - front(high)) * share for share in ((0.47,), (0.38, 0.74))[count - 2]]
    lefts = [(front(low), front(high)), *((cut + post, cut + post) for cut in cuts)]
    rights = [*((cut - post, cut - post) for cut in cuts), (rear(low), rear(high))]
    return [
        [(left[0], low), (right[0], low), (right[1], high), (left[1], high)]
        for left, right in zip(lefts, rights, strict=True)
    ]


def _face(rng: np.random.Generator, body: _Body) -> list[Part]:
    """Build headlamps, grille, air intake and number plate."""
    y = -body.length / 2
    level = body.bonnet - 0.15
    grille = pick(rng, ((body.width * 0.42, 0.16), (body.width * 0.5, 0.1), (body.width * 0.3, 0.2)))
    side = body.width / 2 - 0.3
    parts = [
        block((grille[0], 0.08, grille[1]), (0, y + 0.02, level - grille[1] / 2), TRIM, bevel=0.02),
        block((0.09, 0.1, 0.07), (0, y + 0.02, level - 0.035), ALLOY, bevel=0.03),
        block((body.width * 0.62, 0.1, 0.13), (0, y + 0.05, body.clearance + 0.05), TRIM, bevel=0.03),
        block((0.46, 0.03, 0.11), (0, y - 0.005, body.clearance + 0.2), Material(paint("e8e8e2"), 0.4)),
    ]
    lamp_width = rng.uniform(0.28, 0.4)
    lamp = pick(rng, ("round", "wide"))
    for sign in (-1, 1):
        middle = (sign * side, y + 0.07, level)
        if lamp == "round":
            parts.append(ball((0.135, 0.1, 0.105), middle, LENS))
        else:
            parts.append(box((lamp_width, 0.16, 0.13), middle, LENS, bevel=0.05))
        parts.append(
            ball((0.06, 0.03, 0.045), (sign * (side + 0.02), y + 0.035, body.clearance + 0.14), LENS)
        )
    return parts


def _tail(rng: np.random.Generator, body: _Body) -> list[Part]:
    """Build tail lamps, number plate, bumper and exhaust."""
    y = body.length / 2
    level = body.deck - 0.2
    tall = rng.uniform(0.13, 0.26)
    plate = Material(pick(rng, (paint("e8e8e2"), paint("d8b830"))), 0.4)
    parts = [
        block((body.width * 0.8, 0.1, 0.1), (0, y - 0.06, body.clearance + 0.14), TRIM, bevel=0.03),
        block((0.5, 0.03, 0.12), (0, y, level - 0.12), plate),
        wheel(
            ((0.03, -0.01), (0.035, -0.01), (0.035, 0.01), (0.03, 0.01), (0.03, -0.01)),
            (0.5, y - 0.1, 0.2),
            ALLOY,
        ),
    ]
    for sign in (-1, 1):
        x = sign * (body.width / 2 - 0.2)
        parts.append(box((0.24, 0.12, tall), (x, y - 0.03, level), TAIL_LENS, bevel=0.04))
        parts.append(box((0.22, 0.12, 0.05), (x, y - 0.025, level - tall / 2 - 0.03), AMBER, bevel=0.02))
    return parts


def _flanks(body: _Body, coat: Material, has_trim: bool) -> list[Part]:
    """Build door gaps and handles, sills and mirrors."""
    half = body.width / 2
    sill = body.clearance
    (foot, top), _ = body.screen, body.back
    gap = Material(shade(coat.color, 0.25), 0.6)
    tall = body.belt - 0.06 - sill - 0.1
    front, rear = (
        -body.wheelbase / 2 + body.wheel_radius + 0.16,
        body.wheelbase / 2 - body.wheel_radius - 0.02,
    )
    joints = (front, (front + rear) / 2 + 0.05, rear)
    parts = [block((body.width + 0.004, 0.014, tall), (0, y, sill + 0.1), gap) for y in joints]
    parts.append(block((body.width + 0.004, rear - front, 0.012), (0, (front + rear) / 2, sill + 0.1), gap))
    length = body.wheelbase - 2 * body.wheel_radius - 0.2
    parts.append(block((body.width - 0.02, length, 0.1), (0, 0, sill - 0.03), TRIM, bevel=0.02))
    if has_trim:
        parts.append(
            block(
                (body.width + 0.03, rear - front + 0.1, 0.07),
                (0, (front + rear) / 2, sill + 0.26),
                TRIM,
                0.012,
            )
        )
    for sign in (-1, 1):
        parts += [
            box((0.05, 0.16, 0.03), (sign * half, y - 0.16, body.belt - 0.12), TRIM, bevel=0.012)
            for y in joints[1:]
        ]
        mirror = (sign * (half + 0.07), foot + (top - foot) * 0.3, body.belt + 0.07)
        parts.append(ball((0.1, 0.06, 0.075), mirror, coat))
        parts.append(block((0.14, 0.05, 0.03), (sign * half, mirror[1], body.belt + 0.01), TRIM))
    return parts


def _wheels(rng: np.random.Generator, body: _Body) -> list[Part]:
    spokes = int(pick(rng, (0, 5, 5, 6, 7, 10)))
    radius = body.wheel_radius
    parts: list[Part] = []
    for sign in (-1, 1):
        for y in (-body.wheelbase / 2, body.wheelbase / 2):
            parts += road_wheel((sign * (body.width / 2 - 0.11), y, radius), radius, 0.2, spokes, sign)
    return parts


def road_wheel(
    middle: tuple[float, float, float], radius: float, width: float, spokes: int, side: int
) -> list[Part]:
    """Build a tyre on an alloy rim whose outside faces `side` (-1 or 1) along x; no spokes: a hub cap."""
    x, y, z = middle
    half = width / 2
    rim = radius * 0.68
    tread = ((rim, -half), (radius - 0.035, -half), (radius, -half + 0.04), (radius, half - 0.04))
    tyre = (*tread, (radius - 0.035, half), (rim, half), (rim, -half))
    ring = ((rim - 0.03, -half * 0.95), (rim, -half * 0.95), (rim, half * 0.95), (rim - 0.03, half * 0.95))
    face = x + side * half * 0.7
    parts = [
        wheel(tyre, middle, RUBBER),
        wheel((*ring, ring[0]), middle, ALLOY, smooth=False),
        wheel(
            ((0, -half * 0.4), (rim - 0.02, -half * 0.4), (rim - 0.02, half * 0.4), (0, half * 0.4)),
            middle,
            TRIM,
        ),
    ]
    if spokes == 0:
        return [*parts, ball((half * 0.5, rim - 0.02, rim - 0.02), (x + side * half * 0.5, y, z), ALLOY)]
    for spoke in range(spokes):
        angle = 360 * spoke / spokes
        up = (rim - 0.02) / 2
        center = (face, y - up * math.sin(math.radians(angle)), z + up * math.cos(math.radians(angle)))
        parts.append(
            box((0.025, 0.3 * radius / math.sqrt(spokes), rim - 0.02), center, ALLOY, bevel=0.008, roll=angle)
        )
    return [*parts, ball((0.03, 0.055, 0.055), (face, y, z), ALLOY)]
