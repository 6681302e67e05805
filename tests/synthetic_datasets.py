"""Data sets made without a cluster from rows that may be broken on purpose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from charmnet.codecs import encode_jpeg, encode_png
from charmnet.vocabulary import Domain
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import Container, Manifest, Stratum
from pipelines.shards.reading import Dataset
from pipelines.shards.rows import Row, pair_row, scene_row
from pipelines.shards.schema import RowKind
from pipelines.shards.shard_table import RowGroup, Shard
from pipelines.shards.writer import write_parquet
from tests.factories import foreground, photograph


def pair_rows(count: int, size: tuple[int, int] = (16, 24), seed: int = 0) -> list[Row]:
    """Rows of the real domain with ids HCOCO/c00, HCOCO/c01, ..."""
    rng, stratum = np.random.default_rng(seed), Stratum(Domain.REAL, "HCOCO", None, ("train",))
    return [
        pair_row(
            f"HCOCO/c{number:02d}",
            stratum,
            {
                "composite": encode_jpeg(photograph(rng, size)),
                "ground_truth": encode_jpeg(photograph(rng, size)),
                "foreground_mask": encode_png(foreground(rng, size) * np.uint8(255)),
            },
        )
        for number in range(count)
    ]


def scene_rows(count: int, size: tuple[int, int] = (16, 24), seed: int = 0) -> list[Row]:
    """Rows of the rendered domain with ids SHuman/000, ..., ten samples each."""
    rng, stratum = np.random.default_rng(seed), Stratum(Domain.RENDERED, "SHuman", "human", ())
    rows = []
    for number in range(count):
        pictures = {f"images[{c}]": encode_jpeg(photograph(rng, size)) for c in range(10)}
        pictures["foreground_mask"] = encode_png(foreground(rng, size) * np.uint8(255))
        rows.append(scene_row(f"SHuman/{number:03d}", stratum, pictures))
    return rows


def write_dataset(folder: Location, rows: Sequence[Row], rows_per_shard: int) -> Dataset:
    """Shards of these rows, in order; what is wrong with their pictures is written as it is."""
    domain = Domain(rows[0]["domain"])
    kind = RowKind.SCENE if "images" in rows[0] else RowKind.PAIR
    shards = [rows[start : start + rows_per_shard] for start in range(0, len(rows), rows_per_shard)]
    parts = [
        write_parquet(folder, f"part-{number:05d}.parquet", kind, domain, shard)
        for number, shard in enumerate(shards)
    ]
    assert [part.rejected for part in parts] == [[] for _ in parts]
    Manifest.merged([part.manifest for part in parts], {}).save(folder)
    return Dataset.open(folder)


def manifest_of(shards: Sequence[Sequence[int]], sha256: str = "0" * 64) -> Manifest:
    """Manifest of shards that there are not, whose row groups have these numbers of samples.

    About half of a row group's samples stand in split a alone, the others in splits a and b.

    Args:
        shards: number of samples of each row group, by shard.
        sha256: checksum of every shard.
    """
    strata = (Stratum(Domain.REAL, "S", None, ("a",)), Stratum(Domain.REAL, "S", None, ("a", "b")))
    return Manifest(
        RowKind.PAIR,
        Container.PARQUET,
        Domain.REAL,
        strata,
        tuple(
            Shard(
                f"{i}.parquet",
                0,
                sha256,
                tuple(RowGroup(n, n, 0, {0: (n - n // 2, n - n // 2), 1: (n // 2, n // 2)}) for n in groups),
            )
            for i, groups in enumerate(shards)
        ),
    )
