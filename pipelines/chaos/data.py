"""Data sets that scenarios train on, copied from the user's or made here, and damage to them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow.parquet as pq

from charmnet.codecs import encode_jpeg, encode_png
from charmnet.vocabulary import NUM_CONDITIONS, Domain
from pipelines.ingest.samples import Reference
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import Container, Manifest
from pipelines.shards.reading import Dataset
from pipelines.shards.rows import Row, pair_row, scene_row
from pipelines.shards.schema import RowKind
from pipelines.shards.stratum import Stratum
from pipelines.shards.writer import write_parquet

MOST_BYTES = 256 << 20
"""At most so much of a user's data set is copied, in whole shards."""

_SIZE = (64, 96)  # of pictures made here: (height, width)
_PAIRS = 48
_SCENES = 4
_SHARDS = 2
_FLIPPED_BYTES = 16


def copy_first_shards(uri: str, domain: Domain, folder: Location) -> Dataset:
    """Copy the first shards of a user's data set to `folder`, up to `MOST_BYTES`.

    Raises:
        ValueError: it is of the other domain, its shards are archives, or it holds photographs: scenarios
            rewrite rows, and of the real domain pairs.
        DataError: its manifest is damaged.
        StorageError: it cannot be read.
    """
    dataset = Dataset.open(uri)
    manifest = dataset.manifest
    if manifest.domain is not domain or manifest.container is not Container.PARQUET:
        raise ValueError(
            f"--{domain} {uri}: holds {manifest.container} shards of the {manifest.domain} domain; expected "
            f"parquet shards of the {domain} domain, as `charmnet shard` makes them"
        )
    if manifest.kind is RowKind.PHOTOGRAPH:
        raise ValueError(
            f"--{domain} {uri}: holds photographs whose composites are made when they are read; expected "
            "pairs, as `charmnet compose-real --layout shards` makes them"
        )
    sizes = np.cumsum([shard.bytes for shard in manifest.shards])
    count = max(1, int(np.searchsorted(sizes, MOST_BYTES, side="right")))
    return copy_dataset(dataset.select_shards(range(count)), folder)


def make_dataset(domain: Domain, folder: Location, seed: int = 0) -> Dataset:
    """Write a small data set of smooth random pictures."""
    rng = np.random.default_rng(seed)
    rows = list(_pairs(rng) if domain is Domain.REAL else _scenes(rng))
    kind = RowKind.PAIR if domain is Domain.REAL else RowKind.SCENE
    parts = [
        write_parquet(folder, f"part-{number:05d}.parquet", kind, domain, rows[number::_SHARDS]).manifest
        for number in range(_SHARDS)
    ]
    Manifest.merged(parts, {}).save(folder)
    return Dataset.open(folder)


def copy_dataset(dataset: Dataset, folder: Location) -> Dataset:
    """Copy a data set's shards and manifest to another location."""
    for shard in dataset.manifest.shards:
        (folder / shard.path).write_bytes((dataset.location / shard.path).read_bytes())
    dataset.manifest.save(folder)
    return Dataset(folder, dataset.manifest)


def flip_bytes(dataset: Dataset, reference: Reference) -> None:
    """Invert bytes in the pictures of the row group that holds a sample; the manifest stays as it is."""
    shard, group, _ = reference
    path = dataset.location / dataset.manifest.shards[shard].path
    data = bytearray(path.read_bytes())
    columns = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(group)
    largest = max(map(columns.column, range(columns.num_columns)), key=lambda c: c.total_compressed_size)
    middle = largest.data_page_offset + largest.total_compressed_size // 2
    data[middle : middle + _FLIPPED_BYTES] = bytes(b ^ 0xFF for b in data[middle : middle + _FLIPPED_BYTES])
    path.write_bytes(bytes(data))


def change_composite(dataset: Dataset, reference: Reference, change: Callable[[bytes], bytes]) -> str:
    """Rewrite the shard of a pair with its composite changed, and the manifest.

    Args:
        dataset: parquet shards of pairs.
        reference: (shard, row group, offset) of the pair.
        change: returns the new bytes of the composite, given the old ones.

    Returns:
        The pair's id.
    """
    shard_index, group_index, offset = reference
    manifest = dataset.manifest
    shard = manifest.shards[shard_index]
    groups = range(len(shard.row_groups))
    rows = [row for group in groups for row in dataset.read_row_group(shard_index, group).to_pylist()]
    row = rows[sum(group.rows for group in shard.row_groups[:group_index]) + offset]
    row["composite"] = change(row["composite"])
    written = write_parquet(dataset.location, shard.path, manifest.kind, manifest.domain, rows).manifest
    parts = [dataset.select_shards([index]).manifest for index in range(len(manifest.shards))]
    parts[shard_index] = written
    Manifest.merged(parts, manifest.source).save(dataset.location)
    return str(row["id"])


def photograph(rng: np.random.Generator, size: tuple[int, int] = _SIZE) -> np.ndarray:
    """Draw a picture of smooth colours with some texture, [H,W,3] uint8."""
    height, width = size
    y, x = np.mgrid[0:height, 0:width] / max(size)
    waves = [np.sin(rng.uniform(3, 12, 2) @ [y.ravel(), x.ravel()] + rng.uniform(0, 6)) for _ in range(3)]
    image = 128 + 70 * np.stack(waves, -1).reshape(height, width, 3) + rng.normal(0, 4, (height, width, 3))
    return image.clip(0, 255).astype(np.uint8)


def foreground(rng: np.random.Generator, size: tuple[int, int] = _SIZE) -> np.ndarray:
    """Draw the mask of an ellipse that covers 5 to 30% of the picture, [H,W] uint8 of 0 and 1."""
    height, width = size
    y, x = np.mgrid[0:height, 0:width]
    centre_y, centre_x = rng.uniform(0.35, 0.65, 2) * size
    radius_y, radius_x = rng.uniform(0.15, 0.3, 2) * size
    inside = ((y - centre_y) / radius_y) ** 2 + ((x - centre_x) / radius_x) ** 2 < 1
    result: np.ndarray = inside.astype(np.uint8)
    return result


def _mask(rng: np.random.Generator) -> bytes:
    return encode_png(foreground(rng) * np.uint8(255))


def _pairs(rng: np.random.Generator) -> Iterator[Row]:
    stratum = Stratum(Domain.REAL, "Made", None, ("train",))
    for number in range(_PAIRS):
        pictures = {name: encode_jpeg(photograph(rng)) for name in ("composite", "ground_truth")}
        yield pair_row(f"Made/pair-{number:03d}", stratum, pictures | {"foreground_mask": _mask(rng)})


def _scenes(rng: np.random.Generator) -> Iterator[Row]:
    stratum = Stratum(Domain.RENDERED, "Made", None, ())
    for number in range(_SCENES):
        pictures = {f"images[{index}]": encode_jpeg(photograph(rng)) for index in range(NUM_CONDITIONS)}
        yield scene_row(f"Made/scene-{number:03d}", stratum, pictures | {"foreground_mask": _mask(rng)})
