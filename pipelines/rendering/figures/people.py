"""People: a body in a posture with head, hands and clothes."""

from __future__ import annotations

import numpy as np

from pipelines.rendering.description import Material, Part, Role, Thing
from pipelines.rendering.figures.anatomy import (
    SIDES,
    Arm,
    Body,
    arm,
    draw_physique,
    draw_posture,
    leg,
    neck,
    shoulders,
    stand,
)
from pipelines.rendering.figures.body_tubes import Point, blended, limb
from pipelines.rendering.figures.clothing import RESOLUTION_METERS, SMOOTHING_METERS, Outfit, dress
from pipelines.rendering.figures.head import head
from pipelines.rendering.parts import paint, pick, vary

SKINS = tuple(map(paint, ("f0c8a8", "e2b08c", "cf9a72", "b47c55", "8d5a3b", "6a422b", "4a2d1d")))


def human(rng: np.random.Generator) -> Thing:
    """Build a dressed man, woman or child who stands, walks, runs or waves."""
    body = stand(draw_physique(rng), draw_posture(rng))
    skin = Material(vary(rng, pick(rng, SKINS), 0.08), 0.7)
    outfit = dress(rng, body)
    parts = (
        *head(rng, body.physique, body.chin, skin),
        _skin(body, skin, outfit),
        *(_hand(body, joints, side, skin) for side, joints in zip(SIDES, body.arms, strict=True)),
        *outfit.parts,
    )
    return Thing("human", Role.FOREGROUND, parts)


def _skin(body: Body, skin: Material, outfit: Outfit) -> Part:
    """Build the skin that the clothes do not cover, without head and hands."""
    tubes = [*neck(body), *shoulders(body)]
    for index in (0, 1):
        tubes += leg(body, index) if outfit.bare_legs else ()
        tubes += arm(body, index) if outfit.sleeve < 1.9 else arm(body, index)[1:]
    return blended(tubes, skin, SMOOTHING_METERS, RESOLUTION_METERS)


def _hand(body: Body, joints: Arm, side: int, skin: Material) -> Part:
    """Build palm, four slightly bent fingers, and a thumb that points to the body's front."""
    size = body.physique.height * (1 - 0.06 * body.physique.feminine)
    ahead, across, inward = _hand_frame(joints, side)
    wrist = joints.wrist - 0.01 * size * ahead
    tubes = []
    for index, length in zip(range(4), (0.040, 0.045, 0.042, 0.033), strict=True):
        spread = (1.5 - index) * 0.0118
        knuckle = wrist + size * (0.062 * ahead + spread * across)
        bent = knuckle + size * length * 0.55 * (0.95 * ahead + 0.3 * inward + 2 * spread * across)
        tip = bent + size * length * 0.45 * (0.75 * ahead + 0.65 * inward)
        tubes += [
            limb(wrist + 0.55 * spread * size * across, knuckle, 0.013 * size, 0.0098 * size),
            limb(knuckle, bent, 0.0066 * size, 0.0058 * size),
            limb(bent, tip, 0.0058 * size, 0.0048 * size),
        ]
    root = wrist + size * (0.02 * ahead + 0.012 * across)
    thumb = root + size * (0.028 * ahead + 0.022 * across + 0.008 * inward)
    tubes += [limb(root, thumb, 0.0105 * size, 0.0075 * size)]
    tubes += [limb(thumb, thumb + size * (0.022 * ahead + 0.004 * across), 0.0072 * size, 0.0055 * size)]
    return blended(tubes, skin, 0.006, 0.006)


def _hand_frame(joints: Arm, side: int) -> tuple[Point, Point, Point]:
    """Return the directions of the fingers, of the thumb's side and of the palm."""
    ahead = joints.wrist - joints.elbow
    ahead /= np.linalg.norm(ahead)
    inward = np.array([-side, 0.0, 0.0]) if abs(ahead[0]) < 0.8 else np.array([0.0, 0.0, -1.0])
    inward -= (inward @ ahead) * ahead
    inward /= np.linalg.norm(inward)
    across = np.cross(ahead, inward)
    front = np.array([0.0, -1.0, 0.5])
    return ahead, across if across @ front > 0 else -across, inward
