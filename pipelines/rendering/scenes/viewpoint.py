"""Choice of the foreground's position and of the camera."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from pipelines.rendering.description import Camera, Pose, Role, Thing, Vector
from pipelines.rendering.scenes.space import Solids, bounding_box, solids_of, upright_box
from pipelines.rendering.scenes.stage import STEP_METERS, Content, Place

ASPECT = 16 / 9
"""Width by height of the pictures that views are framed for; a squarer picture shows more above and below."""
MARGIN = 0.03
TRIALS = 400
ENOUGH_TRIALS = 60
"""Number of trials after which one accepted view is enough."""
CHOICES = 8
COVERAGE = (0.025, 0.4)
MOST_CLUTTER = 0.2
SKY_METERS = 150.0
SKY_WORTH = 4.0
"""Interest of an upper half full of sky, against 1.5 of a figure: conditions differ in the sky most."""
CAMERA_CLEARANCE_METERS = 0.25


@dataclass(frozen=True)
class Framing:
    """Framing of a category's views; ranges are drawn from uniformly.

    Attributes:
        fill: share of the picture's height or (times 0.8) width, whichever is reached first.
        angles: angle of the camera to the foreground's front, to both sides; degrees.
        eye: height of the camera above the ground, metres; None where `elevation` determines it.
        elevation: angle by which the camera looks down on a thing on a table, degrees.
        field_of_view: angle across the picture's longer side, degrees.
        lowered: mean distance of the foreground below the middle, as a share of half the picture's height.
        most_hidden: greatest share of the foreground that other things may hide.
    """

    fill: tuple[float, float]
    angles: tuple[float, float]
    eye: tuple[float, float] | None = (0.9, 1.9)
    elevation: tuple[float, float] = (3, 18)
    field_of_view: tuple[float, float] = (42, 62)
    lowered: float = 0.0
    most_hidden: float = 0.04


PERSON = Framing((0.45, 0.9), (0, 60), (0.8, 1.7), lowered=0.12)
SMALL = Framing((0.3, 0.6), (0, 180), None, field_of_view=(42, 60), lowered=0.3)
FRAMINGS = {
    "human": PERSON,
    "dog": Framing((0.4, 0.75), (25, 80), (0.4, 1.0), lowered=0.15),
    "cow": Framing((0.45, 0.8), (25, 85), (1.0, 1.8)),
    "car": Framing((0.45, 0.8), (20, 75), (0.9, 1.9)),
    "motorcycle": Framing((0.5, 0.85), (35, 85), (0.8, 1.6)),
    "couch": Framing((0.5, 0.85), (0, 50), (0.8, 1.5), lowered=0.1, most_hidden=0.12),
    "chair": Framing((0.45, 0.8), (10, 60), (0.7, 1.4), lowered=0.1, most_hidden=0.08),
    "knife": replace(SMALL, fill=(0.6, 0.9), elevation=(15, 40)),
}


def find_view(
    content: Content, foreground: Thing, places: Sequence[Place], rng: np.random.Generator
) -> tuple[Thing, Camera] | None:
    """Choose the most interesting of a few views that show the foreground whole.

    Args:
        content: scene without foreground.
        foreground: thing that stands on z = 0 about the origin and faces -y.
        places: places where it may stand.
        rng: source of all draws.

    Returns:
        The foreground in its position, and the camera; None where no view was found.
    """
    small = float(np.ptp(bounding_box(foreground).bounds(), axis=0).max()) <= 0.6
    framing = FRAMINGS.get(foreground.category, SMALL if small else PERSON)
    views: list[tuple[float, Thing, Camera]] = []
    for trial in range(TRIALS if places else 0):
        view = _draw(content, foreground, places[int(rng.integers(len(places)))], framing, rng)
        if view is not None:
            standing, camera = view
            views.append((_interest(content, camera), standing, camera))
        if len(views) == CHOICES or (views and trial >= ENOUGH_TRIALS):
            break
    return max(views, key=lambda view: view[0])[1:] if views else None


def coverage(solids: Solids, camera: Camera) -> float:
    """Estimate the share of the picture, 0..1, that boxes fill, hidden parts included."""
    height = 90
    picture = np.zeros((height, round(height * ASPECT)), np.uint8)
    scale = np.array([picture.shape[1], height]) / 2
    for corners in solids.corners():
        points = (project(camera, corners) * (1, -1) + 1) * scale
        cv2.fillConvexPoly(picture, cv2.convexHull(points.round().astype(np.int32)), 1)
    return float(picture.mean())


def project(camera: Camera, points: np.ndarray) -> np.ndarray:
    """Project points [N, 3] into the picture: float64 [N, 2], right and up, the edges at -1 and 1."""
    right, up, ahead = _frame(camera)
    offsets = points - np.array(camera.position)
    depth = np.maximum(offsets @ ahead, 1e-3)
    half_width = math.tan(math.radians(camera.field_of_view_degrees) / 2)
    return np.asarray(
        np.stack([offsets @ right / half_width, offsets @ up / half_width * ASPECT], -1) / depth[:, None]
    )


def _draw(
    content: Content, foreground: Thing, place: Place, framing: Framing, rng: np.random.Generator
) -> tuple[Thing, Camera] | None:
    """Draw one view; None where it is not acceptable."""
    any_heading = place.heading_degrees is None
    yaw = rng.uniform(0, 360) if any_heading else (place.heading_degrees or 0.0) + rng.normal(0, 4)
    standing = replace(foreground, pose=Pose(place.point(rng), float(yaw)))
    if not _is_free(content, standing):
        return None
    camera = _point_camera(standing, framing, rng)
    if not _is_clear(content, camera):
        return None
    solids = solids_of(standing)
    if np.abs(project(camera, solids.corners().reshape(-1, 3))).max() > 1:
        return None
    is_good = COVERAGE[0] <= coverage(solids, camera) <= COVERAGE[1]
    is_good = is_good and not _is_hidden(content, standing, camera, framing.most_hidden)
    return (standing, camera) if is_good else None


def _point_camera(standing: Thing, framing: Framing, rng: np.random.Generator) -> Camera:
    """Draw a camera at the distance that the framing asks for, aimed beside the foreground's middle."""
    solids = solids_of(standing)
    lowest, highest = solids.bounds()
    middle = (lowest + highest) / 2
    angle = rng.uniform(*framing.angles) * rng.choice([-1, 1])
    azimuth = math.radians(standing.pose.yaw_degrees - 90 + angle)
    eye = None if framing.eye is None else standing.pose.position[2] + rng.uniform(*framing.eye)
    rise = math.tan(math.radians(rng.uniform(*framing.elevation)))
    fill = rng.uniform(*framing.fill)
    field_of_view = rng.uniform(*framing.field_of_view)
    aside = rng.normal((0, -framing.lowered), (0.25, 0.08))

    def camera(distance: float) -> Camera:
        height = middle[2] + distance * rise if eye is None else eye
        position = (
            middle[0] + distance * math.cos(azimuth),
            middle[1] + distance * math.sin(azimuth),
            height,
        )
        return Camera(_vector(position), _vector(middle), float(field_of_view))

    corners = solids.corners().reshape(-1, 3)
    nearest = float(np.linalg.norm(highest - lowest)) / 2
    near, far = nearest, 60 * nearest
    for _ in range(14):
        distance = (near + far) / 2
        spread = np.ptp(project(camera(distance), corners), axis=0) / 2
        near, far = (distance, far) if max(spread[0] * 1.25, spread[1]) > fill else (near, distance)
    return _shift_target(camera(far), corners, aside)


