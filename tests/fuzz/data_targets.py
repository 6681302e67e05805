"""Targets for data sets: manifests, parquet shards, image shards (.tar)."""

from __future__ import annotations

import io
import json
import random
import tarfile
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
from fsspec.implementations.memory import MemoryFileSystem

from charmnet.vocabulary import Domain
from pipelines.conversion.webdataset import ArchiveRow, index_archive, rows_of_archive
from pipelines.ingest.decode_options import DecodeOptions
from pipelines.ingest.decoding import decode
from pipelines.ingest.samples import RowGroupSamples
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import MANIFEST_NAME, Container, Manifest
from pipelines.shards.reading import Dataset
from pipelines.shards.rows import Row, pair_row, scene_row
from pipelines.shards.schema import PAIR_SCHEMA, RowKind
from pipelines.shards.selection import EVERYTHING
from pipelines.shards.stratum import Stratum
from pipelines.shards.tar import HashingReader
from pipelines.shards.verify import checks_of, run_check
from pipelines.shards.writer import write_parquet
from tests.fuzz.mutation import mutate_json
from tests.fuzz.picture_targets import pictures
from tests.fuzz.targets import Target

_STRATUM = Stratum(Domain.REAL, "HCOCO", "car", ("train", "test"))
_DEFAULTS = Stratum(Domain.REAL, "photographs", None, ("train",))
_RENDERED = Stratum(Domain.RENDERED, "SHuman", None, ())
_MEMORY = Location("memory://fuzz")


def _store(name: str, data: bytes) -> None:
    """Write a file to the memory filesystem directly, without its open and close."""
    MemoryFileSystem().pipe_file(f"/fuzz/{name}", data)


def _pairs(count: int = 3) -> list[Row]:
    made = pictures()
    files = {"composite": made[".jpg "], "ground_truth": made[".jpg "], "foreground_mask": made["mask"]}
    return [pair_row(f"HCOCO/{n}", _STRATUM, files) for n in range(count)]


def _scene() -> Row:
    made = pictures()
    files = {f"images[{n}]": made[".jpg "] for n in range(10)} | {"foreground_mask": made["mask"]}
    listed = [{"foreground": 1, "background": 2, "composite_style": [0.1] * 10}]
    return scene_row("SHuman/1", _RENDERED, files, listed)


def _parquet(folder: Path, kind: RowKind, rows: list[Row]) -> tuple[Manifest, bytes]:
    path = Location.of(folder)
    domain = Domain(rows[0]["domain"])
    manifest = write_parquet(path, f"{kind}.parquet", kind, domain, rows).manifest
    return manifest, (folder / f"{kind}.parquet").read_bytes()


def _manifest_target(manifests: list[Manifest]) -> Target:
    def read(data: bytes) -> None:
        _store(MANIFEST_NAME, data)
        manifest = Manifest.load(_MEMORY)
        for shard in manifest.shards:
            assert (_MEMORY / shard.path).uri.startswith("memory://fuzz/")
        json.dumps(manifest.to_json()).encode()
        f"{manifest.totals()} {manifest.samples:,} {manifest.digest}".encode()

    corpus = tuple(json.dumps(manifest.to_json()).encode() for manifest in manifests)
    tokens = (
        b"NaN",
        b"Infinity",
        b"-1",
        b"1e999",
        b"null",
        b"[",
        b"{",
        b'"../',
        b"9" * 5000,
        b"[" * 5000,
        b'"\\ud800"',
    )
    return Target("manifest", read, corpus, tokens, mutate_json)


def _parquet_target(name: str, manifest: Manifest, data: bytes) -> Target:
    (shard,) = manifest.shards
    dataset = Dataset(_MEMORY, replace(manifest, shards=(replace(shard, path="fuzz.parquet"),)))

    def read(changed: bytes) -> None:
        _store("fuzz.parquet", changed)
        for check in checks_of(dataset):
            run_check(dataset, check)
        samples = RowGroupSamples(dataset, EVERYTHING, 0, 0)
        options = DecodeOptions(seed=0, domain=manifest.domain, size=32)
        for offset in range(shard.samples):
            decode(samples.sample(offset, 0, options), 0, options)

    return Target(name, read, (data,), (b"PAR1", b"\x15\x00", b"\x19\x1c", b"\x80" * 9 + b"\x01"))


