"""What the quickstart works on: pictures of its own or the user's, and the one that it shows."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from charmnet.codecs import decode_rgb, encode_jpeg
from charmnet.errors import DataError
from pipelines.compositing.foregrounds import Folders, find
from pipelines.compositing.released_layout import compose
from pipelines.conversion.lists import Categories
from pipelines.runtime.storage import Location
from pipelines.shards.reading import Dataset

COMPOSITES_PER_MASK = 2
COMPARISON_GAP_PIXELS = 8


@dataclass(frozen=True)
class Pictures:
    """Data sets in the released layouts.

    Attributes:
        real, rendered: their folders; without a rendered one scenes are to be rendered.
        train_lists, test_lists: of the real one; at least one each.
        rendered_lists: none where whole scenes are meant.
    """

    real: Path
    rendered: Path | None
    train_lists: tuple[Path, ...]
    test_lists: tuple[Path, ...]
    rendered_lists: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Example:
    """One picture's files: `harmonized` is where the model's result goes."""

    folder: Path

    @property
    def composite(self) -> Path:
        return self.folder / "composite.jpg"

    @property
    def foreground_mask(self) -> Path:
        return self.folder / "mask.png"

    @property
    def ground_truth(self) -> Path:
        return self.folder / "ground_truth.jpg"

    @property
    def harmonized(self) -> Path:
        return self.folder / "harmonized.png"

    def write_comparison(self, path: Path) -> None:
        """Composite, mask, harmonized and ground truth beside each other as a JPEG."""
        files = (self.composite, self.foreground_mask, self.harmonized, self.ground_truth)
        images = [decode_rgb(file.read_bytes()) for file in files]
        gap = np.full((images[0].shape[0], COMPARISON_GAP_PIXELS, 3), 255, np.uint8)
        parts = [part for image in images for part in (image, gap)][:-1]
        path.write_bytes(encode_jpeg(np.concatenate(parts, axis=1)))


def pictures(folder: Path, real: str | None, rendered: str | None) -> Pictures:
    """The user's data sets, and where there is no real one the quickstart's own, made once in `folder`.

    Raises:
        DataError: the user's real data have no lists.
    """
    real_folder = Path(real).resolve() if real else _made(folder / "photographs", make_photographs)
    rendered_folder = Path(rendered).resolve() if rendered else None
    return Pictures(
        real_folder,
        rendered_folder,
        _lists(real_folder, "train"),
        _lists(real_folder, "test"),
        tuple(sorted(rendered_folder.glob("**/*labeled*.txt"))) if rendered_folder else (),
    )


def strongest_example(dataset_uri: str, per_image: Path, folder: Path) -> Example:
    """Writes the evaluated picture whose composite has the highest MSE, whatever became of it.

    Args:
        per_image: what `charmnet evaluate --per-image` wrote.
    """
    example = Example(folder)
    if folder.exists():
        return example
    measured = pq.read_table(per_image, columns=["id", "composite_mse"])
    strongest = measured.sort_by([("composite_mse", "descending")])["id"][0]
    dataset = Dataset.open(dataset_uri)
    for shard, group, _ in dataset.manifest.groups():
        found = dataset.read_row_group(shard, group).filter(pc.field("id") == strongest)
        if found.num_rows:
            row = found.to_pylist()[0]
            folder.mkdir(parents=True)
            example.composite.write_bytes(row["composite"])
            example.foreground_mask.write_bytes(row["foreground_mask"])
            example.ground_truth.write_bytes(row["ground_truth"])
            return example
    raise DataError(f"{dataset_uri}: the picture {strongest} of {per_image} is not there; evaluate again")


def _lists(folder: Path, word: str) -> tuple[Path, ...]:
    found = tuple(sorted(path for path in folder.glob("*.txt") if word in path.stem.lower()))
    if not found:
        raise DataError(f"{folder}: no list there; expected a file named *{word}*.txt as iHarmony4 has it")
    return found


def _made(folder: Path, make: Callable[[Path], object]) -> Path:
    """The folder as `make` fills it: once, and whole or not at all."""
    if not folder.exists():
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        make(partial)
        partial.rename(folder)
    return folder


def make_photographs(folder: Path) -> None:
    """Composites of photographs in iHarmony4's layout, with train.txt and test.txt."""
    from pipelines.quickstart.photographs import FOREGROUND_RATIO, PHOTOGRAPHS, write_photographs

    write_photographs(folder)
    photos, masks = folder / "photos", folder / "masks"
    folders = Folders(Location.of(photos), Location.of(masks), foreground_ratio=FOREGROUND_RATIO)
    found, _ = find(_names(photos), _names(masks), Categories(), test_fraction=0, seed=0)
    split_of = {name: split for split, names in PHOTOGRAPHS.items() for name in names}
    foregrounds = []
    for foreground in found:
        photograph = foreground.photo.partition("-")[0]  # views of one photograph are no other photographs
        foregrounds.append(replace(foreground, photograph=photograph, split=split_of[photograph]))
    compose(folders, foregrounds, COMPOSITES_PER_MASK, Location.of(folder), subset="Photographs")


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
