"""Data of the quickstart, and the sheet of pictures that it shows at the end."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from charmnet.arrays import UInt8Array
from charmnet.codecs import decode_rgb, encode_jpeg
from charmnet.errors import DataError
from pipelines.quickstart.photographs import write_photographs

SHEET_ROWS = 5  # of the sheet; the others stand at their right
CELL_PIXELS = (150, 200)  # height and width of a picture in the sheet
GAP_PIXELS = 6
_TRAIN = "train"  # ends the names of lists whose photographs a validation split may be taken from


@dataclass(frozen=True)
class Pictures:
    """Folders and lists of what the data sets are made of.

    Attributes:
        real: folder of photographs; with lists, of the real domain in iHarmony4's layout.
        rendered: folder of the rendered domain; None where scenes are to be rendered.
        train_lists: lists of the real domain's training splits; none for photographs.
        validation_lists: lists of its splits that choose the best model; may be none.
        test_lists: lists of its test splits; none for photographs.
        rendered_lists: lists of the rendered domain; none where its whole scenes are to be used.
    """

    real: Path
    rendered: Path | None
    train_lists: tuple[Path, ...] = ()
    validation_lists: tuple[Path, ...] = ()
    test_lists: tuple[Path, ...] = ()
    rendered_lists: tuple[Path, ...] = ()

    @property
    def real_lists(self) -> tuple[Path, ...]:
        """All lists of the real domain."""
        return (*self.train_lists, *self.validation_lists, *self.test_lists)

    @property
    def train_splits(self) -> tuple[str, ...]:
        """Splits that are trained on."""
        return _names(self.train_lists) or (_TRAIN,)

    @property
    def evaluation_splits(self) -> tuple[str, ...]:
        """Splits that are reported on."""
        return _names(self.test_lists) or ("test",)

    @property
    def derived_validation_splits(self) -> tuple[str, ...]:
        """Splits that `shard iharmony4 --validation-fraction` makes of training lists; none beside others."""
        names = () if self.validation_lists else _names(self.train_lists)
        return tuple(f"{name.removesuffix(_TRAIN)}validation" for name in names if name.endswith(_TRAIN))

    def validation_split(self, available: Collection[str]) -> str:
        """Return the split that chooses the best model, a test split where the data set has no other.

        Args:
            available: the splits that have pictures: of few photographs none may have been taken.
        """
        lists = _names(self.validation_lists) or self.derived_validation_splits
        wanted = lists if self.real_lists else ("validation",)
        return next((name for name in wanted if name in available), self.evaluation_splits[0])


@dataclass(frozen=True)
class Examples:
    """Files of some evaluated pictures, each named by its number.

    Attributes:
        folder: where they are.
    """

    folder: Path

    @property
    def inputs(self) -> Path:
        """Folder of composites NUMBER.png with masks NUMBER.mask.png."""
        return self.folder / "inputs"

    @property
    def harmonized(self) -> Path:
        """Folder of the results NUMBER.png, which `charmnet harmonize` writes."""
        return self.folder / "harmonized"

    @property
    def ground_truths(self) -> Path:
        """Folder of the ground truths NUMBER.png."""
        return self.folder / "ground_truths"

    @property
    def composites(self) -> list[Path]:
        """Files of the composites, in order."""
        return sorted(path for path in self.inputs.glob("*.png") if not path.name.endswith(".mask.png"))

    @property
    def are_harmonized(self) -> bool:
        """Whether the result of each is there."""
        return all((self.harmonized / path.name).exists() for path in self.composites)

    def write_sheet(self, path: Path) -> None:
        """Write composite, mask, harmonized and ground truth of each as a row of a JPEG file."""
        rows = []
        for composite in self.composites:
            name = composite.name
            mask = self.inputs / f"{composite.stem}.mask.png"
            files = (composite, mask, self.harmonized / name, self.ground_truths / name)
            rows.append(np.concatenate([_cell(file) for file in files], axis=1))
        rows += [np.full_like(rows[0], 255)] * (-len(rows) % SHEET_ROWS)
        blocks = [np.concatenate(rows[i : i + SHEET_ROWS]) for i in range(0, len(rows), SHEET_ROWS)]
        path.write_bytes(encode_jpeg(np.concatenate(blocks, axis=1)))


def _cell(file: Path) -> UInt8Array:
    """Return a picture in the middle of a white cell."""
    height, width = CELL_PIXELS
    inner = (width - GAP_PIXELS, height - GAP_PIXELS)
    picture = Image.fromarray(decode_rgb(file.read_bytes()))
    padded = ImageOps.pad(picture, inner, Image.Resampling.BOX, color="white")
    return np.asarray(ImageOps.expand(padded, GAP_PIXELS // 2, fill="white"))


def pictures(folder: Path, real: str | None, rendered: str | None) -> Pictures:
    """Return the user's data sets, or photographs of the quickstart where there is no real one.

    Args:
        folder: where the photographs are written, once.
        real: folder of the user's real domain.
        rendered: folder of the user's rendered domain.

    Raises:
        DataError: the user's real domain has no lists.
    """
    rendered_folder = Path(rendered).resolve() if rendered else None
    rendered_lists = tuple(sorted(rendered_folder.glob("**/*labeled*.txt"))) if rendered_folder else ()
    if real is None:
        photographs = _fill_once(folder / "views", write_photographs)
        return Pictures(photographs, rendered_folder, rendered_lists=rendered_lists)
    real_folder = Path(real).resolve()
    return Pictures(
        real=real_folder,
        rendered=rendered_folder,
        train_lists=_lists(real_folder, "train"),
        validation_lists=_found(real_folder, "valid"),
        test_lists=_lists(real_folder, "test"),
        rendered_lists=rendered_lists,
    )


def _names(lists: tuple[Path, ...]) -> tuple[str, ...]:
    return tuple(path.stem for path in lists)


def _lists(folder: Path, word: str) -> tuple[Path, ...]:
    lists = _found(folder, word)
    if not lists:
        raise DataError(f"{folder}: no list there; expected a file named *{word}*.txt as iHarmony4 has it")
    return lists


def _found(folder: Path, word: str) -> tuple[Path, ...]:
    return tuple(sorted(path for path in folder.glob("*.txt") if word in path.stem.lower()))


def _fill_once(folder: Path, fill: Callable[[Path], object]) -> Path:
    """Return a folder that a function fills, once: it exists only when it is complete."""
    if not folder.exists():
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        fill(partial)
        partial.rename(folder)
    return folder
