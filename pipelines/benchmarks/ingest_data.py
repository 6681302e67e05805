"""What the ingest is measured on: pictures enlarged to the sizes that users have, as files and as shards.

The pictures are those of folders in the released layouts, or else photographs that installed packages carry
(scenes are then photographs in ten lights). They are made once in a local folder and put into the store both
as they are, for the ways of reading that take files, and as shards.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np

from charmnet.arrays import MaskArray, UInt8Array
from charmnet.codecs import decode_mask, decode_rgb, encode_jpeg, encode_png
from charmnet.composition import exchange_foreground, soft_style_label
from charmnet.errors import DataError
from charmnet.vocabulary import NUM_CONDITIONS
from pipelines.commands.cli import main
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import MANIFEST_NAME

Size = tuple[int, int]
"""(height, width) in pixels."""

PHOTOGRAPH_SIZE: Size = (480, 640)
RENDER_SIZE: Size = (1080, 1920)
JPEG_QUALITY = 95
SHRUNK_SIDE = 576
"""Pixels on the longer side: even the smallest crop of a 16:9 picture then has the training size."""

PHOTOGRAPH_LIST = "train.txt"
RENDER_LIST = "SHuman/SHuman_all_labeled.txt"

_VIEW_SHARE = (0.6, 0.95)  # of a scene's sides: few scenes become many by looking at parts of them


@dataclass(frozen=True)
class Data:
    """Where it lies in the store."""

    root: Location

    def files(self, name: str) -> Location:
        """`photographs` or `renders`, in a released layout."""
        return self.root / "files" / name

    def shards(self, name: str) -> Location:
        """`photographs`, `pairs` or `scenes`, or one of them with `small-` before it: shrunk once."""
        return self.root / "shards" / name


def prepare(
    folder: Path, root: Location, real: Path | None, rendered: Path | None, photographs: int, scenes: int
) -> Data:
    """Makes what is not there yet.

    Args:
        folder: for the files before they are uploaded. root: in the store.
        real, rendered: folders in the released layouts to take pictures from.
        photographs, scenes: how many composites and scenes to make.
    """
    data = Data(root)
    if not folder.exists():
        partial = folder.with_name(f"{folder.name}.partial")
        write_photographs(partial / "photographs", real, photographs)
        write_renders(partial / "renders", rendered, scenes)
        partial.rename(folder)
    if not (data.shards("small-scenes") / MANIFEST_NAME).exists():
        (root / "files").upload_folder(folder)
        _shard(data)
    return data


def write_photographs(folder: Path, source: Path | None, count: int) -> None:
    """Composites at `PHOTOGRAPH_SIZE` in iHarmony4's layout, each with a ground truth of its own."""
    lines = []
    for number, (composite, ground_truth, mask) in enumerate(islice(cycle(_pairs(source)), count)):
        name, path = f"c{number:05d}", f"HCOCO/composite_images/c{number:05d}_1_1.jpg"
        _write(folder / path, _jpeg(_enlarged(composite, PHOTOGRAPH_SIZE)))
        _write(folder / f"HCOCO/real_images/{name}.jpg", _jpeg(_enlarged(ground_truth, PHOTOGRAPH_SIZE)))
        _write(folder / f"HCOCO/masks/{name}_1.png", _png(_enlarged_mask(mask, PHOTOGRAPH_SIZE)))
        lines.append(f"{path}\n")
    _write(folder / PHOTOGRAPH_LIST, "".join(lines).encode())


def write_renders(folder: Path, source: Path | None, count: int) -> None:
    """Scenes at `RENDER_SIZE` in RdHarmony's layout, and one listed composite of each of their conditions."""
    lines: list[str] = []
    for number, (images, mask) in enumerate(islice(_views(_scenes(source)), count), start=1):
        _write(folder / f"SHuman/masks/{number:03d}.png", _png(mask))
        for background, image in enumerate(images):
            foreground = (background + 1 + number % (NUM_CONDITIONS - 1)) % NUM_CONDITIONS
            name = f"{number:03d}-{background + 1:02d}"
            path = f"SHuman/composite_images/{name}_{foreground + 1:02d}.jpg"
            _write(folder / f"SHuman/real_images/{name}.jpg", _jpeg(image))
            _write(folder / path, _jpeg(exchange_foreground(images[foreground], image, mask)))
            label = soft_style_label(foreground, background, float(mask.mean()))
            lines.append(f"{path}\t{'_'.join(f'{p:.4f}' for p in label)}\t{background + 1}\n")
    _write(folder / RENDER_LIST, "".join(lines).encode())


