"""Masks of regions in photographs that have none, found by segmentation: `compose-real --masks auto`.

A segment of even colour (Felzenszwalb and Huttenlocher, IJCV 2004) is grown to its object by the colours of
both and of their surroundings (GrabCut; Rother et al., SIGGRAPH 2004). Regions are no objects with a name:
composites of them train what a harmonization network learns, and evaluate nothing that is published.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from itertools import count, islice
from pathlib import PurePosixPath
from typing import Any

import cv2
import numpy as np

from charmnet.arrays import MaskArray, UInt8Array
from charmnet.codecs import decode_rgb, encode_mask
from charmnet.errors import DataError
from pipelines.compositing.foregrounds import is_photograph
from pipelines.runtime.recorded import run_recorded
from pipelines.runtime.storage import Location
from pipelines.shards.rejection import Rejection

SEGMENTS = 8  # largest segments of a picture that are tried as regions
REGIONS = 3  # most regions of a picture
FOREGROUND_RATIO = (0.03, 0.40)  # least and most of the picture that a region covers
SEGMENTED_SIDE = 320
"""Pixels of the longer side of the copy that is segmented; a mask is enlarged from it."""

FEW_PHOTOGRAPHS = 8
"""Up to so many photographs are segmented sooner in one process than a cluster starts."""
_PHOTOGRAPHS_PER_TASK = 32
_PARTS = "regions"  # in the folder of masks, a record for each finished task


@dataclass(frozen=True)
class FoundRegions:
    """Masks that were written, by path, and photographs in which none was found."""

    masks: list[str]
    rejected: list[Rejection]


def check_installed() -> None:
    """Check that the library which segments is installed.

    Raises:
        ValueError: it is not.
    """
    if find_spec("skimage") is None:
        raise ValueError(
            "--masks auto needs scikit-image, not installed here: pip install 'charmnet[render]'; or name a "
            "folder of masks"
        )


def find_regions(photos: Location, names: Sequence[str], folder: Location) -> FoundRegions:
    """Segment photographs on the cluster and write their masks, `NAME_1.png` and so on; goes on where it was.

    Args:
        photos: folder of the photographs.
        names: paths beneath it; files of other suffixes than pictures' are skipped.
        folder: folder for the masks.

    Raises:
        StorageError: the store cannot be reached; finished masks stay.
    """
    pictures = [name for name in names if is_photograph(name)]
    jobs = {
        folder / f"{_PARTS}-{start:07d}.json": pictures[start : start + _PHOTOGRAPHS_PER_TASK]
        for start in range(0, len(pictures), _PHOTOGRAPHS_PER_TASK)
    }
    stems = frozenset(map(_stem, names))
    small = len(pictures) <= FEW_PHOTOGRAPHS
    results = run_recorded("Finding regions", partial(_find, photos, folder, stems), jobs, small=small)
    return FoundRegions(
        masks=[mask for result in results for mask in result["masks"]],
        rejected=[Rejection(**entry) for result in results for entry in result["rejected"]],
    )


def _find(photos: Location, folder: Location, stems: Set[str], names: Sequence[str]) -> dict[str, Any]:
    """Write the masks of some photographs; return `FoundRegions` as JSON."""
    cv2.setNumThreads(0)  # tasks are the parallelism
    result = FoundRegions([], [])
    for name in names:
        try:
            masks = regions(decode_rgb((photos / name).read_bytes(), upright=True))
        except DataError as error:
            result.rejected.append(Rejection(name, name, str(error)))
            continue
        if not masks:
            result.rejected.append(Rejection(name, name, "no region found", items=0))
        for path, mask in zip(mask_paths(name, stems), masks, strict=False):
            (folder / path).write_bytes(encode_mask(mask))
            result.masks.append(path)
    return asdict(result)


def mask_paths(photograph: str, stems: Set[str]) -> list[str]:
    """Return paths for the masks of a photograph, `NAME_1.png` and so on.

    Args:
        photograph: path of the photograph.
        stems: paths of all photographs without their suffixes: where `NAME_1.jpg` is one, `NAME_1.png` would
            be its mask, and the number is left out.
    """
    paths = (f"{_stem(photograph)}_{number}" for number in count(1))
    return [f"{path}.png" for path in islice((path for path in paths if path not in stems), REGIONS)]


def _stem(path: str) -> str:
    return str(PurePosixPath(path).with_suffix(""))


def regions(image: UInt8Array) -> list[MaskArray]:
    """Return masks of suitable size, [H,W] of 0 and 1: the largest segments, each grown to its object.

    Args:
        image: [H,W,3] uint8 RGB. It is segmented in a copy of at most `SEGMENTED_SIDE` pixels.
    """
    height, width = image.shape[:2]
    scale = min(1.0, SEGMENTED_SIDE / max(height, width))
    if scale == 1:
        return _segment(image)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    enlarged = (
        cv2.resize(mask * np.uint8(255), (width, height), interpolation=cv2.INTER_LINEAR)
        for mask in _segment(small)
    )
    return [(mask >= 128).astype(np.uint8) for mask in enlarged]


def _segment(image: UInt8Array) -> list[MaskArray]:
    from skimage.segmentation import felzenszwalb

    labels = felzenszwalb(image, scale=600, sigma=0.8, min_size=image[..., 0].size // 40)
    largest_first = np.argsort(-np.bincount(labels.ravel()))
    masks: list[MaskArray] = []
    for label in largest_first[:SEGMENTS]:
        mask = _largest_part(_grow(image, (labels == label).astype(np.uint8)))
        overlap = max((float((mask & other).sum() / (mask | other).sum()) for other in masks), default=0.0)
        if FOREGROUND_RATIO[0] <= mask.mean() <= FOREGROUND_RATIO[1] and overlap < 0.5:
            masks.append(mask)
        if len(masks) == REGIONS:
            break
    return masks


def _grow(image: UInt8Array, segment: UInt8Array) -> UInt8Array:
    """Refine a segment to an object by its colours and those of its surroundings (GrabCut)."""
    core, reach = (np.ones((size, size), np.uint8) for size in (9, 41))
    marks = np.full(segment.shape, cv2.GC_BGD, np.uint8)
    marks[cv2.dilate(segment, reach) > 0] = cv2.GC_PR_BGD
    marks[segment > 0] = cv2.GC_PR_FGD
    marks[cv2.erode(segment, core) > 0] = cv2.GC_FGD
    if not (marks == cv2.GC_FGD).any() or not (marks == cv2.GC_BGD).any():
        return segment
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(image, marks, (0, 0, 0, 0), *models, 2, cv2.GC_INIT_WITH_MASK)
    return np.isin(marks, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)


def _largest_part(mask: MaskArray) -> MaskArray:
    """Return the largest connected part of a mask, its holes filled and thin parts removed; may be empty."""
    from scipy.ndimage import binary_fill_holes

    opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)).astype(np.uint8, copy=False)
    _, parts, sizes, _ = cv2.connectedComponentsWithStats(opened)
    if len(sizes) == 1:
        return opened
    largest = 1 + int(np.argmax(sizes[1:, cv2.CC_STAT_AREA]))
    result: MaskArray = binary_fill_holes(parts == largest).astype(np.uint8)
    return result
