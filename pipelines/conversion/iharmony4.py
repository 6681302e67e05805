"""The released layout of iHarmony4: HCOCO, HAdobe5k, HFlickr and Hday2night, or all in one flat folder.

A composite is `<image>_<mask>_<variant>.jpg`; its mask is `<image>_<mask>.png` and its ground truth
`<image>.jpg`, in the folders masks and real_images beside composite_images. Where there is no such file, one
of the same name that ends in .jpg, .jpeg or .png, in small letters or capitals, is taken.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from charmnet.errors import DataError
from charmnet.vocabulary import Domain
from pipelines.conversion.entries import LayoutEntry, reject_duplicates
from pipelines.conversion.lists import Categories, PathList, join_path, split_composite_path
from pipelines.runtime.storage import Location
from pipelines.shards.rejection import Rejection
from pipelines.shards.stratum import Stratum

_TRAIN, _VALIDATION = "train", "validation"
SUBSET_OF_LETTER = {"c": "HCOCO", "a": "HAdobe5k", "f": "HFlickr", "d": "Hday2night"}


@dataclass(frozen=True)
class IHarmony4:
    """A released copy of iHarmony4 and the lists that select pictures from it.

    Attributes:
        source: the folder that listed paths are relative to.
        lists: the lists, one for each split.
        categories: category of each picture.
        validation_fraction: share of the photographs, 0 to 1, whose composites leave the lists of training,
            those whose split's name ends in "train": IHD_train becomes IHD_validation for them.

    Raises:
        ValueError: on construction, if there is a share of validation and no list of training.
    """

    source: Location
    lists: tuple[PathList, ...]
    categories: Categories
    validation_fraction: float = 0.0

    def __post_init__(self) -> None:
        splits = [listed.split for listed in self.lists]
        if self.validation_fraction and not any(split.endswith(_TRAIN) for split in splits):
            raise ValueError(
                f"--validation-fraction takes photographs from lists whose split's name ends in {_TRAIN!r}, "
                f"and there is none among {', '.join(splits)}; name one with --list SPLIT=FILE"
            )
        taken = sorted({validation_split(split) for split in splits if split.endswith(_TRAIN)} & {*splits})
        if self.validation_fraction and taken:
            raise ValueError(
                f"--validation-fraction makes the split {taken[0]}, for which there is a list, too; give one"
            )

    def identity(self) -> dict[str, Any]:
        """Return the request that a data set is built from (see `DatasetBuild`)."""
        options = {"validation_fraction": self.validation_fraction} if self.validation_fraction else {}
        return {
            "command": "shard iharmony4",
            "source": str(self.source),
            "lists": {listed.split: listed.sha256 for listed in self.lists},
            **self.categories.identity(),
            **options,
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
        photograph = "_".join(pieces[:-2])
        files = {
            "composite": path,
            "ground_truth": join_path(folder, "real_images", f"{photograph}{PurePosixPath(path).suffix}"),
            "foreground_mask": join_path(folder, "masks", f"{'_'.join(pieces[:-1])}.png"),
        }
        if self.validation_fraction and _drawn(f"{subset}/{photograph}") < self.validation_fraction:
            splits = tuple(validation_split(name) if name.endswith(_TRAIN) else name for name in splits)
        stratum = Stratum(Domain.REAL, subset, self.categories.of(path), splits)
        return LayoutEntry(f"{subset}/{stem}", stratum, files)


def validation_split(training_split: str) -> str:
    """Return the name of the split that photographs of a training split are moved to."""
    return f"{training_split.removesuffix(_TRAIN)}{_VALIDATION}"


def _drawn(photograph: str) -> float:
    """Return a number in 0..1 that only the photograph's name decides, whatever else is listed."""
    return int.from_bytes(hashlib.sha256(photograph.encode()).digest()[:8]) / 2**64
