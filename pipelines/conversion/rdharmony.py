"""RdHarmony as released: 2D scenes under ten capture conditions, and lists of labelled composites.

A composite is `<scene>-<background>_<foreground>.jpg` in composite_images, its ground truth
`<scene>-<background>.jpg` in real_images and its mask `<scene>.png` in masks; background and foreground are
numbers 1 to 10 of capture conditions. A list has three columns between tabs: the composite's path, ten
probabilities joined by "_", and the number of the ground truth's condition.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

from charmnet.errors import DataError
from charmnet.vocabulary import NUM_CONDITIONS, CaptureCondition, Domain
from pipelines.conversion.entries import LayoutEntry, reject_duplicates
from pipelines.conversion.lists import Categories, PathList, beneath, names_digest, split_composite_path
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import Stratum
from pipelines.shards.rejection import Rejection
from pipelines.shards.rows import check_style_label
from pipelines.shards.schema import PAIRS_PER_SCENE, RowKind

_OF_A_SCENE = re.compile(
    r"(?:(?:(?P<folder>.+)/)?(?:real_images|composite_images)/)?(?P<scene>[^/]+)-\d+(?:_\d+)?\.jpg"
)
_PICTURE = re.compile(r"(?:(?P<folder>.+)/)?real_images/(?P<scene>[^/]+)-(?P<number>\d+)\.jpg")


class Layout(StrEnum):
    SCENES = "scenes"
    PAIRS = "pairs"


@dataclass(frozen=True)
class ListedPair:
    """A line of a list.

    Attributes:
        folder, scene: where the scene's pictures lie and what it is called.
        background_number: as it stands in file names ("01").
        foreground, background: conditions 0-9 by the file name; foreground is None where it does not tell.
        composite_style: ten probabilities by condition 0-9.
    """

    path: str
    folder: str
    scene: str
    background_number: str
    foreground: int | None
    background: int
    composite_style: tuple[float, ...]
    splits: tuple[str, ...]


@dataclass(frozen=True)
class RdHarmony:
    """
    Attributes:
        source: the folder that listed paths begin at.
        order: the condition 0-9 of each released number 1-10.
        requested_layout: None to let the lists decide.
    """

    source: Location
    lists: tuple[PathList, ...]
    categories: Categories
    order: tuple[int, ...] = tuple(range(NUM_CONDITIONS))
    requested_layout: Layout | None = None

    def identity(self) -> dict[str, Any]:
        return {
            "command": "shard rdharmony",
            "source": str(self.source),
            "lists": {entry.split: entry.sha256 for entry in self.lists},
            "pictures": None if self.lists else names_digest(sorted(self._pictures)),
            "layout": str(self.layout),
            "condition_order": list(self.order),
            **self.categories.identity(),
        }

    @property
    def kind(self) -> RowKind:
        return RowKind.SCENE if self.layout is Layout.SCENES else RowKind.PAIR

    @cached_property
    def layout(self) -> Layout:
        """As asked, else scenes where there is no list or the lists hold all 90 pairs of their scenes."""
        if self.requested_layout is Layout.PAIRS and not self.lists:
            raise ValueError("--layout pairs needs --list, which says what composites there are")
        if self.requested_layout is not None:
            return self.requested_layout
        return Layout.SCENES if self._hold_whole_scenes() else Layout.PAIRS

    def entries(self) -> tuple[list[LayoutEntry], list[Rejection]]:
        """One entry for each scene or, in the pairs' layout, for each listed composite."""
        rejected: list[Rejection] = []
        if not self.lists:
            found, refused = self._whole_scenes()
        else:
            pairs, rejected = self._listed
            if self.layout is Layout.PAIRS:
                self.categories.check_used([pair.path for pair in pairs])
                found, refused = [self._pair_entry(pair) for pair in pairs], []
            else:
                found, refused = self._listed_scenes()
        entries, duplicates = reject_duplicates(found)
        return entries, [*rejected, *refused, *duplicates]

    def _hold_whole_scenes(self) -> bool:
        """Rejected lines count as there, or one bad label would change the layout of everything."""
        pairs, rejected = self._listed
        exchanged = [pair for pair in pairs if pair.foreground not in (None, pair.background)]
        scenes = self._scenes_of_pairs.values()
        undivided = all(len({pair.splits for pair in scene}) == 1 for scene in scenes)
        return undivided and len(exchanged) + len(rejected) >= PAIRS_PER_SCENE * len(scenes)

    @cached_property
    def _pictures(self) -> list[str]:
        """
        Raises:
            DataError: there is none.
        """
        pictures = [path for path in self.source.walk_files() if _PICTURE.fullmatch(path)]
        if not pictures:
            raise DataError(f"{self.source}: no scenes beneath; expected .../real_images/SCENE-NUMBER.jpg")
        return pictures

    def _whole_scenes(self) -> tuple[list[LayoutEntry], list[Rejection]]:
        found: dict[tuple[str, str], dict[int, str]] = defaultdict(dict)
        rejected = []
        for path in self._pictures:
            match = _PICTURE.fullmatch(path)
            assert match is not None
            folder, scene, number = match["folder"] or "", match["scene"], int(match["number"])
            taken = found[folder, scene]
            if not 1 <= number <= NUM_CONDITIONS or self.order[number - 1] in taken:
                reason = f"condition {number}: no number 1-{NUM_CONDITIONS}, or one that another file has"
                rejected.append(Rejection(f"{self._subset(folder)}/{scene}", path, reason))
                continue
            taken[self.order[number - 1]] = path
        self._scene_categories.check_used([beneath(*scene) for scene in found])
        entries = []
        for (folder, scene), there in sorted(found.items()):
            width = min((len(path.rpartition("-")[2]) - len(".jpg") for path in there.values()), default=1)
            pictures = {**self._expected_pictures(folder, scene, width), **there}
            entries.append(self._scene_entry(folder, scene, pictures, (), None, 1))
        return entries, rejected

    @cached_property
    def _listed(self) -> tuple[list[ListedPair], list[Rejection]]:
        pairs: dict[str, ListedPair] = {}
        rejected = []
        for listed in self.lists:
            for number, line in listed.lines:
                try:
                    pair = self._parse(line, listed)
                    pairs[pair.path] = _joined(pairs.get(pair.path), pair)
                except DataError as error:
                    path = line.partition("\t")[0]
                    rejected.append(Rejection(path, path, f"{listed.name} line {number}: {error}"))
        return list(pairs.values()), rejected

    @cached_property
    def _scenes_of_pairs(self) -> dict[tuple[str, str], list[ListedPair]]:
        scenes: dict[tuple[str, str], list[ListedPair]] = defaultdict(list)
        for pair in self._listed[0]:
            scenes[pair.folder, pair.scene].append(pair)
        return dict(scenes)

    @cached_property
    def _scene_categories(self) -> Categories:
        """By `<folder>/<scene>`; the table may name a scene so, or by any of its pictures and composites.

        Raises:
            DataError: the table gives one scene two categories.
        """
        table: dict[str, str] = {}
        for path, category in (self.categories.table or {}).items():
            match = _OF_A_SCENE.fullmatch(path)
            scene = path if match is None else beneath(match["folder"] or "", match["scene"])
            if table.setdefault(scene, category) != category:
                raise DataError(
                    f"--categories: {path!r} is {category!r}, but the scene {scene!r} is {table[scene]!r} "
                    "already; expected one category for a scene, or --layout pairs"
                )
        return replace(self.categories, table=table)

    def _parse(self, line: str, listed: PathList) -> ListedPair:
        columns = line.strip().split("\t")
        if len(columns) != 3:
            raise DataError(f"{len(columns)} columns; expected path, label and condition between tabs")
        path = listed.path(columns[0])
        folder, stem = split_composite_path(path)
        ground_truth, _, inserted = stem.rpartition("_")
        scene, dash, background_number = ground_truth.rpartition("-")
        if not (scene and dash):
            raise DataError(f"the file name {stem!r}; expected SCENE-BACKGROUND_FOREGROUND")
        background = self._condition(columns[2])
        if background is None:
            raise DataError(f"the condition {columns[2]!r}; expected a number 1-{NUM_CONDITIONS}")
        label = _label(columns[1])
        return ListedPair(
            path=path,
            folder=folder,
            scene=scene,
            background_number=background_number,
            foreground=self._condition(inserted),
            background=background,
            composite_style=tuple(label[self.order.index(c)] for c in range(NUM_CONDITIONS)),
            splits=(listed.split,),
        )

    def _condition(self, number: str) -> int | None:
        if re.fullmatch(r"0*(10|[1-9])", number.strip()) is None:
            return None
        return self.order[int(number) - 1]

    def _pair_entry(self, pair: ListedPair) -> LayoutEntry:
        stem = pair.path.rpartition("/")[2].rpartition(".")[0]
        files = {
            "composite": pair.path,
            "ground_truth": beneath(pair.folder, "real_images", f"{pair.scene}-{pair.background_number}.jpg"),
            "foreground_mask": beneath(pair.folder, "masks", f"{pair.scene}.png"),
        }
        labels = {"composite_style": pair.composite_style, "ground_truth_style": pair.background}
        stratum = self._stratum(pair.folder, self.categories.of(pair.path), pair.splits)
        return LayoutEntry(f"{stratum.subset}/{stem}", stratum, files, labels)

    def _listed_scenes(self) -> tuple[list[LayoutEntry], list[Rejection]]:
        entries, rejected = [], []
        self._scene_categories.check_used([beneath(*scene) for scene in self._scenes_of_pairs])
        for (folder, scene), pairs in sorted(self._scenes_of_pairs.items()):
            kept = []
            for pair in pairs:
                reason = self._unfit_for_scene(pair)
                if reason is None:
                    kept.append(pair)
                else:
                    rejected.append(Rejection(pair.path, pair.path, reason))
            if len({pair.splits for pair in kept}) > 1:
                raise ValueError(
                    f"--layout scenes: the pairs of scene {scene!r} are divided between lists, whose splits "
                    "would share its pictures; use --layout pairs"
                )
            if kept:
                entries.append(self._listed_scene(folder, scene, kept))
        return entries, rejected

    def _unfit_for_scene(self, pair: ListedPair) -> str | None:
        if pair.foreground is None or self._condition(pair.background_number) is None:
            return "the file name does not tell the two conditions; expected SCENE-BACKGROUND_FOREGROUND"
        if self._condition(pair.background_number) != pair.background:
            return f"the file name says background {pair.background_number}, the list another condition"
        if pair.foreground == pair.background:
            return "foreground and background of one condition: no composite"
        return None

    def _listed_scene(self, folder: str, scene: str, pairs: list[ListedPair]) -> LayoutEntry:
        width = min(len(pair.background_number) for pair in pairs)  # "01" to "10", or "1" to "10"
        listed = [
            {
                "foreground": pair.foreground,
                "background": pair.background,
                "composite_style": list(pair.composite_style),
            }
            for pair in pairs
        ]
        pictures = self._expected_pictures(folder, scene, width)
        return self._scene_entry(folder, scene, pictures, pairs[0].splits, listed, len(pairs))

    def _expected_pictures(self, folder: str, scene: str, width: int) -> dict[int, str]:
        """Path of the picture of each condition 0-9; numbers are padded with zeros to `width`."""
        return {
            condition: beneath(folder, "real_images", f"{scene}-{number:0{width}d}.jpg")
            for number, condition in enumerate(self.order, start=1)
        }

    def _scene_entry(
        self,
        folder: str,
        scene: str,
        pictures: dict[int, str],
        splits: tuple[str, ...],
        pairs: list[dict[str, Any]] | None,
        items: int,
    ) -> LayoutEntry:
        files = {f"images[{condition}]": pictures[condition] for condition in sorted(pictures)}
        files["foreground_mask"] = beneath(folder, "masks", f"{scene}.png")
        stratum = self._stratum(folder, self._scene_categories.of(beneath(folder, scene)), splits)
        return LayoutEntry(f"{stratum.subset}/{scene}", stratum, files, {"pairs": pairs}, items)

    def _subset(self, folder: str) -> str:
        return folder.rpartition("/")[2] or self.source.name

    def _stratum(self, folder: str, category: str | None, splits: tuple[str, ...]) -> Stratum:
        subset = self._subset(folder)
        return Stratum(Domain.RENDERED, subset, category or category_of_subset(subset), splits)


