"""Photographs that scikit-image, scikit-learn and Matplotlib contain, and views of them.

They show the pipeline on real pictures and are no benchmark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from charmnet.arrays import UInt8Array
from charmnet.codecs import decode_rgb, encode_jpeg

VIEWS = 8  # crops of each photograph; the first is the whole of it
VIEW_SHARE = (0.55, 0.9)  # least and most of the photograph's height and width
LONG_SIDE_PIXELS = 320


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
    """Write views as `<photograph>-<view>.jpg`, as `charmnet compose-real --views` takes them."""
    rng = np.random.default_rng(seed)
    for name, photograph in load_photographs().items():
        for number, view in enumerate(_views(photograph, rng)):
            (folder / f"{name}-{number}.jpg").write_bytes(encode_jpeg(view))


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