def _tar(kind: int, long_name: str = "") -> bytes:
    stream = io.BytesIO()
    metadata = json.dumps({"subset": "HFlickr", "splits": ["train"], "category": None}).encode()
    with tarfile.open(fileobj=stream, mode="w", format=kind) as archive:
        for row in _pairs(2):
            files = {"composite.jpg": row["composite"], "ground_truth.jpg": row["ground_truth"]}
            for part, data in {**files, "mask.png": row["foreground_mask"], "json": metadata}.items():
                info = tarfile.TarInfo(f"{long_name}{row['id']}.{part}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def _repair_tar(rng: random.Random, data: bytes) -> bytes:
    """Correct the checksums of headers, three times in four."""
    if rng.random() < 0.25:
        return data
    repaired = bytearray(data)
    for at in range(0, len(repaired) - 511, 512):
        if repaired[at + 257 : at + 262] == b"ustar":
            total = sum(repaired[at : at + 148]) + 8 * 32 + sum(repaired[at + 156 : at + 512])
            repaired[at + 148 : at + 156] = b"%06o\0 " % total
    return bytes(repaired)


def _tar_target() -> Target:
    def read(data: bytes) -> None:
        items = list(rows_of_archive(HashingReader(io.BytesIO(data)), "a.tar", _DEFAULTS))
        rows = [item.row for item in items if isinstance(item, ArchiveRow)]
        pa.Table.from_pylist(rows, PAIR_SCHEMA)
        _store("a.tar", data)
        indexed = index_archive(_MEMORY, "a.tar", _DEFAULTS).manifest
        if indexed.shards:
            dataset = Dataset(_MEMORY, indexed)
            for shard, group, entry in indexed.groups():
                assert dataset.read_row_group(shard, group).num_rows == entry.rows

    kinds = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
    corpus = (
        *(_tar(kind) for kind in kinds),
        _tar(tarfile.PAX_FORMAT, "n" * 120),
        _tar(tarfile.GNU_FORMAT, "n" * 120),
    )
    tokens = (
        b"../", b"/", b"\0", b"\\", b"11 path=x\n", b"30 GNU.sparse.major=1\n", b"22 size=99999999999\n",
        b"ustar", b"\x80", b"x", b"L", b"S", b"\xff\xfe", b'"\\ud800"',
    )  # fmt: skip
    return Target("tar", read, corpus, tokens, repair=_repair_tar)


def _range_target(folder: Path) -> Target:
    """Byte ranges that a manifest tells of, in an archive that holds others."""
    (folder / "a.tar").write_bytes(_tar(tarfile.USTAR_FORMAT))
    path = Location.of(folder)
    manifest = index_archive(path, "a.tar", _DEFAULTS).manifest

    def read(changed: bytes) -> None:
        loaded = Manifest.from_json(json.loads(changed))
        shards = tuple(replace(shard, path="a.tar") for shard in loaded.shards)
        dataset = Dataset(path, replace(loaded, shards=shards))
        if loaded.container is Container.TAR and loaded.rows < 1000:
            for shard, group, _ in loaded.groups():
                dataset.read_row_group(shard, group)

    return Target("range", read, (json.dumps(manifest.to_json()).encode(),), mutate=_only_json)


def _only_json(rng: random.Random, data: bytes, tokens: object) -> bytes:
    changed = mutate_json(rng, data, ())
    try:
        json.loads(changed)
    except (ValueError, RecursionError):
        return data
    return changed


def targets(folder: Path) -> list[Target]:
    pair, pair_bytes = _parquet(folder, RowKind.PAIR, _pairs())
    scene, scene_bytes = _parquet(folder, RowKind.SCENE, [_scene()])
    return [
        _manifest_target([pair, scene, Manifest.merged([pair, pair], {"command": "shard"})]),
        _parquet_target("parquet pairs", pair, pair_bytes),
        _parquet_target("parquet scenes", scene, scene_bytes),
        _tar_target(),
        _range_target(folder),
    ]
