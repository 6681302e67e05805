"""A small real-domain data set from the photographs that scikit-image, scikit-learn and Matplotlib carry.

It is made as iHarmony4 was: a region of a photograph (here found by segmentation, not by hand) is given the
colours of a region of another photograph, which makes the composite; the photograph is the ground truth.
Train and test share no photograph. It shows the machinery on real pictures and is no benchmark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from charmnet.color_statistics import lab_statistics, transfer_statistics
from charmnet.images import decode_rgb, encode_jpeg, encode_png
from pipelines.progress import progress

SUBSET = "Photographs"
PHOTOGRAPHS = {
    "train": ("astronaut", "chelsea", "china", "motorcycle", "portrait", "rocket"),
    "test": ("coffee", "flower"),
}

VIEWS = 5  # crops of each photograph, the first being all of it
VIEW_SHARE = (0.55, 0.9)  # of the photograph's sides
LONG_SIDE_PIXELS = 320
SEGMENTS = 8  # looked at in each view, for
REGIONS = 3  # at most
VARIANTS = 2  # composites of each region
FOREGROUND_RATIO = (0.03, 0.40)

# What counts as a believable composite: visibly wrong, but not absurd.
FOREGROUND_MSE = (80.0, 3500.0)
CLIPPED_SHARE = 0.05

UInt8Array = NDArray[np.uint8]
Statistics = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True)
class Region:
    """A region of a view: `mask` is [H,W] uint8 of 0 and 1, `statistics` are its Lab mean and deviation."""

    view: str
    photograph: str
    image: UInt8Array
    mask: UInt8Array
    statistics: Statistics


@dataclass(frozen=True)
class Composite:
    """`image` is the region's view with the region in foreign colours; `name` its file's without suffix."""

    region: Region
    name: str
    image: UInt8Array


def load_photographs() -> dict[str, UInt8Array]:
    """[H,W,3] uint8 RGB by name, from the installed packages alone."""
    import matplotlib
    import skimage.data
    from sklearn.datasets import load_sample_image

    portrait = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
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


def make_photographs(folder: Path, seed: int = 0) -> dict[str, int]:
    """Writes the set in iHarmony4's layout with `train.txt` and `test.txt`.

    Returns:
        Number of composites by split.
    """
    photographs = load_photographs()
    counts = {}
    with progress("Composites of photographs", total=len(photographs)) as advance:
        for split, names in PHOTOGRAPHS.items():
            rng = np.random.default_rng(seed)
            regions = []
            for name in names:
                regions += list(find_regions(name, photographs[name], rng))
                advance(1)
            written = [_write(folder / SUBSET, composite) for composite in make_composites(regions, rng)]
            lines = [f"{SUBSET}/composite_images/{name}\n" for name in written]
            (folder / f"{split}.txt").write_text("".join(lines))
            counts[split] = len(written)
    return counts


def find_regions(name: str, photograph: UInt8Array, rng: np.random.Generator) -> Iterator[Region]:
    """The regions of a photograph's views that could stand as a foreground."""
    for number, view in enumerate(_views(photograph, rng)):
        for mask in _segment(view):
            yield Region(f"{name}{number}", name, view, mask, lab_statistics(view, mask))


def make_composites(regions: list[Region], rng: np.random.Generator) -> Iterator[Composite]:
    """Each region in the colours of up to `VARIANTS` regions of other photographs, believable ones only."""
    for number, region in enumerate(regions):
        others = [other for other in regions if other.photograph != region.photograph]
        found = 0
        for index in rng.permutation(len(others)):
            image, clipped = transfer_statistics(region.image, region.mask, *others[index].statistics)
            if is_believable(region, image, clipped):
                found += 1
                yield Composite(region, f"{region.view}_{number}_{found}", image)
            if found == VARIANTS:
                break


def is_believable(region: Region, image: UInt8Array, clipped_share: float) -> bool:
    """Whether a transfer is to be seen and yet not absurd: foreground error and share of clipped colours."""
    inside = region.mask > 0
    difference = image[inside].astype(np.float32) - region.image[inside]
    low, high = FOREGROUND_MSE
    return low <= float(np.square(difference).mean()) <= high and clipped_share <= CLIPPED_SHARE


def _write(folder: Path, composite: Composite) -> str:
    """Writes a composite, its mask and ground truth by iHarmony4's names; returns the composite's name."""
    region, name = composite.region, composite.name
    mask_name, view = name.rpartition("_")[0], region.view
    files = {
        f"composite_images/{name}.jpg": encode_jpeg(composite.image),
        f"masks/{mask_name}.png": encode_png(region.mask * 255),
        f"real_images/{view}.jpg": encode_jpeg(region.image),
    }
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return f"{name}.jpg"


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
    """Masks of a fitting size: the largest segments, each grown to the object around it."""
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
    """A segment refined to what its colours and its surroundings' say is one thing."""
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


def _largest_part(mask: UInt8Array) -> UInt8Array:
    """The largest connected part without its holes and loose ends; empty where nothing is left."""
    from scipy.ndimage import binary_fill_holes

    opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)).astype(np.uint8, copy=False)
    _, parts, sizes, _ = cv2.connectedComponentsWithStats(opened)
    if len(sizes) == 1:
        return opened
    largest = 1 + int(np.argmax(sizes[1:, cv2.CC_STAT_AREA]))
    return binary_fill_holes(parts == largest).astype(np.uint8)