def _shift_target(camera: Camera, corners: np.ndarray, aside: np.ndarray) -> Camera:
    """Move the foreground off the middle by a share of half the picture, as far as it stays inside."""
    projected = project(camera, corners)
    least, most = MARGIN - 1 - projected.min(0), 1 - MARGIN - projected.max(0)
    shift = np.clip(aside, np.minimum(least, 0), np.maximum(most, 0))
    right, up, _ = _frame(camera)
    middle = np.array(camera.target)
    half_width = math.tan(math.radians(camera.field_of_view_degrees) / 2) * np.linalg.norm(
        middle - np.array(camera.position)
    )
    return replace(camera, target=_vector(middle - half_width * (shift[0] * right + shift[1] / ASPECT * up)))


def _is_free(content: Content, standing: Thing) -> bool:
    raised = replace(
        standing, pose=replace(standing.pose, position=_raised(standing.pose.position, STEP_METERS))
    )
    return not bounding_box(raised).touches(content.solids)


def _is_clear(content: Content, camera: Camera) -> bool:
    """Tell whether the camera is in the room, off the ground, and at some distance from all things."""
    position = np.array(camera.position)
    if content.room is not None and not (
        (position > content.room[0]).all() and (position < content.room[1]).all()
    ):
        return False
    distance = math.dist(camera.position, camera.target)
    reach = min(CAMERA_CLEARANCE_METERS, 0.2 * distance)
    return bool(position[2] > 0.15) and not upright_box(position - reach, position + reach).touches(
        content.solids
    )


