"""Pairs of composite and mask among the files of a folder, and harmonization of one pair."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath

import torch

from charmnet.codecs import (
    color_profile,
    decode_rgb,
    decode_user_mask,
    encode_jpeg,
    encode_png,
    transparent_pixels,
)
from charmnet.errors import CharmNetError, DataError, WeightsError
from charmnet.full_size import harmonize_full_size
from charmnet.methods import HarmonizationMethod
from charmnet.orientation import check_mask_orientation
from pipelines.runtime.storage import Location

_ENCODERS: dict[str, Callable[..., bytes]] = {".png": encode_png, ".jpg": encode_jpeg, ".jpeg": encode_jpeg}
SUFFIXES = tuple(_ENCODERS)
"""File name suffixes of pictures: PNG without loss, JPEG of quality 95."""

MASK_ENDING = ".mask.png"
_COMPOSITES = "composite_images"
_MASKS = "masks"
_GROUND_TRUTHS = "real_images"


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
    files = sorted(path for path in paths if PurePosixPath(path).suffix.lower() in SUFFIXES)
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


def _with_lower_suffix(path: str) -> str:
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
    *,
    background: bool = False,
    device: torch.device | str = "cpu",
) -> str | None:
    """Harmonize one picture and write the result in the format of its suffix.

    Args:
        method: method that harmonizes.
        composite: picture to read.
        mask: mask of its foreground.
        out: picture to write.
        background: let the background change as well; otherwise its pixels stay.
        device: device of the method.

    Returns:
        A warning about the mask or about what is dropped of the picture, if there is one.

    Raises:
        DataError: a picture is broken, sizes or EXIF orientations differ, the foreground is too small, or the
            result does not fit its format; names the file.
        WeightsError: the network's output holds NaN or infinite values; names the file.
        StorageError: a file cannot be read or written.
    """
    data, mask_data = composite.read_bytes(), mask.read_bytes()
    with _naming(composite):
        pixels, profile = decode_rgb(data, upright=True), color_profile(data)
        transparent = transparent_pixels(data)
    with _naming(mask):
        foreground, remark = decode_user_mask(mask_data)
    with _naming(f"{composite} with {mask}"):
        check_mask_orientation(data, mask_data)
        result = harmonize_full_size(method, pixels, foreground, background, device)
    with _naming(f"{composite} as {out.name}"):
        encoded = _ENCODERS[PurePosixPath(out.name).suffix.lower()](result, profile=profile)
    out.write_bytes(encoded)
    warnings = [f"{mask.name}: {remark}"] if remark else []
    if transparent:
        warnings.append(
            f"{composite.name}: {transparent:,} of {foreground.size:,} pixels are transparent; this is "
            "dropped, and their colours are taken as they are stored"
        )
    return "; ".join(warnings) or None


@contextmanager
def _naming(subject: Location | str) -> Iterator[None]:
    """Put the file that an error is about before its message."""
    try:
        yield
    except (DataError, WeightsError) as error:
        raise type(error)(f"{subject}: {error}") from error


def try_file(
    method: HarmonizationMethod,
    source: Location,
    dest: Location,
    pair: tuple[str, str],
    *,
    background: bool,
    device: torch.device | str,
) -> FileResult:
    """Harmonize a (composite, mask) of the source, and return a failure as a result; see `harmonize_file`."""
    composite, mask = pair
    try:
        warning = harmonize_file(
            method,
            source / composite,
            source / mask,
            dest / composite,
            background=background,
            device=device,
        )
    except CharmNetError as error:
        return FileResult(composite, problem=str(error))
    return FileResult(composite, warning=warning or "")
