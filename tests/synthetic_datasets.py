"""Data sets made without a cluster from rows that may be broken on purpose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from charmnet.codecs import decode_mask, decode_rgb, encode_jpeg, encode_mask, encode_png
from charmnet.drawn_recoloring import ColorTable, color_palette
from charmnet.recoloring import ColorStatistics, foreground_colors
from charmnet.vocabulary import Domain
from pipelines.runtime.storage import Location
from pipelines.shards.foreground_colors import ForegroundColors
from pipelines.shards.manifest import Container, Manifest
from pipelines.shards.reading import Dataset
from pipelines.shards.rows import Row, pair_row, photograph_row, row_kind, scene_row, stratum_of
from pipelines.shards.schema import RowKind
from pipelines.shards.shard_table import RowGroup, Shard
from pipelines.shards.stratum import Stratum
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


def photograph_rows(count: int, size: tuple[int, int] = (48, 64), seed: int = 0) -> list[Row]:
    """Rows of photographs with ids P/p00, P/p01, ...: of one or two masks, P/p00_1, P/p01_1, P/p01_2, ...

    Every fifth is of the split test, the others of train; categories are car and tree in turn.
    """
    rows = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        stratum = Stratum(
            Domain.REAL, "P", ("car", "tree")[number % 2], ("test" if number % 5 == 4 else "train",)
        )
        image = photograph(rng, size)
        masks = {
            f"P/p{number:02d}_{k + 1}": encode_mask(foreground(rng, size)) for k in range(1 + number % 2)
        }
        rows.append(photograph_row(f"P/p{number:02d}", stratum, encode_jpeg(image), masks))
    return rows


def colors_of_rows(rows: Sequence[Row]) -> ForegroundColors:
    """Measure the colours of the foregrounds of photographs."""
    ids, photographs, strata, statistics, palettes = [], [], [], [], []
    for row in rows:
        image = decode_rgb(row["photograph"])
        for sample_id, data in zip(row["foreground_ids"], row["foreground_masks"], strict=True):
            mask = decode_mask(data)
            ids.append(sample_id)
            photographs.append(row["id"])
            strata.append(stratum_of(row))
            statistics.append(ColorStatistics.of(foreground_colors(image, mask)))
            palettes.append(color_palette(image[mask != 0]))
    return ForegroundColors(ids, photographs, strata, ColorTable.of(statistics, palettes))


def write_photographs(
    folder: Location, rows: Sequence[Row], rows_per_shard: int, per_mask: int = 2
) -> Dataset:
    """Shards of photographs with their colours."""
    dataset = write_dataset(folder, rows, rows_per_shard)
    colors = colors_of_rows(rows).write(folder, per_mask)
    replace(dataset.manifest, colors=colors).save(folder)
    return Dataset.open(folder)


def write_dataset(folder: Location, rows: Sequence[Row], rows_per_shard: int) -> Dataset:
    """Shards of these rows, in order; what is wrong with their pictures is written as it is."""
    domain = Domain(rows[0]["domain"])
    kind = row_kind(rows[0])
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
