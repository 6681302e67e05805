"""The labelled lists of composites that RdHarmony is released with (see `rdharmony.py`)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from charmnet.errors import DataError
from charmnet.vocabulary import NUM_CONDITIONS
from pipelines.conversion.lists import PathList, split_composite_path
from pipelines.shards.rejection import Rejection
from pipelines.shards.rows import check_style_label


@dataclass(frozen=True)
class ListedPair:
    """One composite of a list.

    Attributes:
        path: path of the composite beneath the source.
        folder: folder of the scene, above composite_images.
        scene: name of the scene in file names.
        background_number: number of the background as spelled in file names ("01").
        foreground: condition 0-9 from the file name, or None if the name gives none.
        background: condition 0-9 from the list.
        composite_style: ten probabilities, by condition 0-9.
        splits: the splits whose lists contain the composite.
    """

    path: str
    folder: str
    scene: str
    background_number: str
    foreground: int | None
    background: int
    composite_style: tuple[float, ...]
    splits: tuple[str, ...]


def read_pairs(lists: Sequence[PathList], order: Sequence[int]) -> tuple[list[ListedPair], list[Rejection]]:
    """Return the composites of several lists, each once, and the rejected lines.

    Args:
        order: the condition 0-9 of each released number 1-10.
    """
    pairs: dict[str, ListedPair] = {}
    rejected = []
    for listed in lists:
        for number, line in listed.lines:
            try:
                pair = _parse_line(line, listed, order)
                pairs[pair.path] = _merge_repetition(pairs.get(pair.path), pair)
            except DataError as error:
                path = line.partition("\t")[0]
                rejected.append(Rejection(path, path, f"{listed.name} line {number}: {error}"))
    return list(pairs.values()), rejected


def condition_of(number: str, order: Sequence[int]) -> int | None:
    """Return the condition 0-9 of a released number, or None if it is not 1 to 10."""
    if re.fullmatch(r"0*(10|[1-9])", number.strip()) is None:
        return None
    return order[int(number) - 1]


def _parse_line(line: str, listed: PathList, order: Sequence[int]) -> ListedPair:
    columns = line.strip().split("\t")
    if len(columns) != 3:
        raise DataError(f"{len(columns)} columns; expected path, label and condition, separated by tabs")
    path = listed.path(columns[0])
    folder, stem = split_composite_path(path)
    ground_truth, _, foreground_number = stem.rpartition("_")
    scene, dash, background_number = ground_truth.rpartition("-")
    if not (scene and dash):
        raise DataError(f"the file name {stem!r}; expected SCENE-BACKGROUND_FOREGROUND")
    background = condition_of(columns[2], order)
    if background is None:
        raise DataError(f"the condition {columns[2]!r}; expected a number 1-{NUM_CONDITIONS}")
    label = _parse_label(columns[1])
    return ListedPair(
        path=path,
        folder=folder,
        scene=scene,
        background_number=background_number,
        foreground=condition_of(foreground_number, order),
        background=background,
        composite_style=tuple(label[order.index(c)] for c in range(NUM_CONDITIONS)),
        splits=(listed.split,),
    )


def _parse_label(text: str) -> list[float]:
    try:
        label = [float(number) for number in text.strip().split("_")]
    except ValueError:
        raise DataError(f"the label {text!r}; expected ten numbers joined by _") from None
    check_style_label(label)
    return label


def _merge_repetition(first: ListedPair | None, again: ListedPair) -> ListedPair:
    """Return a pair that may be listed twice, with the splits of both lines.

    Raises:
        DataError: the lines differ in label or condition.
    """
    if first is None:
        return again
    if (first.composite_style, first.background) != (again.composite_style, again.background):
        raise DataError("duplicate id: listed before with another label or condition")
    splits = tuple(dict.fromkeys((*first.splits, *again.splits)))
    return replace(first, splits=splits)
