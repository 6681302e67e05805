"""Photographs that scikit-image, scikit-learn and Matplotlib contain, and masks of regions in them.

Regions are found by segmentation, to make composites with (`charmnet compose-real`). They show the pipeline
on real pictures and are no benchmark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from charmnet.arrays import MaskArray, UInt8Array
from charmnet.codecs import decode_rgb, encode_png
from pipelines.runtime.console import progress

PHOTOGRAPHS = {
    "train": ("astronaut", "chelsea", "china", "motorcycle", "portrait", "rocket"),
    "test": ("coffee", "flower"),
}

VIEWS = 5  # crops of each photograph; the first is the whole of it
VIEW_SHARE = (0.55, 0.9)  # least and most of the photograph's height and width
LONG_SIDE_PIXELS = 320
SEGMENTS = 8  # largest segments of a view that are tried as regions
REGIONS = 3  # most regions of a view
FOREGROUND_RATIO = (0.03, 0.40)  # least and most of the view that a region covers


def load_photographs() -> dict[str, UInt8Array]:
    """Return photographs, [H,W,3] uint8 RGB, by name; all come from installed packages.

    Raises:
        ImportError: the extra `quickstart` is not installed.
    """
    import matplotlib as mpl
    import skimage.data
    from sklearn.datasets import load_sample_image

    portrait = Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    loaders: dict[str, Callable[[], UInt8Array]] = {
        "astronaut": skimage.data.astronaut,
        "chelsea": skimage.data.chelsea,
        "china": lambda: load_sample_image("china.jpg"),
        "coffee": skimage.data.coffee,
        "flower": lambda: load_sample_image("flower.jpg"),
        "motorcycle": lambda: skimage.data.stereo_motorcycle()[0],
        "portrait": lambda: decode_rgb(portrait.read_bytes()),
        "rocket": skimage.data.rocket,
    }
    return {name: np.ascontiguousarray(load()) for name, load in loaders.items()}


def write_photographs(folder: Path, seed: int = 0) -> None:
    """Write views as `photos/<photograph>-<view>.png`, masks as `masks/<photograph>-<view>_<n>.png`."""
    for name in ("photos", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    photographs = load_photographs()
    with progress("Photographs and masks", total=len(photographs)) as advance:
        for name, photograph in photographs.items():
            for number, view in enumerate(_views(photograph, rng)):
                (folder / f"photos/{name}-{number}.png").write_bytes(encode_png(view))
                for region, mask in enumerate(_segment(view), start=1):
                    path = folder / f"masks/{name}-{number}_{region}.png"
                    path.write_bytes(encode_png(mask * np.uint8(255)))
            advance(1)


def _views(photograph: UInt8Array, rng: np.random.Generator) -> Iterator[UInt8Array]:
    height, width = photograph.shape[:2]
    yield _shrink(photograph)
    for _ in range(VIEWS - 1):
        h, w = (int(side * rng.uniform(*VIEW_SHARE)) for side in (height, width))
        top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
        yield _shrink(photograph[top : top + h, left : left + w])


def _shrink(image: UInt8Array) -> UInt8Array:
    height, width = image.shape[:2]
    factor = min(1.0, LONG_SIDE_PIXELS / max(height, width))
    size = (round(width * factor), round(height * factor))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _segment(image: UInt8Array) -> list[UInt8Array]:
    """Return masks of suitable size, [H,W] of 0 and 1: the largest segments, each grown to its object."""
    from skimage.segmentation import felzenszwalb

    labels = felzenszwalb(image, scale=600, sigma=0.8, min_size=image[..., 0].size // 40)
    largest_first = np.argsort(-np.bincount(labels.ravel()))
    masks: list[UInt8Array] = []
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
