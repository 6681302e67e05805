"""The released layout of RdHarmony: 2D scenes under ten capture conditions, and lists of labelled composites.

A composite is `<scene>-<background>_<foreground>.jpg` in composite_images, its ground truth
`<scene>-<background>.jpg` in real_images and its mask `<scene>.png` in masks; background and foreground are
numbers 1 to 10 of capture conditions. A list has three columns, separated by tabs: the composite's path, ten
probabilities joined by "_", and the number of the ground truth's condition.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from charmnet.errors import DataError
from charmnet.vocabulary import NUM_CONDITIONS, CaptureCondition, Domain
from pipelines.conversion.entries import LayoutEntry, reject_duplicates
from pipelines.conversion.lists import Categories, PathList, join_path, names_digest
from pipelines.conversion.rdharmony_lists import ListedPair, condition_of, read_pairs
from pipelines.runtime.storage import Location
from pipelines.runtime.user_files import walk_user_files
from pipelines.shards.rejection import Rejection
from pipelines.shards.schema import PAIRS_PER_SCENE, RowKind
from pipelines.shards.stratum import Stratum

_SCENE_FILE = re.compile(
    r"(?:(?:(?P<folder>.+)/)?(?:real_images|composite_images)/)?(?P<scene>[^/]+)-\d+(?:_\d+)?\.(?:jpe?g|png)",
    re.IGNORECASE,
)
_SCENE_PICTURE = re.compile(
    r"(?:(?P<folder>.+)/)?real_images/(?P<scene>[^/]+)-(?P<number>\d+)\.(?:jpe?g|png)", re.IGNORECASE
)


class Layout(StrEnum):
    """The kind of row that the pictures become."""

    SCENES = "scenes"
    PAIRS = "pairs"


@dataclass(frozen=True)
class RdHarmony:
    """A released copy of RdHarmony and the lists that select composites from it.

    Attributes:
        source: the folder that listed paths are relative to.
        lists: the lists, one for each split; without lists all scenes are taken.
        categories: category of each picture or scene.
        order: the condition 0-9 of each released number 1-10.
        requested_layout: the layout to use, None to choose it by the lists.
    """

    source: Location
    lists: tuple[PathList, ...]
    categories: Categories
    order: tuple[int, ...] = tuple(range(NUM_CONDITIONS))
    requested_layout: Layout | None = None

    def identity(self) -> dict[str, Any]:
        """Return the request that a data set is built from (see `DatasetBuild`)."""
        return {
            "command": "shard rdharmony",
            "source": str(self.source),
            "lists": {listed.split: listed.sha256 for listed in self.lists},
            "pictures": None if self.lists else names_digest(sorted(self._pictures)),
            "layout": str(self.layout),
            "condition_order": list(self.order),
            **self.categories.identity(),
        }

    @property
    def kind(self) -> RowKind:
        """Kind of the rows."""
        return RowKind.SCENE if self.layout is Layout.SCENES else RowKind.PAIR

    @cached_property
    def layout(self) -> Layout:
        """Layout: as requested, or scenes if there are no lists or they have all 90 pairs of their scenes.

        Raises:
            ValueError: pairs were requested without a list.
        """
        if self.requested_layout is Layout.PAIRS and not self.lists:
            raise ValueError("--layout pairs needs --list, which says what composites there are")
        if self.requested_layout is not None:
            return self.requested_layout
        return Layout.SCENES if self._lists_hold_whole_scenes() else Layout.PAIRS

    def entries(self) -> tuple[list[LayoutEntry], list[Rejection]]:
        """Return one entry for each scene or, in the layout of pairs, each listed composite; and rejections.

        Raises:
            DataError: there are no scenes, or the table of categories does not fit.
            ValueError: the layout is impossible with these lists.
        """
        if not self.lists:
            candidates, rejected = self._whole_scenes()
        elif self.layout is Layout.PAIRS:
            candidates, rejected = self._listed_pairs()
        else:
            candidates, rejected = self._listed_scenes()
        entries, duplicates = reject_duplicates(candidates)
        return entries, [*rejected, *duplicates]

    def _lists_hold_whole_scenes(self) -> bool:
        """Return whether the lists have all pairs of their scenes, each scene in the same splits.

        Rejected lines count as pairs: otherwise one bad label would change the layout of the whole data set.
        """
        pairs, rejected = self._listed
        exchanged = [pair for pair in pairs if pair.foreground not in (None, pair.background)]
        scenes = self._scenes_of_pairs.values()
        undivided = all(len({pair.splits for pair in scene}) == 1 for scene in scenes)
        return undivided and len(exchanged) + len(rejected) >= PAIRS_PER_SCENE * len(scenes)

    @cached_property
    def _pictures(self) -> list[str]:
        """Paths of all pictures of scenes beneath the source.

        Raises:
            DataError: there are none.
        """
        pictures = [path for path in walk_user_files(self.source) if _SCENE_PICTURE.fullmatch(path)]
        if not pictures:
            raise DataError(f"{self.source}: no scenes beneath; expected .../real_images/SCENE-NUMBER.jpg")
        return pictures

    def _whole_scenes(self) -> tuple[list[LayoutEntry], list[Rejection]]:
        """Return an entry for each scene found beneath the source."""
        scenes: dict[tuple[str, str], dict[int, str]] = defaultdict(dict)
        rejected = []
        for path in self._pictures:
            match = _SCENE_PICTURE.fullmatch(path)
            assert match is not None
            folder, scene, number = match["folder"] or "", match["scene"], int(match["number"])
            pictures = scenes[folder, scene]
            if not 1 <= number <= NUM_CONDITIONS or self.order[number - 1] in pictures:
                reason = f"condition {number}: not a number 1-{NUM_CONDITIONS}, or another file has it"
                rejected.append(Rejection(f"{self._subset(folder)}/{scene}", path, reason))
                continue
            pictures[self.order[number - 1]] = path
        self._scene_categories.check_used([join_path(*scene) for scene in scenes])
        entries = []
        for (folder, scene), pictures in sorted(scenes.items()):
            numbers = (PurePosixPath(path).stem.rpartition("-")[2] for path in pictures.values())
            digits = min(map(len, numbers), default=1)
            files = {**self._expected_pictures(folder, scene, digits), **pictures}
            entries.append(self._scene_entry(folder, scene, files))
        return entries, rejected

    @cached_property
    def _listed(self) -> tuple[list[ListedPair], list[Rejection]]:
        """The composites of all lists, each once, and the rejected lines."""
        return read_pairs(self.lists, self.order)

    @cached_property
    def _scenes_of_pairs(self) -> dict[tuple[str, str], list[ListedPair]]:
        """The listed composites by (folder, scene)."""
        scenes: dict[tuple[str, str], list[ListedPair]] = defaultdict(list)
        for pair in self._listed[0]:
            scenes[pair.folder, pair.scene].append(pair)
        return dict(scenes)

    @cached_property
    def _scene_categories(self) -> Categories:
        """Categories by `<folder>/<scene>`; the table may also name any picture or composite of the scene.

        Raises:
            DataError: the table gives a scene two categories.
        """
        table: dict[str, str] = {}
        for path, category in (self.categories.table or {}).items():
            match = _SCENE_FILE.fullmatch(path)
            scene = path if match is None else join_path(match["folder"] or "", match["scene"])
            if table.setdefault(scene, category) != category:
                raise DataError(
                    f"--categories: {path!r} is {category!r}, but the scene {scene!r} is {table[scene]!r} "
                    "already; expected one category for a scene, or --layout pairs"
                )
        return replace(self.categories, table=table)

    def _listed_pairs(self) -> tuple[list[LayoutEntry], list[Rejection]]:
        """Return an entry for each listed composite."""
        pairs, rejected = self._listed
        self.categories.check_used([pair.path for pair in pairs])
        return [self._pair_entry(pair) for pair in pairs], rejected

    def _pair_entry(self, pair: ListedPair) -> LayoutEntry:
        stem = pair.path.rpartition("/")[2].rpartition(".")[0]
        files = {
            "composite": pair.path,
            "ground_truth": join_path(
                pair.folder, "real_images", f"{pair.scene}-{pair.background_number}.jpg"
            ),
            "foreground_mask": join_path(pair.folder, "masks", f"{pair.scene}.png"),
        }
        labels = {"composite_style": pair.composite_style, "ground_truth_style": pair.background}
        stratum = self._stratum(pair.folder, self.categories.of(pair.path), pair.splits)
        return LayoutEntry(f"{stratum.subset}/{stem}", stratum, files, labels)

    def _listed_scenes(self) -> tuple[list[LayoutEntry], list[Rejection]]:
        """Return an entry for each scene of the listed composites."""
        entries = []
        rejected = list(self._listed[1])
        self._scene_categories.check_used([join_path(*scene) for scene in self._scenes_of_pairs])
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
        """Return why a composite cannot be made from its scene, or None."""
        if pair.foreground is None or condition_of(pair.background_number, self.order) is None:
            return "the file name does not give the two conditions; expected SCENE-BACKGROUND_FOREGROUND"
        if condition_of(pair.background_number, self.order) != pair.background:
            return f"the file name says background {pair.background_number}, the list another condition"
        if pair.foreground == pair.background:
            return "foreground and background have the same condition: no composite"
        return None

    def _listed_scene(self, folder: str, scene: str, pairs: list[ListedPair]) -> LayoutEntry:
        digits = min(len(pair.background_number) for pair in pairs)  # "01" to "10", or "1" to "10"
        listed = [
            {
                "foreground": pair.foreground,
                "background": pair.background,
                "composite_style": list(pair.composite_style),
            }
            for pair in pairs
        ]
        pictures = self._expected_pictures(folder, scene, digits)
        return self._scene_entry(
            folder, scene, pictures, splits=pairs[0].splits, pairs=listed, items=len(pairs)
        )

    def _expected_pictures(self, folder: str, scene: str, digits: int) -> dict[int, str]:
        """Return the path of each condition's picture; numbers are padded with zeros to `digits`."""
        return {
            condition: join_path(folder, "real_images", f"{scene}-{number:0{digits}d}.jpg")
            for number, condition in enumerate(self.order, start=1)
        }

    def _scene_entry(
        self,
        folder: str,
        scene: str,
        pictures: dict[int, str],
        splits: tuple[str, ...] = (),
        pairs: list[dict[str, Any]] | None = None,
        items: int = 1,
    ) -> LayoutEntry:
        files = {f"images[{condition}]": pictures[condition] for condition in sorted(pictures)}
        files["foreground_mask"] = join_path(folder, "masks", f"{scene}.png")
        stratum = self._stratum(folder, self._scene_categories.of(join_path(folder, scene)), splits)
        return LayoutEntry(f"{stratum.subset}/{scene}", stratum, files, {"pairs": pairs}, items)

    def _subset(self, folder: str) -> str:
        return folder.rpartition("/")[2] or self.source.name

    def _stratum(self, folder: str, category: str | None, splits: tuple[str, ...]) -> Stratum:
        subset = self._subset(folder)
        return Stratum(Domain.RENDERED, subset, category or category_of_subset(subset), splits)


def category_of_subset(subset: str) -> str | None:
    """Return the category in the name of a released subset (human for SHuman), or None."""
    named = re.fullmatch(r"S([A-Z][A-Za-z]*)", subset)
    return named[1].lower() if named else None


def parse_condition_order(text: str) -> tuple[int, ...]:
    """Parse ten conditions, separated by commas, into conditions 0-9.

    Args:
        text: names (noon_clear) or numbers 1-10 in the order of `CaptureCondition`.

    Raises:
        ValueError: not every condition occurs exactly once.
    """
    names = {condition.name.lower(): int(condition) for condition in CaptureCondition}
    names |= {str(condition + 1): int(condition) for condition in CaptureCondition}
    order = tuple(names.get(part.strip().lower(), -1) for part in text.split(","))
    if sorted(order) != list(range(NUM_CONDITIONS)):
        known = ", ".join(condition.name.lower() for condition in CaptureCondition)
        raise ValueError(f"--condition-order {text!r}: expected each of {known} (or 1 to 10) once")
    return order
