"""Human proportions and postures, and the tubes of a body in a posture.

Segment lengths and breadths as fractions of stature follow Drillis and Contini, "Body Segment
Parameters", 1966.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.rendering.description import Tube
from pipelines.rendering.figures.body_tubes import Point, limb, lump, shifted

SIDES = (1, -1)  # left is at +x, since a figure faces -y
UPPER_ARM, FOREARM, SHANK = 0.172, 0.146, 0.246
ANKLE, WAIST, CHEST, SHOULDER, NECK, CHIN = 0.045, 0.61, 0.72, 0.797, 0.832, 0.872
Angles = tuple[float, float]  # degrees: forward from hanging down, outward from the body


@dataclass(frozen=True)
class Physique:
    """Proportions of a person.

    Attributes:
        height: metres.
        girth: 1 is average, less is slim, more is heavy.
        feminine: 0..1; narrows shoulders and waist and widens hips.
        head: height of the head, metres.
        legs: height of the hip joint as a fraction of `height`.
        child: whether the person is a child.
    """

    height: float
    girth: float
    feminine: float
    head: float
    legs: float
    child: bool


@dataclass(frozen=True)
class Limb:
    """Directions of an arm or leg.

    Attributes:
        upper: direction of the upper arm or thigh.
        lower: direction of the forearm or shank.
        toes: degrees by which a leg's toes are raised.
    """

    upper: Angles
    lower: Angles
    toes: float = 0.0


@dataclass(frozen=True)
class Posture:
    """Directions of all limbs and of the trunk.

    Attributes:
        arms: left and right arm.
        legs: left and right leg.
        lean: degrees by which the trunk leans forward.
        twist: degrees by which the shoulders turn to the left against the hips.
    """

    arms: tuple[Limb, Limb]
    legs: tuple[Limb, Limb]
    lean: float = 0.0
    twist: float = 0.0


RELAXED = Limb((2, 11), (14, 5))
STRAIGHT = Limb((1, 4), (-2, 3))
EASED = Limb((14, 9), (-8, 6))
BOTH_STRAIGHT = (STRAIGHT, STRAIGHT)
POSTURES = (
    Posture((RELAXED, RELAXED), BOTH_STRAIGHT),
    Posture((RELAXED, Limb((-4, 13), (8, 7))), (STRAIGHT, EASED)),
    Posture(  # walking
        (Limb((-26, 11), (-6, 6)), Limb((20, 9), (44, 0))),
        (Limb((25, 2), (13, 2), 16), Limb((-14, 2), (-38, 2), -34)),
        lean=3,
        twist=9,
    ),
    Posture(  # strolling
        (Limb((-14, 11), (0, 6)), Limb((13, 10), (30, 2))),
        (Limb((15, 2), (4, 2), 4), Limb((-8, 2), (-22, 2), -18)),
        lean=2,
        twist=5,
    ),
    Posture(  # running
        (Limb((-48, 15), (38, -4)), Limb((28, 12), (112, -18))),
        (Limb((42, 2), (-14, 2), -4), Limb((-16, 2), (-80, 2), -72)),
        lean=11,
        twist=12,
    ),
    Posture((Limb((-14, 46), (24, -50)), Limb((-14, 46), (24, -50))), BOTH_STRAIGHT),  # arms akimbo
    Posture((Limb((-14, 46), (24, -50)), RELAXED), (EASED, STRAIGHT)),
    Posture((Limb((40, 82), (168, 12)), RELAXED), BOTH_STRAIGHT),  # waving
    Posture((Limb((168, 28), (174, 12)), Limb((168, 28), (174, 12))), (STRAIGHT, Limb((4, 12), (0, 11)))),
    Posture((Limb((84, 18), (88, 12)), RELAXED), (STRAIGHT, EASED)),  # pointing
    Posture((Limb((22, 14), (128, -16)), RELAXED), (EASED, STRAIGHT)),  # looking at a telephone
    Posture((Limb((14, 14), (68, -42)), Limb((14, 14), (62, -42))), BOTH_STRAIGHT),  # hands before the body
    Posture((Limb((-24, 16), (-12, -40)), Limb((-24, 16), (-12, -40))), BOTH_STRAIGHT),  # hands behind it
)


@dataclass(frozen=True, eq=False)
class Arm:
    """Joints of an arm, [3] metres each."""

    shoulder: Point
    elbow: Point
    wrist: Point


@dataclass(frozen=True, eq=False)
class Leg:
    """Joints of a leg, [3] metres each.

    Attributes:
        hip: joint of hip and thigh.
        knee: joint of thigh and shank.
        ankle: joint of shank and foot.
        toes: direction from heel to toes, not of unit length.
    """

    hip: Point
    knee: Point
    ankle: Point
    toes: Point


@dataclass(frozen=True, eq=False)
class Body:
    """Joints of a person who stands with the lowest sole on z = 0 and the pelvis above the origin."""

    physique: Physique
    pelvis: Point
    waist: Point
    chest: Point
    neck: Point
    chin: Point
    arms: tuple[Arm, Arm]
    legs: tuple[Leg, Leg]

    @property
    def thickness(self) -> float:
        """Unit of the limbs' radii, metres."""
        result: float = self.physique.height * self.physique.girth**0.6
        return result


