"""Small data sets in the released layouts, for every test that needs one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from charmnet.codecs import encode_jpeg, encode_png
from charmnet.composition import exchange_foreground, soft_style_label
from pipelines.chaos.data import foreground, photograph
from pipelines.conversion.lists import PathList

SIZE = (64, 96)  # (height, width)


def make_iharmony4(
    folder: Path, photographs: int = 4, size: tuple[int, int] = SIZE, subset: str = "HCOCO", seed: int = 0
) -> dict[str, list[str]]:
    """iHarmony4's layout: two composites of each photograph, with lists IHD_train.txt and IHD_test.txt.

    The last quarter of the photographs (at least one) is the test list.

    Returns:
        The lines of both lists by split name.
    """
    rng = np.random.default_rng(seed)
    lists: dict[str, list[str]] = {"IHD_train": [], "IHD_test": []}
    letter = {"HCOCO": "c", "HAdobe5k": "a", "HFlickr": "f", "Hday2night": "d"}[subset]
    for number in range(photographs):
        image, mask = photograph(rng, size), foreground(rng, size)
        name = f"{letter}{number + 1:02d}"
        _write(folder / subset / "real_images" / f"{name}.jpg", encode_jpeg(image))
        _write(folder / subset / "masks" / f"{name}_1.png", encode_png(mask * np.uint8(255)))
        split = "IHD_test" if number >= min(photographs - 1, photographs * 3 // 4) else "IHD_train"
        for variant in (1, 2):
            shifted = (image * rng.uniform(0.5, 0.9, 3)).astype(np.uint8)
            path = f"{subset}/composite_images/{name}_1_{variant}.jpg"
            _write(folder / path, encode_jpeg(exchange_foreground(shifted, image, mask)))
            lists[split].append(path)
    for split, lines in lists.items():
        _write(folder / f"{split}.txt", "".join(f"{line}\n" for line in lines).encode())
    return lists


def make_rdharmony(
    folder: Path, scenes: int = 2, size: tuple[int, int] = SIZE, composites: bool = True, seed: int = 0
) -> list[str]:
    """RdHarmony's layout (SHuman): scenes under ten conditions and, if wanted, all composites and their list.

    Returns:
        The lines of SHuman/SHuman_all_labeled.txt.
    """
    rng = np.random.default_rng(seed)
    lines = []
    for number in range(1, scenes + 1):
        scene, mask = f"{number:03d}", foreground(rng, size)
        base, lights = photograph(rng, size), rng.uniform(0.4, 1.0, (10, 3))
        images = [(base * light).astype(np.uint8) for light in lights]
        _write(folder / f"SHuman/masks/{scene}.png", encode_png(mask * np.uint8(255)))
        for condition, image in enumerate(images):
            _write(folder / f"SHuman/real_images/{scene}-{condition + 1:02d}.jpg", encode_jpeg(image))
        for pair in np.ndindex(10, 10) if composites else ():
            background, inserted = pair
            if background == inserted:
                continue
            path = f"SHuman/composite_images/{scene}-{background + 1:02d}_{inserted + 1:02d}.jpg"
            _write(
                folder / path, encode_jpeg(exchange_foreground(images[inserted], images[background], mask))
            )
            label = soft_style_label(inserted, background, float(mask.mean()))
            lines.append(f"{path}\t{'_'.join(f'{p:.4f}' for p in label)}\t{background + 1}")
    if lines:
        _write(folder / "SHuman/SHuman_all_labeled.txt", "".join(f"{line}\n" for line in lines).encode())
    return lines


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def path_list(split: str, *lines: str) -> PathList:
    """Return a list of a split as it is read from a file."""
    return PathList(split, f"{split}.txt", "0" * 64, tuple(enumerate(lines, start=1)))
