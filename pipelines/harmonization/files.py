"""Pairs of composite and mask among the files of a folder, and harmonization of one pair."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

import torch

from charmnet.blending import Adjustment
from charmnet.encoded_pictures import EncodedPicture, EncodedResult, harmonize_encoded
from charmnet.errors import CharmNetError
from charmnet.methods import HarmonizationMethod
from charmnet.picture_formats import SUFFIXES
from pipelines.runtime.storage import Location

MASK_ENDING = ".mask.png"
_COMPOSITES = "composite_images"
_MASKS = "masks"
_GROUND_TRUTHS = "real_images"
# Words of file names that say what a picture is and not which.
_KIND_WORDS = {
    *("mask", "masks", "matte", "alpha", "seg", "segmentation", "fg", "foreground"),
    *("composite", "comp", "image", "img", "picture", "photo"),
}


@dataclass(frozen=True)
class Folders:
    """Where pictures are read and written.

    Attributes:
        source: folder of the composites.
        masks: folder that paths of masks are relative to.
        dest: folder to write to, each picture at the path that its composite has in `source`.
    """

    source: Location
    masks: Location
    dest: Location


@dataclass(frozen=True)
class PictureFiles:
    """Composites of a source, as paths relative to it."""

    pairs: list[tuple[str, str]]
    """(composite, mask)."""

    incomplete: list[tuple[str, str]]
    """(composite, reason why it has no mask)."""


@dataclass(frozen=True)
class FileResult:
    """Result for one composite: written without remarks if problem and warning are empty."""

    path: str
    """Path of the composite, relative to the source."""

    problem: str = ""
    """Reason why nothing was written."""

    warning: str = ""
    """Remark about the mask of a picture that was written, or about what was dropped of it."""


def find_pictures(paths: Iterable[str]) -> PictureFiles:
    """Find composites and their masks among the files of a source.

    In a folder composite_images, NAME.jpg has its mask in the folder masks beside it: NAME.png, or NAME.png
    without NAME's last part after "_" (iHarmony4) or "-" (RdHarmony). Elsewhere its mask is NAME.mask.png
    beside it. Suffixes may be in capitals. Files of folders masks and real_images, and files of other kinds,
    are not composites.
    """
    files = sorted(only_pictures(paths))
    by_name = {_with_lower_suffix(path): path for path in files}  # .png sorts after .PNG, and wins
    pairs, incomplete = [], []
    for path in files:
        folder = PurePosixPath(path).parent.name
        if _with_lower_suffix(path).endswith(MASK_ENDING) or folder in (_MASKS, _GROUND_TRUTHS):
            continue
        candidates = _masks_of(PurePosixPath(path))
        mask = next((by_name[candidate] for candidate in candidates if candidate in by_name), None)
        if mask is None:
            incomplete.append((path, f"no mask; expected {' or '.join(candidates)}"))
        else:
            pairs.append((path, mask))
    return PictureFiles(pairs, incomplete)


def match_masks(composites: Iterable[str], masks: Iterable[str]) -> PictureFiles:
    """Give each composite a mask of another folder, by the words and numbers in their names.

    Words such as "mask" or "composite" do not count. The mask's words have to be the composite's, or the
    first of them: `cat.png`, `cat_mask.png` and `mask-cat.tif` are masks of `cat.jpg` and of `cat_2.jpg`. The
    mask that shares most words is taken. Masks in a folder of the same path come first.

    Args:
        composites: paths relative to their folder; files that are no pictures, and data sets' masks, are
            passed over.
        masks: paths relative to the masks' folder.
    """
    folders: dict[PurePosixPath, dict[tuple[str, ...], list[str]]] = {}
    anywhere: dict[tuple[str, ...], list[str]] = {}
    for mask in sorted(only_pictures(masks)):
        words = _words(mask)
        folders.setdefault(PurePosixPath(mask).parent, {}).setdefault(words, []).append(mask)
        anywhere.setdefault(words, []).append(mask)
    pairs, incomplete = [], []
    for path in sorted(only_pictures(composites)):
        if _with_lower_suffix(path).endswith(MASK_ENDING):
            continue
        beside = folders.get(PurePosixPath(path).parent, {})
        found = _best_match(path, beside) or _best_match(path, anywhere)
        if len(found) == 1:
            pairs.append((path, found[0]))
        elif found:
            incomplete.append((path, f"several masks fit its name: {', '.join(found[:3])}; keep one of them"))
        else:
            incomplete.append((path, f"no mask fits its name; expected one such as {_stem(path)}_mask.png"))
    return PictureFiles(pairs, incomplete)


def only_pictures(paths: Iterable[str]) -> list[str]:
    """Return the paths of pictures among those of files."""
    return [path for path in paths if PurePosixPath(path).suffix.lower() in SUFFIXES]


def _best_match(composite: str, masks: dict[tuple[str, ...], list[str]]) -> list[str]:
    """Return the masks that share most words with a composite's name, none if no mask's words are its own."""
    words = _words(composite)
    lengths = range(len(words), 0, -1)
    return next((masks[words[:length]] for length in lengths if words[:length] in masks), [])


def _words(path: str) -> tuple[str, ...]:
    words = re.findall(r"[^\W_]+", _stem(path).lower())
    return tuple(word for word in words if word not in _KIND_WORDS) or tuple(words)


def _stem(path: str) -> str:
    return PurePosixPath(path).stem


def _with_lower_suffix(path: str) -> str:
    ending = path[-len(MASK_ENDING) :]
    if ending.lower() == MASK_ENDING:
        return path[: -len(MASK_ENDING)] + MASK_ENDING
    suffix = PurePosixPath(path).suffix
    return path.removesuffix(suffix) + suffix.lower()


def _masks_of(composite: PurePosixPath) -> list[str]:
    """Return the paths that a composite's mask may have, the likeliest first."""
    if composite.parent.name != _COMPOSITES:
        return [str(composite.with_name(f"{composite.stem}{MASK_ENDING}"))]
    masks = composite.parent.with_name(_MASKS)
    stems = [composite.stem, *(composite.stem.rpartition(separator)[0] for separator in "_-")]
    return [str(masks / f"{stem}.png") for stem in stems if stem]


