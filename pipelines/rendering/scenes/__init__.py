"""Procedural scenes: what stands where, and from where it is looked at, by seed.

What a scene holds depends on its kind and seed; the foreground and the camera depend on category, view and
attempt too.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import numpy as np

from pipelines.rendering import figures
from pipelines.rendering.description import Role, Scene, Thing
from pipelines.rendering.scenes import field, hall, park, raceway, room, street
from pipelines.rendering.scenes.space import around
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


class NoViewError(ValueError):
    """A scene has no place from which such a foreground is seen whole; another attempt may find one."""


def kinds_for(category: str) -> tuple[str, ...]:
    """The kinds of scene that a category is at home in; all of them for one that is not known."""
    return _KINDS_BY_CATEGORY.get(category, KINDS)


def describe(
    kind: str, category: str, seed: int, view: int, attempt: int = 0, foreground: Thing | None = None
) -> Scene:
    """A scene of a kind, with a foreground of a category and a camera that shows it.

    Args:
        seed: of what the scene holds; all its views share that.
        view: which foreground, place and camera.
        attempt: another draw of the same view, as when the one before showed too little.
        foreground: stands in for one that is built; at the origin, standing on z = 0, facing -y.

    Raises:
        ValueError: the kind is unknown. NoViewError: it has no room for such a foreground.
    """
    if kind not in BUILDERS:
        raise ValueError(f"unknown kind of scene {kind!r}; expected one of {', '.join(KINDS)}")
    content = _content(kind, seed)
    rng = np.random.default_rng([*_numbers(kind, category), seed, view, attempt])
    thing = figures.build(category, rng) if foreground is None else foreground
    thing = replace(thing, role=Role.FOREGROUND)
    found = find_view(content, thing, _places(content, thing), rng)
    if found is None:
        raise NoViewError(
            f"{kind} {seed}: no view shows a {category} whole; expected one of the kinds "
            f"{', '.join(kinds_for(category))}, another seed or a smaller foreground"
        )
    standing, camera = found
    return Scene(kind, seed, kind in INDOOR_KINDS, (*content.things, standing), content.lamps, camera)


@lru_cache(maxsize=8)
def _content(kind: str, seed: int) -> Content:
    stage = Stage(np.random.default_rng([*_numbers(kind), seed]))
    BUILDERS[kind](stage)
    return stage.content()


def forget() -> None:
    """Lets go of the scenes that are kept for their next views."""
    _content.cache_clear()


def _places(content: Content, thing: Thing) -> tuple[Place, ...]:
    """Where such a thing may stand: by its category, else by its size."""
    lowest, highest = around(thing).bounds()
    is_small = float((highest - lowest).max()) <= LARGEST_SMALL_METERS
    use = _USES.get(thing.category, Use.TABLETOP if is_small else Use.WALKING)
    return tuple(place for place in content.places if place.use is use)


def _numbers(*words: str) -> list[int]:
    return [zlib.crc32(word.encode()) for word in words]
