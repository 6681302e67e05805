"""Data sets of random pictures on the local disk, for benchmarks that need rows and not what they show."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from charmnet.codecs import encode_jpeg, encode_png
from charmnet.vocabulary import NUM_CONDITIONS, Domain
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import Manifest
from pipelines.shards.rows import Row, pair_row, scene_row
from pipelines.shards.schema import RowKind
from pipelines.shards.stratum import Stratum
from pipelines.shards.writer import write_parquet

SIDE = 128
"""Height and width of a picture in pixels."""

_ROWS_PER_SHARD = 512
_DIFFERENT_PICTURES = 64  # under many ids
_REAL = Stratum(Domain.REAL, "HCOCO", None, ("train",))
_RENDERED = Stratum(Domain.RENDERED, "SHuman", "human", ())


def write_pairs(folder: Path, rows: int, side: int = SIDE) -> str:
    """Write a data set of the real domain, a shard at a time, and return its URI."""
    location = Location.of(folder)
    parts = []
    for first in range(0, rows, _ROWS_PER_SHARD):
        path = f"part-{first:08d}.parquet"
        shard_rows = pair_rows(first, min(first + _ROWS_PER_SHARD, rows), side)
        parts.append(write_parquet(location, path, RowKind.PAIR, Domain.REAL, shard_rows).manifest)
    Manifest.merged(parts, {}).save(location)
    return str(location)


def pair_rows(first: int, stop: int, side: int = SIDE) -> Iterator[Row]:
    """Yield rows with the numbers `first` to `stop`; a few pictures are repeated under many ids."""
    mask = _square_mask(side)
    pictures = list(islice(_noise_pictures(side), min(_DIFFERENT_PICTURES, stop - first)))
    for number in range(first, stop):
        picture = pictures[number % len(pictures)]
        encoded = {"composite": picture, "ground_truth": picture, "foreground_mask": mask}
        yield pair_row(f"HCOCO/{number}", _REAL, encoded)


def write_scenes(folder: Path, scenes: int, side: int = SIDE) -> str:
    """Write a data set of the rendered domain in one shard and return its URI."""
    location = Location.of(folder)
    pictures = _noise_pictures(side)
    mask = _square_mask(side)
    rows = []
    for number in range(scenes):
        encoded = {f"images[{condition}]": next(pictures) for condition in range(NUM_CONDITIONS)}
        rows.append(scene_row(f"SHuman/{number}", _RENDERED, encoded | {"foreground_mask": mask}))
    written = write_parquet(location, "part-00000000.parquet", RowKind.SCENE, Domain.RENDERED, rows)
    Manifest.merged([written.manifest], {}).save(location)
    return str(location)


def _noise_pictures(side: int) -> Iterator[bytes]:
    random = np.random.default_rng(0)
    while True:
        yield encode_jpeg(random.integers(256, size=(side, side, 3), dtype=np.uint8))


def _square_mask(side: int) -> bytes:
    """Return a mask whose foreground is the square in the middle, a quarter of the picture."""
    return encode_png(np.pad(np.full((side // 2, side // 2), 255, np.uint8), side // 4))