def harmonize_file(
    method: HarmonizationMethod,
    composite: Location,
    mask: Location,
    out: Location,
    adjustment: Adjustment | None = None,
    *,
    device: torch.device | str = "cpu",
) -> str | None:
    """Harmonize one picture and write the result in the format of its suffix.

    Args:
        method: method that harmonizes.
        composite: picture to read.
        mask: mask of its foreground.
        out: picture to write.
        adjustment: what is chosen about the result.
        device: device of the method.

    Returns:
        A warning about the mask or about what is dropped of the picture, if there is one.

    Raises:
        DataError: a picture is broken, sizes or EXIF orientations differ, the foreground is too small, or the
            result does not fit its format; names the file.
        WeightsError: the network's output holds NaN or infinite values; names the file.
        StorageError: a file cannot be read or written.
    """
    result = harmonized_pair(method, composite, mask, out.name, adjustment, device)
    out.write_bytes(result.data)
    return "; ".join(result.warnings) or None


def harmonized_pair(
    method: HarmonizationMethod,
    composite: Location,
    mask: Location,
    out_name: str,
    adjustment: Adjustment | None = None,
    device: torch.device | str = "cpu",
) -> EncodedResult:
    """Return the result that `harmonize_file` writes; raises as it does."""
    return harmonize_encoded(
        method,
        EncodedPicture(composite.read_bytes(), str(composite)),
        EncodedPicture(mask.read_bytes(), str(mask)),
        out_name,
        adjustment,
        device,
    )


def try_file(
    method: HarmonizationMethod,
    folders: Folders,
    pair: tuple[str, str],
    adjustment: Adjustment | None = None,
    *,
    device: torch.device | str = "cpu",
) -> FileResult:
    """Harmonize a (composite, mask), and return a failure as a result; see `harmonize_file`."""
    composite, mask = pair
    try:
        warning = harmonize_file(
            method,
            folders.source / composite,
            folders.masks / mask,
            folders.dest / composite,
            adjustment,
            device=device,
        )
    except CharmNetError as error:
        return FileResult(composite, problem=str(error))
    return FileResult(composite, warning=warning or "")