def category_of_subset(subset: str) -> str | None:
    """human for SHuman: the released folders are named S and the category."""
    named = re.fullmatch(r"S([A-Z][A-Za-z]*)", subset)
    return named[1].lower() if named else None


def parse_condition_order(text: str) -> tuple[int, ...]:
    """Ten conditions between commas, by name (noon_clear) or by number 1-10 in `CaptureCondition`'s order.

    Raises:
        ValueError: not each of the ten once.
    """
    names = {condition.name.lower(): int(condition) for condition in CaptureCondition}
    names |= {str(condition + 1): int(condition) for condition in CaptureCondition}
    order = tuple(names.get(part.strip().lower(), -1) for part in text.split(","))
    if sorted(order) != list(range(NUM_CONDITIONS)):
        known = ", ".join(condition.name.lower() for condition in CaptureCondition)
        raise ValueError(f"--condition-order {text!r}: expected each of {known} (or 1 to 10) once")
    return order


def _label(text: str) -> list[float]:
    try:
        label = [float(number) for number in text.strip().split("_")]
    except ValueError:
        raise DataError(f"the label {text!r}; expected ten numbers joined by _") from None
    check_style_label(label)
    return label


def _joined(first: ListedPair | None, again: ListedPair) -> ListedPair:
    """A pair that is listed again: in another split, or a plain repetition."""
    if first is None:
        return again
    if (first.composite_style, first.background) != (again.composite_style, again.background):
        raise DataError("duplicate id: listed before with another label or condition")
    splits = tuple(dict.fromkeys((*first.splits, *again.splits)))
    return ListedPair(**{**first.__dict__, "splits": splits})