def draw_physique(rng: np.random.Generator) -> Physique:
    """Draw the proportions of a man, a woman or a child."""
    feminine = float(rng.uniform(0.0, 0.15) if rng.random() < 0.5 else rng.uniform(0.8, 1.0))
    girth = float(np.clip(np.exp(rng.normal(0, 0.14)), 0.85, 1.35))
    if rng.random() < 0.15:
        height = float(rng.uniform(1.05, 1.4))
        return Physique(height, min(girth, 1.12), 0.4, height * 0.06 + 0.135, 0.492, child=True)
    height = float(np.clip(rng.normal(1.765 - 0.125 * feminine, 0.07), 1.5, 1.95))
    return Physique(height, girth, feminine, height * 0.05 + 0.143, 0.522, child=False)


def draw_posture(rng: np.random.Generator) -> Posture:
    """Draw a posture, vary it a little, and exchange left and right half of the time."""
    posture = POSTURES[int(rng.integers(len(POSTURES)))]
    arms, legs = (tuple(_varied(member, rng) for member in pair) for pair in (posture.arms, posture.legs))
    twist = posture.twist
    if rng.random() < 0.5:
        arms, legs, twist = arms[::-1], legs[::-1], -twist
    return Posture((arms[0], arms[1]), (legs[0], legs[1]), posture.lean, twist)


def _varied(member: Limb, rng: np.random.Generator) -> Limb:
    forward, outward = rng.normal(0, (2.5, 1.2))
    return Limb(
        (member.upper[0] + forward, member.upper[1] + abs(outward)),
        (member.lower[0] + forward, member.lower[1] + abs(outward)),
        member.toes,
    )


def stand(physique: Physique, posture: Posture) -> Body:
    """Compute the joints of a body in a posture."""
    drop = min(_lowest(leg, physique.height) for leg in _legs(physique, posture, np.zeros(3)))
    pelvis = np.array([0, 0, -drop])
    lean = np.radians(posture.lean)
    up = np.array([0, -np.sin(lean), np.cos(lean)]) * physique.height * (1 - physique.legs) / 0.478
    waist, chest, shoulder, neck = (pelvis + up * (level - 0.522) for level in (WAIST, CHEST, SHOULDER, NECK))
    reach = physique.height * (0.103 - 0.012 * physique.feminine)
    left, right = (
        _arm(physique.height, shoulder + _turned(side * reach, posture.twist), limb_, side)
        for side, limb_ in zip(SIDES, posture.arms, strict=True)
    )
    chin = shifted(neck, y=-0.012, z=physique.height * (CHIN - NECK))
    return Body(physique, pelvis, waist, chest, neck, chin, (left, right), _legs(physique, posture, pelvis))


def torso(body: Body) -> tuple[Tube, ...]:
    """Build the trunk from the shoulders to the waist, of two columns side by side."""
    physique = body.physique
    size = body.physique.height
    thick = size * physique.girth
    middle = (body.arms[0].shoulder + body.arms[1].shoulder) / 2
    tubes = list(shoulders(body))
    for side, joints in zip(SIDES, body.arms, strict=True):
        chest = body.chest + 0.38 * (joints.shoulder - middle)
        waist = shifted(body.waist, side * 0.028 * thick)
        tubes += [
            limb(shifted(chest, z=0.03 * size), waist, 0.06 * thick, _waist(physique)),
            limb(shifted(chest, z=0.035 * size), joints.shoulder, 0.046 * thick, 0.024 * size),
        ]
        if physique.feminine > 0.5:
            tubes.append(lump(shifted(chest, y=-0.04 * thick, z=0.002 * size), 0.035 * thick))
    return tuple(tubes)


def shoulders(body: Body) -> tuple[Tube, ...]:
    """Build the slopes from the neck to the arms."""
    size = body.physique.height
    base = shifted(body.neck, z=-0.012 * size)
    tubes = []
    for joints in body.arms:
        nape = shifted(body.neck, z=0.014 * size)
        middle = body.neck + 0.62 * (joints.shoulder - body.neck)
        tubes += [
            limb(base, joints.shoulder, 0.033 * size, 0.023 * body.thickness),
            limb(nape, shifted(middle, z=0.004 * size), 0.026 * size, 0.024 * body.thickness),
        ]
    return tuple(tubes)


