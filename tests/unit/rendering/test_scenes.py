"""Scenes are drawn by seed; their views show one foreground whole, and it collides with nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from charmnet.vocabulary import RDHARMONY_CATEGORIES
from pipelines.rendering import scenes
from pipelines.rendering.description import Box, Camera, Material, Part, Pose, Role, Scene, Thing, Tube
from pipelines.rendering.scenes.space import Solids, bounding_box, solids_of
from pipelines.rendering.scenes.viewpoint import coverage, project

EVERY_KIND = tuple(
    (kind, category)
    for kind, category in zip(scenes.KINDS, ("human", "dog", "cow", "car", "chair", "bottle"), strict=True)
)


def a_box(size: tuple[float, float, float], at: tuple[float, float, float], yaw: float = 0.0) -> Thing:
    return Thing("box", Role.PROP, (Part(Box(size), Material((0.5, 0.5, 0.5))),), Pose(at, yaw))


def obstacles(scene: Scene) -> Solids:
    return Solids.join(
        solids_of(thing) for thing in scene.things if thing.role not in (Role.GROUND, Role.FOREGROUND)
    )


@pytest.fixture(scope="module", params=EVERY_KIND, ids="-".join)
def scene(request: pytest.FixtureRequest) -> Scene:
    kind, category = request.param
    return scenes.describe(kind, category, seed=3, view=0)


def test_a_scene_survives_json(scene: Scene) -> None:
    assert Scene.from_json(json.loads(json.dumps(scene.to_json()))) == scene


def test_the_foreground_collides_with_nothing(scene: Scene) -> None:
    foreground = scene.foreground
    x, y, z = foreground.pose.position
    raised = replace(foreground, pose=replace(foreground.pose, position=(x, y, z + 0.02)))
    assert not bounding_box(raised).touches(obstacles(scene))


def test_the_foreground_stands_on_something(scene: Scene) -> None:
    """There is ground, a floor or a top just below it."""
    foreground = scene.foreground
    rest = Solids.join(solids_of(thing) for thing in scene.things if thing is not foreground)
    lowest, highest = bounding_box(foreground).bounds()
    middle = np.array([*(lowest + highest)[:2] / 2, foreground.pose.position[2]])
    above = np.add(middle, (0, 0, 0.1))
    assert rest.hidden(above, middle[None] - (0, 0, 0.05)).all()
    assert not obstacles(scene).hidden(above, middle[None] + (0, 0, 0.012)).any()


def test_the_camera_sees_the_whole_foreground(scene: Scene) -> None:
    corners = solids_of(scene.foreground).corners().reshape(-1, 3)
    assert np.abs(project(scene.camera, corners)).max() <= 1
    assert 0.02 < coverage(solids_of(scene.foreground), scene.camera) < 0.45
    eye = np.array(scene.camera.position)
    middle = np.mean(corners, axis=0)
    assert not obstacles(scene).hidden(eye, eye + 0.98 * (corners - eye)).mean() > 0.1
    assert not obstacles(scene).hidden(eye, eye + (middle - eye)[None] * 1e-3).any(), (
        "the camera is in a thing"
    )
    assert 0.1 < eye[2] < 3


def test_indoors_the_camera_is_in_the_room(scene: Scene) -> None:
    if scene.indoor:
        low, high = Solids.join(
            solids_of(thing) for thing in scene.things if thing.category == "wall"
        ).bounds()
        assert (low < scene.camera.position).all()
        assert (scene.camera.position < high).all()


def test_there_is_ground_to_the_horizon(scene: Scene) -> None:
    low, high = Solids.join(solids_of(thing) for thing in scene.things if thing.role is Role.GROUND).bounds()
    assert (low[:2] < -300).all()
    assert (high[:2] > 300).all()


def test_the_same_numbers_give_the_same_scene() -> None:
    first = scenes.describe("field", "dog", 5, 1)
    scenes.clear_cache()
    assert scenes.describe("field", "dog", 5, 1) == first


@pytest.mark.slow
def test_views_share_all_but_foreground_and_camera() -> None:
    views = [
        scenes.describe("street", "car", 2, 0),
        scenes.describe("street", "car", 2, 1),
        scenes.describe("street", "car", 2, 1, attempt=1),
        scenes.describe("street", "apple", 2, 0),
    ]
    for index, view in enumerate(views):
        assert view.things[:-1] == views[0].things[:-1]
        assert view.lamps == views[0].lamps
        for other in views[:index]:
            assert view.foreground != other.foreground
            assert view.camera != other.camera


@pytest.mark.slow
@pytest.mark.parametrize("kind", scenes.KINDS)
def test_no_two_seeds_are_alike(kind: str) -> None:
    first, second = (scenes.describe(kind, "apple", seed, 0) for seed in (3, 4))
    shared = {repr(thing) for thing in first.things} & {repr(thing) for thing in second.things}
    assert len(shared) <= 2


@pytest.mark.parametrize("category", RDHARMONY_CATEGORIES)
def test_every_category_has_kinds_of_scene(category: str) -> None:
    kinds = scenes.kinds_for(category)
    assert set(kinds) <= set(scenes.KINDS)
    assert len(set(kinds) - set(scenes.INDOOR_KINDS)) >= 2


def test_a_given_foreground_is_used_in_place_of_a_built_one() -> None:
    robot = replace(a_box((0.5, 0.5, 1.5), (0, 0, 0)), category="robot")
    robot = replace(robot, parts=(replace(robot.parts[0], pose=Pose((0, 0, 0.75))),))
    foreground = scenes.describe("park", "robot", 3, 0, foreground=robot).foreground
    assert foreground.parts == robot.parts
    assert foreground.role is Role.FOREGROUND


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(ValueError, match=r"'jungle'.*street, park, field, raceway, room, hall"):
        scenes.describe("jungle", "human", 0, 0)


def test_a_foreground_that_fits_nowhere_is_refused() -> None:
    with pytest.raises(scenes.NoViewError, match="room 3: no view shows a whale whole"):
        scenes.describe("room", "whale", 3, 0, foreground=a_box((6, 30, 6), (0, 0, 3)))


@pytest.mark.parametrize(
    ("at", "yaw", "touches"),
    [
        ((0.9, 0, 0), 0, True),
        ((1.1, 0, 0), 0, False),
        ((1.1, 0, 0), 45, True),  # its corner reaches in
        ((0.95, 0.95, 0), 45, False),  # the upright boxes around both overlap, they do not
        ((0, 0, 1.1), 45, False),
    ],
)
def test_boxes_touch_as_they_are_turned(at: tuple[float, float, float], yaw: float, touches: bool) -> None:
    cube = (1.0, 1.0, 1.0)
    still, turned = solids_of(a_box(cube, (0, 0, 0))), solids_of(a_box(cube, at, yaw))
    assert still.touches(turned) is touches
    assert turned.touches(still) is touches


def test_what_is_behind_a_box_is_hidden() -> None:
    wall = solids_of(a_box((4, 0.1, 4), (0, 0, 0), yaw=30))
    eye = np.array([0.0, -5, 0])
    points = np.array([[0.0, 5, 0], [0, -1, 0], [9, 5, 0], [0, -9, 0]])
    assert wall.hidden(eye, points).tolist() == [True, False, False, False]


def test_a_tube_lies_within_its_box() -> None:
    limb = Thing("limb", Role.PROP, (Part(Tube((0, 0, 0), (1, 1, 1), 0.2, 0.1), Material((0, 0, 0))),))
    low, high = solids_of(limb).bounds()
    assert (low <= -0.2).all()
    assert (high >= 1.1).all()


def test_a_picture_is_covered_by_what_fills_it() -> None:
    camera = Camera((0, -10, 0), (0, 0, 0), 90)
    half = solids_of(a_box((10, 0.001, 100), (-5, 0, 0)))
    assert coverage(half, camera) == pytest.approx(0.5, abs=0.02)
