"""People, cows and dogs: they stand, have a plausible size, and differ."""

import numpy as np
import pytest
import trimesh

from pipelines.rendering.description import Blend, Role, Thing
from pipelines.rendering.figures import build
from pipelines.rendering.shapes import to_mesh, transform

HEIGHTS = {"human": (1.0, 2.5), "cow": (1.2, 1.9), "dog": (0.2, 1.0)}  # raised arms and horns included
LENGTHS = {"human": (0.2, 1.5), "cow": (2.0, 3.0), "dog": (0.4, 1.4)}
LIVING = tuple(HEIGHTS)


def vertices_of(thing: Thing) -> np.ndarray:
    placed = []
    for part in thing.parts:
        matrix = transform(part.pose)
        placed.append(to_mesh(part.shape).vertices @ matrix[:3, :3].T + matrix[:3, 3])
    return np.concatenate(placed)


@pytest.mark.parametrize("category", LIVING)
def test_a_seed_is_a_figure(category: str) -> None:
    first, again, other = (build(category, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert (first.category, first.role) == (category, Role.FOREGROUND)


@pytest.mark.parametrize("category", LIVING)
@pytest.mark.parametrize("seed", range(4))
def test_a_figure_stands_on_the_ground_and_faces_ahead(category: str, seed: int) -> None:
    vertices = vertices_of(build(category, np.random.default_rng(seed)))
    assert vertices[:, 2].min() == pytest.approx(0, abs=0.02)
    assert HEIGHTS[category][0] < np.ptp(vertices[:, 2]) < HEIGHTS[category][1]
    assert LENGTHS[category][0] < np.ptp(vertices[:, 1]) < LENGTHS[category][1]
    middle = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    assert np.abs(middle[:2]).max() < 0.2 * np.ptp(vertices, axis=0).max()
    if category != "human":
        assert vertices[vertices[:, 1].argmin(), 2] > 0.05  # the muzzle, not the tail, is in front


@pytest.mark.parametrize("category", LIVING)
def test_colours_are_reflectances(category: str) -> None:
    for seed in range(20):
        for part in build(category, np.random.default_rng(seed)).parts:
            for color in (part.material.color, part.material.second_color):
                assert all(0 <= channel <= 1 for channel in color)
            assert 0 < part.material.roughness <= 1


@pytest.mark.parametrize("category", LIVING)
def test_bodies_and_clothes_are_closed(category: str) -> None:
    parts = build(category, np.random.default_rng(3)).parts
    for shape in {part.shape for part in parts if isinstance(part.shape, Blend)}:
        mesh = to_mesh(shape)
        body = trimesh.Trimesh(mesh.vertices, mesh.faces)
        assert body.is_watertight
        assert body.volume > 0


def test_people_are_of_many_sizes_and_dressed_in_many_colours() -> None:
    people = [build("human", np.random.default_rng(seed)) for seed in range(12)]
    assert len({part.material.color for person in people for part in person.parts}) > 60
    assert len({len(person.parts) for person in people}) > 2


def test_an_unknown_category_lists_the_known() -> None:
    with pytest.raises(ValueError, match=r"unknown category 'giraffe'.*human.*cow"):
        build("giraffe", np.random.default_rng(0))