def _is_hidden(content: Content, standing: Thing, camera: Camera, most_hidden: float) -> bool:
    """Tell whether things hide the foreground, or nearer things fill too much of the picture."""
    eye = np.array(camera.position)
    solids = solids_of(standing)
    points = np.concatenate([solids.centers, solids.corners().reshape(-1, 3)])
    points = eye + 0.98 * (points[:: max(1, len(points) // 60)] - eye)
    if content.solids.hidden(eye, points).mean() > most_hidden:
        return True
    before = eye + 0.8 * math.dist(camera.position, camera.target) * _rays(camera, -0.9)
    return bool(content.solids.hidden(eye, before).mean() > MOST_CLUTTER)


def _rays(camera: Camera, lowest: float) -> np.ndarray:
    """Return directions spread over the picture above `lowest` (-1 is its lower edge), float64 [40, 3]."""
    right, up, ahead = _frame(camera)
    across, above = np.meshgrid(np.linspace(-0.9, 0.9, 8), np.linspace(lowest, 0.9, 5))
    half_width = math.tan(math.radians(camera.field_of_view_degrees) / 2)
    offsets = across.reshape(-1, 1) * right + above.reshape(-1, 1) / ASPECT * up
    return np.asarray(ahead + half_width * offsets)


def _interest(content: Content, camera: Camera) -> float:
    """Rate what a view shows besides the foreground, the sky included."""
    eye = np.array(camera.position)
    _, _, ahead = _frame(camera)
    worth = {Role.FIGURE: 1.5, Role.PROP: 0.6, Role.STRUCTURE: 0.5, Role.VEGETATION: 0.4}
    sky = 1 - content.solids.hidden(eye, eye + SKY_METERS * _rays(camera, 0.0)).mean()
    total = SKY_WORTH * float(sky)
    for thing in content.things:
        middle = np.add(thing.pose.position, (0, 0, 0.5))
        distance = float((middle - eye) @ ahead)
        if 1 < distance < 70 and np.abs(project(camera, middle[None])).max() < 1:
            total += worth.get(thing.role, 0.0)
    return total


def _frame(camera: Camera) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the camera's unit directions to the right, up and ahead, float64 [3] each."""
    x, y, z = (target - position for target, position in zip(camera.target, camera.position, strict=True))
    level, length = math.hypot(x, y), math.hypot(x, y, z)
    right, ahead = np.array((y, -x, 0.0)) / level, np.array((x, y, z)) / length
    return right, np.array((-x * z, -y * z, level * level)) / (level * length), ahead


def _raised(point: Vector, by: float) -> Vector:
    return (point[0], point[1], point[2] + by)


def _vector(values: Sequence[float] | np.ndarray) -> Vector:
    return (float(values[0]), float(values[1]), float(values[2]))
