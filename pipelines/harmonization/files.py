"""Which files of a folder belong together as composite and mask, and harmonizing one such pair."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

import torch

from charmnet.codecs import color_profile, decode_rgb, decode_user_mask, encode_jpeg, encode_png
from charmnet.errors import CharmNetError, DataError, WeightsError
from charmnet.full_size import harmonize_full_size
from charmnet.methods import Method
from pipelines.runtime.storage import Location

_ENCODERS: dict[str, Callable[..., bytes]] = {".png": encode_png, ".jpg": encode_jpeg, ".jpeg": encode_jpeg}
SUFFIXES = tuple(_ENCODERS)
"""Of pictures that are read and written: PNG without loss, JPEG of quality 95."""

MASK_ENDING = ".mask.png"
_COMPOSITES, _MASKS, _GROUND_TRUTHS = "composite_images", "masks", "real_images"


@dataclass(frozen=True)
class Found:
    """Paths relative to the source.

    Attributes:
        pairs: (composite, mask). incomplete: (composite, what is missing).
    """

    pairs: list[tuple[str, str]]
    incomplete: list[tuple[str, str]]


@dataclass(frozen=True)
class Outcome:
    """How it went with one composite: all empty where all is well."""

    path: str
    problem: str = ""
    warning: str = ""


def find_pictures(paths: Iterable[str]) -> Found:
    """Composites and their masks among the files of a source.

    In a folder composite_images, NAME.jpg has its mask in the folder masks beside it: NAME.png, or NAME.png
    without NAME's last piece after "_" (iHarmony4) or "-" (RdHarmony). Elsewhere its mask is NAME.mask.png
    beside it. Suffixes may be in capitals. Files of folders masks and real_images and other kinds of file are
    no composites.
    """
    files = sorted(path for path in paths if PurePosixPath(path).suffix.lower() in SUFFIXES)
    by_name = {_with_lower_suffix(path): path for path in files}  # .png comes after .PNG, and wins
    pairs, incomplete = [], []
    for path in files:
        place = PurePosixPath(path)
        if _with_lower_suffix(path).endswith(MASK_ENDING) or place.parent.name in (_MASKS, _GROUND_TRUTHS):
            continue
        candidates = _masks_of(place)
        mask = next((by_name[candidate] for candidate in candidates if candidate in by_name), None)
        if mask is None:
            incomplete.append((path, f"no mask; expected {' or '.join(candidates)}"))
        else:
            pairs.append((path, mask))
    return Found(pairs, incomplete)


def _with_lower_suffix(path: str) -> str:
    suffix = PurePosixPath(path).suffix
    return path.removesuffix(suffix) + suffix.lower()


def _masks_of(composite: PurePosixPath) -> list[str]:
    """Where a composite's mask may lie, the likeliest first."""
    if composite.parent.name != _COMPOSITES:
        return [str(composite.with_name(f"{composite.stem}{MASK_ENDING}"))]
    masks = composite.parent.with_name(_MASKS)
    stems = [composite.stem, *(composite.stem.rpartition(separator)[0] for separator in "_-")]
    return [str(masks / f"{stem}.png") for stem in stems if stem]


def harmonize_file(
    method: Method,
    composite: Location,
    mask: Location,
    out: Location,
    background: bool = False,
    device: torch.device | str = "cpu",
) -> str | None:
    """Harmonizes one picture and writes the result as its suffix says.

    Returns:
        A warning about the mask, if there is one.

    Raises:
        DataError: a picture is broken, sizes differ, the foreground is too small, or the result does not fit
            its format; names the file.
        WeightsError: the network's output holds NaN or infinite values; names the file.
        StorageError: a file cannot be read or written.
    """
    try:
        data = composite.read_bytes()
        pixels, profile = decode_rgb(data, upright=True), color_profile(data)
        foreground, warning = decode_user_mask(mask.read_bytes())
        result = harmonize_full_size(method, pixels, foreground, background, device)
        encoded = _ENCODERS[PurePosixPath(out.name).suffix.lower()](result, profile=profile)
    except (DataError, WeightsError) as error:
        raise type(error)(f"{composite} with {mask}: {error}") from error
    out.write_bytes(encoded)
    return warning


def try_file(
    method: Method,
    folders: tuple[Location, Location],
    pair: tuple[str, str],
    background: bool,
    device: torch.device | str,
) -> Outcome:
    """`harmonize_file` for a pair of the source (the first folder), whose failure is an outcome too."""
    (source, dest), (composite, mask) = folders, pair
    try:
        places = (source / composite, source / mask, dest / composite)
        return Outcome(composite, warning=harmonize_file(method, *places, background, device) or "")
    except CharmNetError as error:
        return Outcome(composite, problem=str(error))
