"""What different ways of bringing a 256x256 result to the full picture keep.

  python -m pipelines.benchmarks.color_transfer

The network is stood in for by the answer it should give, the ground truth at 256x256, blurred as networks do.
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

from charmnet.augment import resize
from charmnet.color_transfer import transfer_color_change

PHOTOGRAPHS = (data.astronaut(), data.coffee(), data.chelsea(), data.rocket())
SIZES = ((480, 640), (1200, 1600))  # (height, width)
BLURS = (0.0, 1.0, 2.0)  # standard deviation in pixels at 256x256
REPETITIONS = 30
WAYS = ("enlarge the result", "enlarge the difference", "transfer the colour change")


def relit(photograph: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(composite [H,W,3] uint8, foreground mask [H,W] of 0 and 1)."""
    height, width = photograph.shape[:2]
    y, x = np.mgrid[:height, :width] / np.array([height, width])[:, None, None]
    centre, radius = rng.uniform(0.35, 0.65, 2), rng.uniform(0.15, 0.3, 2)
    mask = (((y - centre[0]) / radius[0]) ** 2 + ((x - centre[1]) / radius[1]) ** 2 < 1).astype(np.uint8)
    mix = np.diag(rng.uniform(0.7, 1.1, 3)) + rng.normal(0, 0.05, (3, 3))
    light = 1 + 0.25 * np.sin(3 * x + rng.uniform(0, 6))[..., None] * np.array([1, 0.8, 0.6])
    changed = np.clip(photograph @ mix.T * light + rng.uniform(-15, 15, 3), 0, 255)
    return np.where(mask[..., None] == 1, changed, photograph).astype(np.uint8), mask


def results(composite: np.ndarray, mask: np.ndarray, network: np.ndarray) -> Iterator[np.ndarray]:
    """The full picture by each of `WAYS`."""
    size = composite.shape[1::-1]
    small = resize(composite)
    difference = cv2.resize(network - small, size)
    yield cv2.resize(network, size).clip(0, 255).astype(np.uint8)
    yield (composite + difference).clip(0, 255).astype(np.uint8)
    yield transfer_color_change(composite, mask, small, network, resize(mask))


def sharpness(image: np.ndarray, mask: np.ndarray) -> float:
    """Mean absolute Laplacian well inside the foreground."""
    inside = cv2.erode(mask, np.ones((9, 9), np.uint8)) == 1
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(np.abs(cv2.Laplacian(grey, cv2.CV_32F))[inside].mean())


def measure(blur: float) -> np.ndarray:
    """[ways, 3]: fMSE at full size, fMSE of its copy at 256x256 against the network, sharpness kept."""
    figures = []
    for index, photograph in enumerate(PHOTOGRAPHS):
        for size in SIZES:
            truth = cv2.resize(photograph, size[::-1], interpolation=cv2.INTER_CUBIC)
            composite, mask = relit(truth, np.random.default_rng(index))
            small_truth, inside, small_inside = resize(truth), mask == 1, resize(mask) == 1
            network = small_truth.astype(np.float64)
            if blur:
                network = cv2.GaussianBlur(network, (0, 0), blur)
            figures.append(
                [
                    [
                        np.square(image[inside].astype(float) - truth[inside]).mean(),
                        np.square(resize(image)[small_inside] - network[small_inside]).mean(),
                        sharpness(image, mask) / sharpness(truth, mask),
                    ]
                    for image in results(composite, mask, network)
                ]
            )
    return np.mean(figures, axis=0)


def cpu_milliseconds(size: tuple[int, int]) -> float:
    """Of transferring the colour change of one picture of a (height, width)."""
    cv2.setNumThreads(0)
    truth = cv2.resize(PHOTOGRAPHS[0], size[::-1], interpolation=cv2.INTER_CUBIC)
    composite, mask = relit(truth, np.random.default_rng(0))
    given = composite, mask, resize(composite), resize(truth).astype(np.float32), resize(mask)
    transfer_color_change(*given)
    started = time.process_time()
    for _ in range(REPETITIONS):
        transfer_color_change(*given)
    return (time.process_time() - started) / REPETITIONS * 1000


def main() -> None:
    table = Table(
        "network's blur", "way", "fMSE at full size", "fMSE to the network at 256", "sharpness kept"
    )
    for blur in BLURS:
        for way, (error, distance, kept) in zip(WAYS, measure(blur), strict=True):
            table.add_row(f"{blur:g} px", way, f"{error:.1f}", f"{distance:.1f}", f"{kept:.0%}")
    Console().print(table)
    for size in SIZES:
        print(f"{size[1]}x{size[0]}: the colour change transferred in {cpu_milliseconds(size):.1f} CPU ms")


if __name__ == "__main__":
    main()
