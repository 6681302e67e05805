"""Data of the ingest benchmark: pictures enlarged to the sizes that users have, as files and as shards.

The pictures are those of folders in the released layouts, or else photographs that installed packages carry
(scenes are then photographs in ten lights). They are made once in a local folder and put into the store both
as they are, for the ways of reading that take files, and as shards.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np

from charmnet.arrays import MaskArray, UInt8Array
from charmnet.codecs import decode_mask, decode_rgb, encode_jpeg, encode_png
from charmnet.composition import exchange_foreground, soft_style_label
from charmnet.vocabulary import NUM_CONDITIONS, Domain
from pipelines.conversion.build import (
    DEFAULT_SHARD_SAMPLES,
    BuildPlan,
    DatasetBuild,
    EntriesTask,
    build_dataset,
)
from pipelines.conversion.entries import entries_in_shards
from pipelines.conversion.iharmony4 import IHarmony4
from pipelines.conversion.lists import Categories, read_lists
from pipelines.conversion.rdharmony import Layout, RdHarmony
from pipelines.quickstart.photographs import load_photographs
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import MANIFEST_NAME
from pipelines.shards.schema import RowKind

Size = tuple[int, int]
"""(height, width) in pixels."""

PHOTOGRAPH_SIZE: Size = (480, 640)
RENDER_SIZE: Size = (1080, 1920)
JPEG_QUALITY = 95
SHRUNK_SIDE = 576
"""Pixels on the longer side: even the smallest crop of a 16:9 picture then has the training size."""

PHOTOGRAPH_LIST = "train.txt"
RENDER_LIST = "SHuman/SHuman_all_labeled.txt"

_MOST_REJECTED = 0.01  # the share that `charmnet shard` allows
_LEAST_FOREGROUND = 0.005  # of a view's pixels
_VIEW_SHARE = (0.6, 0.95)  # of a scene's sides: few scenes become many by looking at parts of them


@dataclass(frozen=True)
class IngestData:
    """Locations of the data in the store."""

    root: Location

    def files(self, name: str) -> Location:
        """Return the location of `photographs` or `renders`, in a released layout."""
        return self.root / "files" / name

    def shards(self, name: str) -> Location:
        """Return that of `photographs`, `pairs` or `scenes`; `small-` before it: shrunk once."""
        return self.root / "shards" / name


def prepare(
    folder: Path, root: Location, real: Path | None, rendered: Path | None, photographs: int, scenes: int
) -> IngestData:
    """Make the data that are not there yet.

    Args:
        folder: for the files before they are uploaded.
        root: in the store.
        real: folder in iHarmony4's layout to take pictures from; None for packages' photographs.
        rendered: folder in RdHarmony's layout to take pictures from; None for packages' photographs.
        photographs: how many composites to make.
        scenes: how many scenes to make.
    """
    data = IngestData(root)
    if not folder.exists():
        partial = folder.with_name(f"{folder.name}.partial")
        write_photographs(partial / "photographs", real, photographs)
        write_renders(partial / "renders", rendered, scenes)
        partial.rename(folder)
    if not (data.shards("small-scenes") / MANIFEST_NAME).exists():
        (root / "files").upload_folder(folder)
        _build_shards(data)
    return data


def write_photographs(folder: Path, source: Path | None, count: int) -> None:
    """Write composites at `PHOTOGRAPH_SIZE` in iHarmony4's layout, each with a ground truth of its own."""
    lines = []
    for number, (composite, ground_truth, mask) in enumerate(islice(cycle(_pairs(source)), count)):
        name = f"c{number:05d}"
        path = f"HCOCO/composite_images/{name}_1_1.jpg"
        _write(folder / path, _jpeg(_enlarged(composite, PHOTOGRAPH_SIZE)))
        _write(folder / f"HCOCO/real_images/{name}.jpg", _jpeg(_enlarged(ground_truth, PHOTOGRAPH_SIZE)))
        _write(folder / f"HCOCO/masks/{name}_1.png", _png(_enlarged_mask(mask, PHOTOGRAPH_SIZE)))
        lines.append(f"{path}\n")
    _write(folder / PHOTOGRAPH_LIST, "".join(lines).encode())


def write_renders(folder: Path, source: Path | None, count: int) -> None:
    """Write scenes at `RENDER_SIZE` in RdHarmony's layout, a listed composite of each condition."""
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


def _build_shards(data: IngestData) -> None:
    """Make the three data sets, and each once more with its pictures shrunk."""
    photographs = data.files("photographs")
    renders = data.files("renders")
    no_category = Categories()
    layouts: dict[str, IHarmony4 | RdHarmony] = {
        "photographs": IHarmony4(photographs, read_lists([PHOTOGRAPH_LIST], photographs), no_category),
        "pairs": RdHarmony(
            renders, read_lists([RENDER_LIST], renders), no_category, requested_layout=Layout.PAIRS
        ),
        "scenes": RdHarmony(renders, (), no_category),
    }
    for name, layout in layouts.items():
        _build(layout, data.shards(name), longest_side=None)
        _build(layout, data.shards(f"small-{name}"), longest_side=SHRUNK_SIDE)


def _build(layout: IHarmony4 | RdHarmony, location: Location, longest_side: int | None) -> None:
    """Make a data set as `charmnet shard` does.

    Raises:
        DataError: too many pictures were rejected.
    """
    kind = layout.kind if isinstance(layout, RdHarmony) else RowKind.PAIR
    domain = Domain.RENDERED if isinstance(layout, RdHarmony) else Domain.REAL
    identity = {**layout.identity(), "max_size": longest_side, "shard_samples": DEFAULT_SHARD_SAMPLES}
    build = DatasetBuild(location, identity)
    if build.manifest() is not None:
        return
    entries, rejected = layout.entries()
    tasks = [
        EntriesTask(layout.source, kind, domain, shard, longest_side)
        for shard in entries_in_shards(entries, kind, DEFAULT_SHARD_SAMPLES)
    ]
    items = sum(entry.items for entry in entries) + sum(rejection.items for rejection in rejected)
    build_dataset(build, BuildPlan(tasks, rejected, items), max_rejected=_MOST_REJECTED)


# -- pictures


def _pairs(source: Path | None) -> list[tuple[UInt8Array, UInt8Array, UInt8Array]]:
    """Return (composite, ground truth, mask) of a folder in iHarmony4's layout, or of photographs."""
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
    """Return (ten pictures, mask) of a folder in RdHarmony's layout, or of photographs in ten lights."""
    if source is None:
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
    """Return a mask of an ellipse near the middle."""
    size = np.array(image.shape[1::-1])
    centre = rng.uniform(0.35, 0.65, 2) * size
    axes = rng.uniform(0.15, 0.3, 2) * size
    mask = np.zeros(image.shape[:2], np.uint8)
    return cv2.ellipse(mask, centre.astype(int), axes.astype(int), 0, 0, 360, 1, cv2.FILLED).astype(np.uint8)


def _views(
    scenes: list[tuple[list[UInt8Array], UInt8Array]],
) -> Iterator[tuple[list[UInt8Array], UInt8Array]]:
    """Yield enlarged views of scenes without end, each a part of a scene with some of its foreground."""
    rng = np.random.default_rng(0)
    for images, mask in cycle(scenes):
        height, width = (round(side * rng.uniform(*_VIEW_SHARE)) for side in mask.shape)
        top, left = (
            int(rng.integers(0, a - b + 1)) for a, b in zip(mask.shape, (height, width), strict=True)
        )
        part = slice(top, top + height), slice(left, left + width)
        if mask[part].mean() > _LEAST_FOREGROUND:
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
