"""Data of the quickstart: released layouts to shard, and the picture that it shows at the end."""

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
from pipelines.compositing.foregrounds import Folders, SplitFractions, find
from pipelines.compositing.regions import FOREGROUND_RATIO
from pipelines.compositing.released_layout import compose
from pipelines.conversion.lists import Categories
from pipelines.quickstart.photographs import PHOTOGRAPHS, write_photographs
from pipelines.runtime.storage import Location
from pipelines.shards.reading import Dataset

COMPOSITES_PER_MASK = 2
COMPARISON_GAP_PIXELS = 8


@dataclass(frozen=True)
class Pictures:
    """Folders and lists of data sets in the released layouts.

    Attributes:
        real: folder of the real domain.
        rendered: folder of the rendered domain; None where scenes are to be rendered.
        train_lists: lists of the real domain's training splits; at least one.
        test_lists: lists of the real domain's test splits; at least one.
        rendered_lists: lists of the rendered domain; none where its whole scenes are to be used.
    """

    real: Path
    rendered: Path | None
    train_lists: tuple[Path, ...]
    test_lists: tuple[Path, ...]
    rendered_lists: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Example:
    """Files of one evaluated picture.

    Attributes:
        folder: where they are.
    """

    folder: Path

    @property
    def composite(self) -> Path:
        """Composite, JPEG."""
        return self.folder / "composite.jpg"

    @property
    def foreground_mask(self) -> Path:
        """Foreground mask, PNG."""
        return self.folder / "mask.png"

    @property
    def ground_truth(self) -> Path:
        """Ground truth, JPEG."""
        return self.folder / "ground_truth.jpg"

    @property
    def harmonized(self) -> Path:
        """Result of the model, PNG; missing until `charmnet harmonize` wrote it."""
        return self.folder / "harmonized.png"

    def write_comparison(self, path: Path) -> None:
        """Write composite, mask, harmonized and ground truth beside each other as a JPEG file."""
        files = (self.composite, self.foreground_mask, self.harmonized, self.ground_truth)
        images = [decode_rgb(file.read_bytes()) for file in files]
        gap = np.full((images[0].shape[0], COMPARISON_GAP_PIXELS, 3), 255, np.uint8)
        parts = [part for image in images for part in (image, gap)][:-1]
        path.write_bytes(encode_jpeg(np.concatenate(parts, axis=1)))


def pictures(folder: Path, real: str | None, rendered: str | None) -> Pictures:
    """Return the user's data sets, or photographs of the quickstart where there is no real one.

    Args:
        folder: where the photographs are written, once.
        real: folder of the user's real domain.
        rendered: folder of the user's rendered domain.

    Raises:
        DataError: the user's real domain has no lists.
    """
    real_folder = Path(real).resolve() if real else _fill_once(folder / "photographs", make_photographs)
    rendered_folder = Path(rendered).resolve() if rendered else None
    return Pictures(
        real=real_folder,
        rendered=rendered_folder,
        train_lists=_lists(real_folder, "train"),
        test_lists=_lists(real_folder, "test"),
        rendered_lists=tuple(sorted(rendered_folder.glob("**/*labeled*.txt"))) if rendered_folder else (),
    )


def strongest_example(dataset_uri: str, per_image: Path, folder: Path) -> Example:
    """Write the files of the evaluated picture whose composite has the highest MSE.

    Args:
        dataset_uri: the evaluated data set.
        per_image: file that `charmnet evaluate --per-image` wrote.
        folder: where the files go; nothing is done where it exists.

    Raises:
        DataError: the data set does not hold the picture.
    """
    example = Example(folder)
    if folder.exists():
        return example
    measured = pq.read_table(per_image, columns=["id", "composite_mse"])
    strongest = measured.sort_by([("composite_mse", "descending")])["id"][0]
    dataset = Dataset.open(dataset_uri)
    for shard, group, _ in dataset.manifest.groups():
        matching = dataset.read_row_group(shard, group).filter(pc.field("id") == strongest)
        if matching.num_rows:
            row = matching.to_pylist()[0]
            folder.mkdir(parents=True)
            example.composite.write_bytes(row["composite"])
            example.foreground_mask.write_bytes(row["foreground_mask"])
            example.ground_truth.write_bytes(row["ground_truth"])
            return example
    raise DataError(f"{dataset_uri}: the picture {strongest} of {per_image} is not there; evaluate again")


def _lists(folder: Path, word: str) -> tuple[Path, ...]:
    lists = tuple(sorted(path for path in folder.glob("*.txt") if word in path.stem.lower()))
    if not lists:
        raise DataError(f"{folder}: no list there; expected a file named *{word}*.txt as iHarmony4 has it")
    return lists


def _fill_once(folder: Path, fill: Callable[[Path], object]) -> Path:
    """Return a folder that a function fills, once: it exists only when it is complete."""
    if not folder.exists():
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        fill(partial)
        partial.rename(folder)
    return folder


def make_photographs(folder: Path) -> None:
    """Write composites of photographs in iHarmony4's layout, with train.txt and test.txt."""
    write_photographs(folder)
    photos, masks = folder / "photos", folder / "masks"
    folders = Folders(Location.of(photos), Location.of(masks), foreground_ratio=FOREGROUND_RATIO)
    candidates, _ = find(_names(photos), _names(masks), Categories(), SplitFractions(0, 0), seed=0)
    split_of = {name: split for split, names in PHOTOGRAPHS.items() for name in names}
    foregrounds = []
    for foreground in candidates:
        photograph = foreground.photo.partition("-")[0]  # all views of a photograph count as one photograph
        foregrounds.append(replace(foreground, photograph=photograph, split=split_of[photograph]))
    compose(folders, foregrounds, COMPOSITES_PER_MASK, Location.of(folder), subset="Photographs")


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
