"""Procedural scenes, drawn by seed.

The things of a scene depend on its kind and seed; foreground and camera depend on category, view and attempt,
too.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import numpy as np

from charmnet.errors import CharmNetError
from pipelines.rendering import figures
from pipelines.rendering.description import Role, Scene, Thing
from pipelines.rendering.scenes import field, hall, park, raceway, room, street
from pipelines.rendering.scenes.space import bounding_box
from pipelines.rendering.scenes.stage import Content, Place, Stage, Use
from pipelines.rendering.scenes.viewpoint import find_view

BUILDERS: dict[str, Callable[[Stage], None]] = {
    "street": street.build,
    "park": park.build,
    "field": field.build,
    "raceway": raceway.build,
    "room": room.build,
    "hall": hall.build,
}
KINDS = tuple(BUILDERS)
INDOOR_KINDS = ("room", "hall")


_KINDS_BY_CATEGORY = {
    "human": KINDS,
    "dog": ("street", "park", "field", "room", "hall"),
    "cow": ("field", "park"),
    "car": ("street", "raceway", "field"),
    "motorcycle": ("street", "raceway", "park", "field"),
    "couch": ("room", "hall", "street", "park"),
    "chair": ("room", "hall", "street", "park"),
    "knife": ("room", "park", "street", "hall"),
}
_USES = {
    "human": Use.WALKING,
    "dog": Use.WALKING,
    "cow": Use.GRAZING,
    "car": Use.DRIVING,
    "motorcycle": Use.DRIVING,
    "couch": Use.SITTING,
    "chair": Use.SITTING,
}
LARGEST_SMALL_METERS = 0.6


class NoViewError(CharmNetError):
    """No view of a scene shows the foreground whole; another attempt may find one."""


def kinds_for(category: str) -> tuple[str, ...]:
    """Return the kinds of scene that suit a category; all kinds for an unknown category."""
    return _KINDS_BY_CATEGORY.get(category, KINDS)


def describe(
    kind: str, category: str, seed: int, view: int, attempt: int = 0, foreground: Thing | None = None
) -> Scene:
    """Build a scene with a foreground and a camera that shows it.

    Args:
        kind: one of `KINDS`.
        category: category of the foreground.
        seed: number of the scene's things, which all its views share.
        view: number of the foreground, its place and the camera.
        attempt: number of the draw of that view, for when an earlier draw was not accepted.
        foreground: used instead of a built one; stands on z = 0 about the origin and faces -y.

    Raises:
        ValueError: the kind is unknown.
        NoViewError: no view shows such a foreground whole.
    """
    if kind not in BUILDERS:
        raise ValueError(f"unknown kind of scene {kind!r}; expected one of {', '.join(KINDS)}")
    content = _content(kind, seed)
    rng = np.random.default_rng([*_numbers(kind, category), seed, view, attempt])
    thing = figures.build(category, rng) if foreground is None else foreground
    thing = replace(thing, role=Role.FOREGROUND)
    result = find_view(content, thing, _places(content, thing), rng)
    if result is None:
        raise NoViewError(
            f"{kind} {seed}: no view shows a {category} whole; expected one of the kinds "
            f"{', '.join(kinds_for(category))}, another seed or a smaller foreground"
        )
    standing, camera = result
    return Scene(kind, seed, kind in INDOOR_KINDS, (*content.things, standing), content.lamps, camera)


@lru_cache(maxsize=8)
def _content(kind: str, seed: int) -> Content:
    stage = Stage(np.random.default_rng([*_numbers(kind), seed]))
    BUILDERS[kind](stage)
    return stage.content()


def clear_cache() -> None:
    """Forget the scenes that are kept for their next views."""
    _content.cache_clear()


def _places(content: Content, thing: Thing) -> tuple[Place, ...]:
    """Return the places where a foreground may stand: by its category, else by its size."""
    lowest, highest = bounding_box(thing).bounds()
    is_small = float((highest - lowest).max()) <= LARGEST_SMALL_METERS
    use = _USES.get(thing.category, Use.TABLETOP if is_small else Use.WALKING)
    return tuple(place for place in content.places if place.use is use)


def _numbers(*words: str) -> list[int]:
    return [zlib.crc32(word.encode()) for word in words]
