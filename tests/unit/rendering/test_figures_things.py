"""Cars, motorcycles, furniture, food and surroundings: valid shapes at real-world size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
import pytest

from pipelines.rendering import figures
from pipelines.rendering.description import Extrusion, Part, Role, Shape, Thing
from pipelines.rendering.figures import cars
from pipelines.rendering.shapes import Mesh, to_mesh, transform
from pipelines.rendering.surroundings import buildings, furniture, nature, street

Builder = Callable[[np.random.Generator], Thing]

# Least and greatest width, depth and height in metres, for any turn about z.
SIZES = {
    "bottle": ((0.05, 0.05, 0.17), (0.13, 0.13, 0.36)),
    "cake": ((0.2, 0.2, 0.08), (0.4, 0.4, 0.3)),
    "motorcycle": ((0.5, 1.9, 0.9), (1.0, 2.5, 1.5)),
    "couch": ((1.4, 0.8, 0.7), (2.6, 1.1, 1.05)),
    "apple": ((0.065, 0.065, 0.06), (0.14, 0.14, 0.13)),
    "car": ((1.6, 3.7, 1.35), (2.4, 5.1, 2.1)),
    "chair": ((0.35, 0.35, 0.75), (0.75, 0.75, 1.3)),
    "knife": ((0.12, 0.03, 0.015), (0.4, 0.3, 0.03)),
}
TOPS: dict[Builder, float] = {
    furniture.table: furniture.TABLE_TOP_METERS,
    furniture.round_table: furniture.TABLE_TOP_METERS,
    furniture.low_table: furniture.LOW_TABLE_TOP_METERS,
    furniture.sideboard: furniture.SIDEBOARD_TOP_METERS,
    buildings.low_wall: buildings.LOW_WALL_TOP_METERS,
    street.crate: street.CRATE_TOP_METERS,
}
ALONG: tuple[Callable[[np.random.Generator, float], Thing], ...] = (
    street.road, street.pavement, street.racing_kerb, nature.hedge,
)  # fmt: skip
SURROUNDINGS: tuple[Builder, ...] = (
    *TOPS,
    nature.broadleaf_tree, nature.conifer, nature.bush, nature.grass_tuft, nature.boulder,
    nature.round_hay_bale, nature.square_hay_bale,
    buildings.house, buildings.facade, buildings.inner_door, buildings.column, buildings.window_frame,
    street.fence, street.bench, street.street_lamp, street.post_lamp, street.bollard, street.litter_bin,
    street.traffic_cone, street.tyre_stack, street.tyre_wall, street.guard_rail, street.crash_barrier,
    furniture.bookshelf, furniture.vase, furniture.rug, furniture.picture, furniture.potted_plant,
    furniture.floor_lamp,
    *(lambda rng, build=build: build(rng, 5.0) for build in ALONG),
)  # fmt: skip
SINKING = ("tree", "bush", "hedge", "boulder", "road", "window frame")  # roots, hems and sills below z = 0


@lru_cache(maxsize=4096)
def _mesh(shape: Shape) -> Mesh:
    return to_mesh(shape)


def _vertices(part: Part) -> np.ndarray:
    matrix = transform(part.pose)
    return _mesh(part.shape).vertices @ matrix[:3, :3].T + matrix[:3, 3]


def _bounds(thing: Thing) -> tuple[np.ndarray, np.ndarray]:
    corners = [(points.min(0), points.max(0)) for points in map(_vertices, thing.parts)]
    return np.min([low for low, _ in corners], axis=0), np.max([high for _, high in corners], axis=0)


def _is_closed(part: Part) -> bool:
    """Tell whether every edge is shared by as many faces in one direction as in the other."""
    mesh = _mesh(part.shape)
    _, merged = np.unique(np.round(mesh.vertices, 6), axis=0, return_inverse=True)
    faces = merged.reshape(-1)[mesh.faces].astype(np.int64)
    starts, ends = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    keep = starts != ends
    forward = np.sort((starts * len(mesh.vertices) + ends)[keep])
    return np.array_equal(forward, np.sort((ends * len(mesh.vertices) + starts)[keep]))


def _outlines(thing: Thing) -> Iterator[np.ndarray]:
    for part in thing.parts:
        if isinstance(part.shape, Extrusion):
            yield np.array(part.shape.outline)


def _crosses_itself(outline: np.ndarray) -> bool:
    """Tell whether two edges that are not neighbours intersect."""
    start, end = outline, np.roll(outline, -1, axis=0)

    def side(a: np.ndarray, b: np.ndarray, point: np.ndarray) -> np.ndarray:
        (ux, uz), (vx, vz) = (b - a)[:, None].T, (point[None] - a[:, None]).T
        return np.sign(ux * vz - uz * vx).T

    apart = side(start, end, start) * side(start, end, end) < 0
    return bool((apart & apart.T).any())


@pytest.mark.parametrize("category", SIZES)
def test_foregrounds_stand_on_the_ground_at_their_size(category: str) -> None:
    smallest, largest = SIZES[category]
    for seed in range(3):
        thing = figures.build(category, np.random.default_rng(seed))
        low, high = _bounds(thing)
        assert (thing.role, thing.category) == (Role.FOREGROUND, category)
        assert low[2] == pytest.approx(0, abs=0.002)
        assert (high - low >= smallest).all(), f"seed {seed}: {high - low}"
        assert (high - low <= largest).all(), f"seed {seed}: {high - low}"
        assert np.abs((low + high)[:2] / 2).max() < 0.25 * (high - low)[:2].max()


@pytest.mark.parametrize("category", SIZES)
def test_foregrounds_come_from_their_seed_alone(category: str) -> None:
    things = [figures.build(category, np.random.default_rng(seed)) for seed in (3, 3, 4, 5)]
    assert things[0] == things[1]
    assert len(set(things)) == 3


@pytest.mark.parametrize("category", SIZES)
def test_foreground_shapes_are_sound(category: str) -> None:
    for seed in range(2):
        thing = figures.build(category, np.random.default_rng(seed))
        assert all(_is_closed(part) for part in thing.parts)
        assert not any(map(_crosses_itself, _outlines(thing)))
        for material in {part.material for part in thing.parts}:
            channels = (*material.color, *material.second_color, material.roughness)
            assert all(0 <= value <= 1 for value in channels)


@pytest.mark.parametrize("category", ["car", "motorcycle"])
def test_vehicles_face_minus_y(category: str) -> None:
    """Red lamps are behind, at +y."""
    thing = figures.build(category, np.random.default_rng(1))
    lamps = [part for part in thing.parts if part.material == cars.TAIL_LENS]
    rear = [part.pose.position[1] for part in lamps]
    assert rear
    assert min(rear) > 0.5


@pytest.mark.parametrize("index", range(len(SURROUNDINGS)))
def test_surroundings_are_sound(index: int) -> None:
    build = SURROUNDINGS[index]
    thing = build(np.random.default_rng(index))
    assert thing == build(np.random.default_rng(index))
    assert thing != build(np.random.default_rng(index + 1000))
    low, high = _bounds(thing)
    assert (-0.5 if thing.category in SINKING else -0.011) <= low[2] <= 0.02
    assert high[2] > low[2]
    assert thing.role is not Role.FOREGROUND
    assert all(_is_closed(part) for part in thing.parts[:20])
    assert all(0 <= value <= 1 for part in thing.parts for value in part.material.color)


@pytest.mark.parametrize("build", TOPS)
def test_tops_are_where_small_things_are_put(build: Builder) -> None:
    _, high = _bounds(build(np.random.default_rng(0)))
    assert high[2] == pytest.approx(TOPS[build], abs=1e-6)


def test_houses_are_as_large_as_they_are_asked_to_be() -> None:
    low, high = _bounds(buildings.house(np.random.default_rng(2), width=12, depth=7, storeys=3, gabled=False))
    assert 12 <= (high - low)[0] <= 13.2
    assert 7 <= (high - low)[1] <= 8.2
    assert 3 * buildings.STOREY_METERS < high[2] < 3 * buildings.STOREY_METERS + 1.5
