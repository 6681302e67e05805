"""Scene descriptions to JSON and back, and errors that name the wrong field."""

import json

import pytest

from charmnet.errors import DataError
from pipelines.rendering.description import (
    Ball,
    Blend,
    Box,
    Camera,
    Extrusion,
    Lamp,
    Lathe,
    Material,
    MeshFile,
    Part,
    Pattern,
    Pose,
    Role,
    Scene,
    Thing,
    Tube,
)

CLOTH = Material((0.4, 0.1, 0.1), 0.8, pattern=Pattern.STRIPES, second_color=(0.9, 0.9, 0.9))
SHAPES = (
    Box((1.0, 2.0, 3.0), 0.1),
    Ball((1.0, 1.0, 0.5)),
    Blend((Tube((0, 0, 0), (0, 0, 1), 0.2, 0.1),), 0.05, 0.02),
    Lathe(((0.1, 0.0), (0.2, 1.0))),
    Extrusion(((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)), 0.4),
    MeshFile("chair.obj", 0.9),
)


def a_scene(foregrounds: int = 1) -> Scene:
    human = Thing(
        "human", Role.FOREGROUND, tuple(Part(shape, CLOTH) for shape in SHAPES), Pose((1, 2, 0), 90)
    )
    lamp = Lamp((0, 0, 4), 0.1, (1.0, 0.8, 0.5))
    return Scene("street", 7, False, (human,) * foregrounds, (lamp,), Camera((0, -5, 1.6), (0, 0, 1), 45))


def test_a_scene_survives_json() -> None:
    scene = a_scene()
    assert Scene.from_json(json.loads(json.dumps(scene.to_json()))) == scene


def test_a_broken_description_is_named() -> None:
    value = a_scene().to_json()
    value["things"][0]["parts"][1]["shape"]["radii"] = "round"
    with pytest.raises(DataError, match=r"things\.0\.parts\.1\.shape\.ball\.radii.*'round'"):
        Scene.from_json(value)


@pytest.mark.parametrize("foregrounds", [0, 2])
def test_a_scene_has_one_foreground(foregrounds: int) -> None:
    with pytest.raises(DataError, match=f"street 7: {foregrounds} foregrounds"):
        _ = a_scene(foregrounds).foreground