def _shard(data: Data) -> None:
    real = ["shard", "iharmony4", "--source", str(data.files("photographs")), "--list", PHOTOGRAPH_LIST]
    rendered = ["shard", "rdharmony", "--source", str(data.files("renders"))]
    commands = {
        "photographs": real,
        "pairs": [*rendered, "--list", RENDER_LIST, "--layout", "pairs"],
        "scenes": rendered,
    }
    small = ["--max-size", str(SHRUNK_SIDE)]
    for name, command in commands.items():
        for made, options in ((name, []), (f"small-{name}", small)):
            with redirect_stdout(StringIO()) as said:
                code = main([*command, "--dest", str(data.shards(made)), *options])
            if code:
                raise DataError(f"{data.shards(made)} could not be made: {said.getvalue()}")


# -- pictures


def _pairs(source: Path | None) -> list[tuple[UInt8Array, UInt8Array, UInt8Array]]:
    """(composite, ground truth, mask) of a folder in iHarmony4's layout, or of the project's photographs."""
    if source is None:
        return [
            (exchange_foreground(images[1], images[0], mask), images[0], mask)
            for images, mask in _scenes(None)
        ]
    return [
        (_picture(path), _picture(_ground_truth(path)), decode_mask(_mask(path).read_bytes()))
        for path in sorted(source.glob("*/composite_images/*.jpg"))
    ]


def _ground_truth(composite: Path) -> Path:
    return composite.parents[1] / "real_images" / f"{composite.stem.split('_')[0]}.jpg"


def _mask(composite: Path) -> Path:
    return composite.parents[1] / "masks" / f"{'_'.join(composite.stem.split('_')[:2])}.png"


def _scenes(source: Path | None) -> list[tuple[list[UInt8Array], UInt8Array]]:
    """(ten pictures, mask) of a folder in RdHarmony's layout, or of photographs in ten lights."""
    if source is None:
        from pipelines.quickstart.photographs import load_photographs

        rng = np.random.default_rng(0)
        return [(_lit(image, rng), _ellipse(image, rng)) for image in load_photographs().values()]
    return [
        (
            [_picture(path.parents[1] / f"real_images/{path.stem}-{n:02d}.jpg") for n in range(1, 11)],
            decode_mask(path.read_bytes()),
        )
        for path in sorted(source.glob("*/masks/*.png"))
    ]


def _lit(image: UInt8Array, rng: np.random.Generator) -> list[UInt8Array]:
    return [(image * light).astype(np.uint8) for light in rng.uniform(0.4, 1.0, (NUM_CONDITIONS, 3))]


def _ellipse(image: UInt8Array, rng: np.random.Generator) -> UInt8Array:
    """A mask of an ellipse somewhere near the middle."""
    size = np.array(image.shape[1::-1])
    centre, axes = rng.uniform(0.35, 0.65, 2) * size, rng.uniform(0.15, 0.3, 2) * size
    mask = np.zeros(image.shape[:2], np.uint8)
    return cv2.ellipse(mask, centre.astype(int), axes.astype(int), 0, 0, 360, 1, cv2.FILLED).astype(np.uint8)


def _views(
    scenes: list[tuple[list[UInt8Array], UInt8Array]],
) -> Iterator[tuple[list[UInt8Array], UInt8Array]]:
    """Endless enlarged views of scenes: each a part of one that holds some of its foreground."""
    rng = np.random.default_rng(0)
    for images, mask in cycle(scenes):
        height, width = (round(side * rng.uniform(*_VIEW_SHARE)) for side in mask.shape)
        top, left = (
            int(rng.integers(0, a - b + 1)) for a, b in zip(mask.shape, (height, width), strict=True)
        )
        part = slice(top, top + height), slice(left, left + width)
        if mask[part].mean() > 0.005:
            yield (
                [_enlarged(image[part], RENDER_SIZE) for image in images],
                _enlarged_mask(mask[part], RENDER_SIZE),
            )


def _picture(path: Path) -> UInt8Array:
    return decode_rgb(path.read_bytes())


def _enlarged(image: UInt8Array, size: Size) -> UInt8Array:
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_CUBIC).astype(np.uint8, copy=False)


def _enlarged_mask(mask: MaskArray, size: Size) -> MaskArray:
    return cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST).astype(np.uint8, copy=False)


def _jpeg(image: UInt8Array) -> bytes:
    return encode_jpeg(image, JPEG_QUALITY)


def _png(mask: MaskArray) -> bytes:
    return encode_png(mask * np.uint8(255))


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