def seat(body: Body) -> tuple[Tube, ...]:
    """Build the trunk from the waist to the hips, belly included."""
    physique = body.physique
    size = body.physique.height
    thick = size * physique.girth
    hips = (0.054 + 0.004 * physique.feminine) * thick
    tubes = []
    for side, joints in zip(SIDES, body.legs, strict=True):
        waist = shifted(body.waist, side * 0.028 * thick)
        hip = shifted((joints.hip + body.pelvis) / 2, side * 0.014 * thick, 0.01 * size, 0.012 * size)
        tubes.append(limb(waist, hip, _waist(physique), hips))
    belly = max(0.0, physique.girth - 1.0) * 0.12 * size
    return (*tubes, lump(shifted((body.waist + body.pelvis) / 2, y=-belly, z=0.01 * size), 0.06 * thick))


def _waist(physique: Physique) -> float:
    return (0.052 - 0.006 * physique.feminine) * physique.height * physique.girth


def neck(body: Body) -> tuple[Tube, ...]:
    """Build the neck."""
    size = body.thickness * (0.0335 - 0.005 * body.physique.feminine)
    return (limb(body.neck, shifted(body.chin, y=0.02, z=0.25 * body.physique.head), 1.1 * size, size),)


def arm(body: Body, index: int, reach: float = 2.0) -> tuple[Tube, ...]:
    """Build an arm from the shoulder down to `reach`: 1 is the elbow, 2 the wrist."""
    joints = body.arms[index]
    size = body.thickness * (1 - 0.12 * body.physique.feminine)
    return _chain(
        (joints.shoulder, joints.elbow, joints.wrist), ((0.0275, 0.0235), (0.0245, 0.0165)), size, reach
    )


def leg(body: Body, index: int, reach: float = 2.0) -> tuple[Tube, ...]:
    """Build a leg from the hip down to `reach`: 1 is the knee, 2 the ankle."""
    joints = body.legs[index]
    size = body.thickness
    chain = _chain((joints.hip, joints.knee, joints.ankle), ((0.049, 0.0325), (0.0335, 0.0215)), size, reach)
    if reach <= 1.3:
        return chain
    calf = joints.knee + 0.3 * (joints.ankle - joints.knee) - joints.toes * 0.012 * size
    return (
        limb(calf, joints.knee + 0.55 * (joints.ankle - joints.knee), 0.0325 * size, 0.027 * size),
        *chain,
    )


def _chain(
    joints: tuple[Point, Point, Point], radii: tuple[tuple[float, float], ...], size: float, reach: float
) -> tuple[Tube, ...]:
    tubes = []
    for index, (thick, thin) in enumerate(radii):
        share = min(1.0, reach - index)
        if share > 0:
            start, end = joints[index], joints[index] + share * (joints[index + 1] - joints[index])
            tubes.append(limb(start, end, size * thick, size * (thick + share * (thin - thick))))
    return tuple(tubes)


def _legs(physique: Physique, posture: Posture, pelvis: Point) -> tuple[Leg, Leg]:
    apart = physique.height * (0.05 + 0.004 * physique.feminine)
    left, right = (
        _leg(physique, pelvis + _turned(side * apart, -posture.twist / 3), limb_, side)
        for side, limb_ in zip(SIDES, posture.legs, strict=True)
    )
    return left, right


def _leg(physique: Physique, hip: Point, angles: Limb, side: int) -> Leg:
    length = physique.height * physique.legs / 0.522
    knee = hip + _direction(angles.upper, side) * length * (0.522 - SHANK - ANKLE)
    ankle = knee + _direction(angles.lower, side) * length * SHANK
    toes = np.radians(angles.toes)
    return Leg(hip, knee, ankle, np.array([side * 0.14 * np.cos(toes), -np.cos(toes), np.sin(toes)]))


def _arm(height: float, shoulder: Point, angles: Limb, side: int) -> Arm:
    elbow = shoulder + _direction(angles.upper, side) * height * UPPER_ARM
    return Arm(shoulder, elbow, elbow + _direction(angles.lower, side) * height * FOREARM)


def _direction(angles: Angles, side: int) -> Point:
    forward, outward = np.radians(angles)
    return np.array(
        [side * np.sin(outward), -np.cos(outward) * np.sin(forward), -np.cos(outward) * np.cos(forward)]
    )


def _turned(reach: float, degrees: float) -> Point:
    """Return the point at distance `reach` along x, turned about z."""
    return np.array([reach * np.cos(np.radians(degrees)), reach * np.sin(np.radians(degrees)), 0.0])


def sole(leg: Leg, height: float) -> tuple[Point, Point]:
    """Return the points below the heel and the ball of the foot."""
    below = leg.ankle - upward(leg) * ANKLE * height
    return below - 0.032 * height * leg.toes, below + 0.08 * height * leg.toes


def upward(leg: Leg) -> Point:
    """Return the unit direction from the sole to the instep."""
    ahead = leg.toes / np.linalg.norm(leg.toes)
    up = np.array([0, 0, 1.0]) - ahead[2] * ahead
    result: Point = up / np.linalg.norm(up)
    return result


def _lowest(leg: Leg, height: float) -> float:
    return float(min(point[2] for point in sole(leg, height)))
