"""Harmonizing what was handed to the page: one picture with its mask, or several."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import torch

from charmnet.arrays import UInt8Array
from charmnet.blending import Adjustment
from charmnet.encoded_pictures import EncodedPicture, harmonize_encoded
from charmnet.errors import CharmNetError, DataError
from charmnet.image_limits import image_size
from charmnet.methods import HarmonizationMethod
from charmnet.picture_formats import as_codec_format
from pipelines.demo.pictures import (
    encode_preview,
    painted_mask,
    pair_by_name,
    preview,
    upright_picture,
)

MOST_PICTURES = 100
"""Pictures that are harmonized at a time."""

_KEPT_RESULTS = 64  # folders with the results of a click each
_SUFFIXES = {"PNG": ".png", "JPEG": ".jpg"}
FORMATS = tuple(_SUFFIXES)
"""Formats of results, by name."""


@dataclass(frozen=True)
class OneResult:
    """A harmonized picture.

    Attributes:
        file: the result at full size.
        mask: the mask that was used.
        before: preview of the composite.
        after: preview of the result.
        warnings: remarks about mask and picture.
    """

    file: Path
    mask: Path
    before: Path
    after: Path
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class SeveralResults:
    """What came of several pictures.

    Attributes:
        finished: (composite, result) of each that succeeded.
        warnings: remarks about these, each with the picture's name.
        problems: reasons for those that failed, each with the picture's name.
        archive: all results in one ZIP; None where there is none.
    """

    finished: list[tuple[Path, Path]]
    warnings: list[str]
    problems: list[str]
    archive: Path | None


class PageWork:
    """Harmonizes files with one model and keeps the newest results in a folder.

    Args:
        method: the model, on the device.
        device: device to work on.
        folder: folder for results; whoever made it deletes it.
    """

    def __init__(self, method: HarmonizationMethod, device: torch.device | str, folder: Path) -> None:
        self._method = method
        self._device = device
        self._folder = folder
        self._kept: deque[Path] = deque()
        self._lock = Lock()

    def harmonize_one(
        self,
        composite: str | None,
        mask: str | Sequence[UInt8Array] | None,
        adjustment: Adjustment,
        image_format: str,
    ) -> OneResult:
        """Harmonize one picture.

        Args:
            composite: path of the picture.
            mask: path of the mask, or painted layers, [h,w,4] RGBA.
            adjustment: strength and feather.
            image_format: one of `FORMATS`.

        Raises:
            CharmNetError: composite or mask is missing or not usable, or the model's output is not finite.
        """
        if composite is None:
            raise DataError("there is no picture yet: drop, paste or choose a composite")
        picture = EncodedPicture(Path(composite).read_bytes(), Path(composite).name)
        before = preview(picture.data)
        if mask is None:
            raise DataError("there is no mask yet: drop, paste or choose one, or paint it")
        if isinstance(mask, str):
            mask_file = EncodedPicture(Path(mask).read_bytes(), Path(mask).name)
        else:
            picture = upright_picture(picture)
            mask_file = _painted(picture, mask)
        folder = self._new_folder()
        out = folder / _result_name(Path(composite), image_format)
        result = harmonize_encoded(self._method, picture, mask_file, out.name, adjustment, self._device)
        out.write_bytes(result.data)
        mask_path = folder / f"{Path(composite).stem}.mask{Path(mask_file.name).suffix}"
        mask_path.write_bytes(mask_file.data)
        shown = folder / "before.jpg", folder / "after.jpg"
        shown[0].write_bytes(encode_preview(before))
        shown[1].write_bytes(encode_preview(preview(result.data)))
        return OneResult(out, mask_path, *shown, warnings=result.warnings)

    def harmonize_several(
        self,
        composites: Sequence[str],
        masks: Sequence[str],
        adjustment: Adjustment,
        image_format: str,
        advance: Callable[[int, int], None],
    ) -> SeveralResults:
        """Harmonize several pictures, each with the mask of its name; a failure stops no other.

        Args:
            composites: paths of pictures.
            masks: paths of masks, see `pair_by_name`.
            adjustment: strength and feather.
            image_format: one of `FORMATS`.
            advance: called with the number that is done and the number of all.

        Raises:
            DataError: no picture or mask is there, or there are too many pictures.
        """
        if not composites or not masks:
            raise DataError("expected one or more pictures, and a mask for each or one for all")
        if len(composites) > MOST_PICTURES:
            raise DataError(
                f"{len(composites)} pictures; at most {MOST_PICTURES} at a time here, any number with "
                "`charmnet harmonize --source --dest`"
            )
        pairs, missing = pair_by_name(composites, masks)
        folder = self._new_folder()
        results = SeveralResults([], [], [f"{Path(path).name}: {reason}" for path, reason in missing], None)
        for number, pair in enumerate(pairs):
            advance(number, len(pairs))
            self._harmonize_pair(pair, folder, adjustment, image_format, results)
        if not results.finished:
            return results
        archive = folder / "harmonized.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
            for _, path in results.finished:
                file.write(path, path.name)
        return SeveralResults(results.finished, results.warnings, results.problems, archive)

    def _harmonize_pair(
        self,
        pair: tuple[str, str],
        folder: Path,
        adjustment: Adjustment,
        image_format: str,
        results: SeveralResults,
    ) -> None:
        """Harmonize one of several and note what came of it."""
        picture, mask = (EncodedPicture(Path(path).read_bytes(), Path(path).name) for path in pair)
        out = _free_path(folder / _result_name(Path(pair[0]), image_format))
        try:
            result = harmonize_encoded(self._method, picture, mask, out.name, adjustment, self._device)
        except CharmNetError as error:
            results.problems.append(str(error))
            return
        out.write_bytes(result.data)
        results.finished.append((Path(pair[0]), out))
        results.warnings.extend(result.warnings)

    def compare(self, composite: Path, result: Path) -> tuple[Path, Path]:
        """Return previews of a composite and its result, files beside the latter."""
        before, after = (result.parent / f"{result.name}.{side}.jpg" for side in ("before", "after"))
        before.write_bytes(encode_preview(preview(composite.read_bytes())))
        after.write_bytes(encode_preview(preview(result.read_bytes())))
        return before, after

    def _new_folder(self) -> Path:
        """Return a new folder for results, and delete the oldest beyond `_KEPT_RESULTS`."""
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        with self._lock:
            self._kept.append(folder)
            old = self._kept.popleft() if len(self._kept) > _KEPT_RESULTS else None
        if old is not None:
            shutil.rmtree(old, ignore_errors=True)
        return folder


def _painted(picture: EncodedPicture, layers: Sequence[UInt8Array]) -> EncodedPicture:
    height, width = image_size(as_codec_format(picture.data))
    return EncodedPicture(painted_mask(layers, height, width), "painted mask.png")


def _result_name(composite: Path, image_format: str) -> str:
    return f"{composite.stem}-harmonized{_SUFFIXES[image_format]}"


def _free_path(path: Path) -> Path:
    """Return the path, or with a number where a file of this name is there."""
    number = 1
    free = path
    while free.exists():
        number += 1
        free = path.with_stem(f"{path.stem}-{number}")
    return free
