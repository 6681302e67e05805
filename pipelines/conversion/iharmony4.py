"""The released layout of iHarmony4: HCOCO, HAdobe5k, HFlickr and Hday2night, or all in one flat folder.

A composite is `<image>_<mask>_<variant>.jpg`; its mask is `<image>_<mask>.png` and its ground truth
`<image>.jpg`, in the folders masks and real_images beside composite_images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from charmnet.errors import DataError
from charmnet.vocabulary import Domain
from pipelines.conversion.entries import LayoutEntry, reject_duplicates
from pipelines.conversion.lists import Categories, PathList, join_path, split_composite_path
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import Stratum
from pipelines.shards.rejection import Rejection

SUBSET_OF_LETTER = {"c": "HCOCO", "a": "HAdobe5k", "f": "HFlickr", "d": "Hday2night"}


@dataclass(frozen=True)
class IHarmony4:
    """A released copy of iHarmony4 and the lists that select pictures from it.

    Attributes:
        source: the folder that listed paths are relative to.
        lists: the lists, one for each split.
        categories: category of each picture.
    """

    source: Location
    lists: tuple[PathList, ...]
    categories: Categories

    def identity(self) -> dict[str, Any]:
        """Return the request that a data set is built from (see `DatasetBuild`)."""
        return {
            "command": "shard iharmony4",
            "source": str(self.source),
            "lists": {listed.split: listed.sha256 for listed in self.lists},
            **self.categories.identity(),
        }

    def entries(self) -> tuple[list[LayoutEntry], list[Rejection]]:
        """Return one entry for each listed composite, in the order of the lists; and rejections."""
        splits: dict[str, list[str]] = {}
        rejected = []
        for listed in self.lists:
            for number, line in listed.lines:
                try:
                    names = splits.setdefault(listed.path(line), [])
                except DataError as error:
                    rejected.append(Rejection(line, line, f"{listed.name} line {number}: {error}"))
                    continue
                if listed.split not in names:
                    names.append(listed.split)
        self.categories.check_used(splits)
        candidates = []
        for path, names in splits.items():
            try:
                candidates.append(self._entry(path, tuple(names)))
            except DataError as error:
                rejected.append(Rejection(path, path, str(error)))
        entries, duplicates = reject_duplicates(candidates)
        return entries, [*rejected, *duplicates]

    def _entry(self, path: str, splits: tuple[str, ...]) -> LayoutEntry:
        folder, stem = split_composite_path(path)
        pieces = stem.split("_")
        if len(pieces) < 3:
            raise DataError(f"the file name {stem!r}; expected IMAGE_MASK_VARIANT")
        subset = folder.rpartition("/")[2] or SUBSET_OF_LETTER.get(stem[0].lower())
        if subset is None:
            letters = ", ".join(f"{letter} ({name})" for letter, name in SUBSET_OF_LETTER.items())
            raise DataError(
                f"the file name {stem!r} gives no subset; expected one that begins with {letters}"
            )
        files = {
            "composite": path,
            "ground_truth": join_path(folder, "real_images", f"{'_'.join(pieces[:-2])}.jpg"),
            "foreground_mask": join_path(folder, "masks", f"{'_'.join(pieces[:-1])}.png"),
        }
        stratum = Stratum(Domain.REAL, subset, self.categories.of(path), splits)
        return LayoutEntry(f"{subset}/{stem}", stratum, files)
