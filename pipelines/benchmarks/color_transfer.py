"""Ways to bring a 256x256 result to the full picture: the error of each, and the CPU time of the one in use.

  python -m pipelines.benchmarks.color_transfer

In place of a network's result stands the ideal one, the ground truth at 256x256, blurred as networks blur.
Composites are scikit-image's photographs with an ellipse under another light: other gains, mixed channels and
a gradient across the picture.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table
from skimage import data

from charmnet.arrays import MaskArray, UInt8Array
from charmnet.augment import resize
from charmnet.color_transfer import transfer_color_change
from pipelines.benchmarks.options import benchmark_parser

PHOTOGRAPHS: tuple[UInt8Array, ...] = (data.astronaut(), data.coffee(), data.chelsea(), data.rocket())
SIZES = ((480, 640), (1200, 1600))
"""(height, width) in pixels."""
BLURS = (0.0, 1.0, 2.0)
"""Standard deviations in pixels at 256x256."""
REPETITIONS = 30
WAYS = ("enlarge the result", "enlarge the difference", "transfer the colour change")


def relight(photograph: UInt8Array, rng: np.random.Generator) -> tuple[UInt8Array, MaskArray]:
    """Return (composite [H,W,3], foreground mask [H,W] of 0 and 1)."""
    height, width = photograph.shape[:2]
    y, x = np.mgrid[:height, :width] / np.array([height, width])[:, None, None]
    centre = rng.uniform(0.35, 0.65, 2)
    radius = rng.uniform(0.15, 0.3, 2)
    mask = (((y - centre[0]) / radius[0]) ** 2 + ((x - centre[1]) / radius[1]) ** 2 < 1).astype(np.uint8)
    mix = np.diag(rng.uniform(0.7, 1.1, 3)) + rng.normal(0, 0.05, (3, 3))
    light = 1 + 0.25 * np.sin(3 * x + rng.uniform(0, 6))[..., None] * np.array([1, 0.8, 0.6])
    relit = np.clip(photograph @ mix.T * light + rng.uniform(-15, 15, 3), 0, 255)
    return np.where(mask[..., None] == 1, relit, photograph).astype(np.uint8), mask


def full_results(composite: UInt8Array, mask: MaskArray, network: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the full picture by each of `WAYS`."""
    size = (composite.shape[1], composite.shape[0])
    small = resize(composite)
    difference = cv2.resize(network - small, size)
    yield cv2.resize(network, size).clip(0, 255).astype(np.uint8)
    yield (composite + difference).clip(0, 255).astype(np.uint8)
    yield transfer_color_change(composite, mask, small, network, resize(mask))


def sharpness(image: np.ndarray, mask: MaskArray) -> float:
    """Return the mean absolute Laplacian well inside the foreground."""
    inside = cv2.erode(mask, np.ones((9, 9), np.uint8)) == 1
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(np.abs(cv2.Laplacian(grey, cv2.CV_32F))[inside].mean())


def measure(blur: float) -> np.ndarray:
    """Return [ways, 3]: fMSE at full size, fMSE of its copy at 256x256 to the network, sharpness kept."""
    figures = []
    for index, photograph in enumerate(PHOTOGRAPHS):
        for height, width in SIZES:
            truth = _enlarge(photograph, height, width)
            composite, mask = relight(truth, np.random.default_rng(index))
            inside = mask == 1
            small_inside = resize(mask) == 1
            network: np.ndarray = resize(truth).astype(np.float64)
            if blur:
                network = cv2.GaussianBlur(network, (0, 0), blur)
            figures.append(
                [
                    [
                        np.square(image[inside].astype(float) - truth[inside]).mean(),
                        np.square(resize(image)[small_inside] - network[small_inside]).mean(),
                        sharpness(image, mask) / sharpness(truth, mask),
                    ]
                    for image in full_results(composite, mask, network)
                ]
            )
    return np.array(np.mean(figures, axis=0))


def cpu_milliseconds(height: int, width: int) -> float:
    """Return the CPU time of transferring the colour change of one picture on one thread."""
    cv2.setNumThreads(0)
    truth = _enlarge(PHOTOGRAPHS[0], height, width)
    composite, mask = relight(truth, np.random.default_rng(0))
    small = resize(composite)
    network = resize(truth).astype(np.float32)
    small_mask = resize(mask)
    transfer_color_change(composite, mask, small, network, small_mask)
    started = time.process_time()
    for _ in range(REPETITIONS):
        transfer_color_change(composite, mask, small, network, small_mask)
    return (time.process_time() - started) / REPETITIONS * 1000


def _enlarge(photograph: UInt8Array, height: int, width: int) -> UInt8Array:
    enlarged = cv2.resize(photograph, (width, height), interpolation=cv2.INTER_CUBIC)
    return enlarged.astype(np.uint8, copy=False)


def main() -> None:
    """Print the errors of each way and the CPU time of the colour transfer."""
    benchmark_parser(__doc__).parse_args()
    table = Table(
        "network's blur", "way", "fMSE at full size", "fMSE to the network at 256", "sharpness kept"
    )
    for blur in BLURS:
        for way, (error, distance, kept) in zip(WAYS, measure(blur), strict=True):
            table.add_row(f"{blur:g} px", way, f"{error:.1f}", f"{distance:.1f}", f"{kept:.0%}")
    Console().print(table)
    for height, width in SIZES:
        milliseconds = cpu_milliseconds(height, width)
        print(f"{width}x{height}: the colour change transferred in {milliseconds:.1f} CPU ms")


if __name__ == "__main__":
    main()
