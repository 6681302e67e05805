"""Files that are made to harm: names that lead elsewhere, little that unfolds to much."""

from __future__ import annotations

import io
import json
import random
import struct
import tarfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from charmnet.codecs import decode_rgb, decode_user_mask, encode_jpeg, encode_png
from charmnet.errors import CharmNetError, DataError, StorageError, WeightsError
from charmnet.image_limits import MAX_JPEG_SCANS
from charmnet.methods import IDIHMethod
from charmnet.released_weights import read_pth
from charmnet.vocabulary import Domain
from charmnet.weights import CHECKPOINT_FILE, load_checkpoint, save_checkpoint
from pipelines.conversion.iharmony4 import IHarmony4
from pipelines.conversion.lists import Categories, read_list
from pipelines.runs.models import checkpoint_of
from pipelines.runtime.storage import MAX_JSON_BYTES, Location
from pipelines.shards.manifest import MANIFEST_NAME, Container, Manifest
from pipelines.shards.reading import Dataset
from pipelines.shards.schema import PAIR_SCHEMA, RowKind
from pipelines.shards.shard_table import RowGroup, Shard
from pipelines.shards.stratum import Stratum
from pipelines.shards.tar import HashingReader, tar_samples
from pipelines.tracking.spool import Spool
from tests.factories import photograph
from tests.fuzz.picture_targets import repair_png

PICTURE = photograph(np.random.default_rng(0), (24, 32))
OUTSIDE = ["../x", "a/../../x", "/etc/passwd", "s3://other/x", "..", "a/.."]
BENEATH = ["%2e%2e/x", "..%2fx", "..\\x", "C:\\x", "a/...", ".hidden", "~root/x"]


class Cost:
    """CPU time and memory that are taken from here on."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        self._started, self._before = time.process_time(), self._peak_bytes()

    @staticmethod
    def _peak_bytes() -> int:
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.partition("VmHWM:")[2].split()[0])

    def check(self, most_seconds: float = 5, most_bytes: int = 200 << 20) -> None:
        assert time.process_time() - self._started < most_seconds
        assert self._peak_bytes() - self._before < most_bytes


@pytest.fixture
def cheap() -> Iterator[None]:
    """Fails where a test takes long or much memory: what is refused must be refused before it unfolds."""
    cost = Cost()
    yield
    cost.check()


def zeros(megabytes: int, before: bytes = b"") -> bytes:
    """Compress some bytes and many zeros to a thousandth."""
    packer = zlib.compressobj()
    pieces = [packer.compress(before), *(packer.compress(bytes(1 << 20)) for _ in range(megabytes))]
    return b"".join(pieces) + packer.flush()


# -- names


def manifest(path: str, group_bytes: int = 9) -> Manifest:
    row_group = RowGroup(rows=1, samples=1, bytes=group_bytes, strata={0: (1, 1)}, offset=0)
    stratum = Stratum(Domain.REAL, "HCOCO", None, ())
    shard = Shard(path, 9, "a" * 64, (row_group,))
    return Manifest(RowKind.PAIR, Container.TAR, Domain.REAL, (stratum,), (shard,), tar_defaults=stratum)


@pytest.mark.parametrize("path", OUTSIDE)
def test_no_manifest_leads_elsewhere(path: str) -> None:
    with pytest.raises(DataError, match="relative path"):
        Manifest.from_json(json.loads(json.dumps(manifest(path).to_json())))


@pytest.mark.parametrize("path", BENEATH)
def test_what_only_looks_like_a_way_out_is_a_name(path: str, tmp_path: Path) -> None:
    """Nothing is decoded: a name with %2e%2e or a backslash is the name of a file beneath."""
    read = Manifest.from_json(json.loads(json.dumps(manifest(path).to_json())))
    location = Location.of(tmp_path / "data") / read.shards[0].path
    location.write_bytes(b"x")
    (written,) = (p for p in tmp_path.rglob("*") if p.is_file())
    assert written == tmp_path / "data" / path
    assert location.exists()


@pytest.mark.parametrize("path", OUTSIDE)
def test_no_list_leads_elsewhere(path: str, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text(f"{path}/c1_1_1.jpg\n{path}\n")
    source = Location.of(tmp_path)
    entries, rejected = IHarmony4(source, (read_list("train.txt", source),), Categories()).entries()
    assert not entries
    assert len(rejected) == 2


@pytest.mark.parametrize("path", OUTSIDE)
def test_no_best_leads_elsewhere(path: str, tmp_path: Path) -> None:
    (tmp_path / "best.json").write_text(json.dumps({"checkpoint": path}))
    with pytest.raises(StorageError):
        checkpoint_of(str(tmp_path))


@pytest.mark.parametrize(
    "entry",
    [
        {"op": "artifact", "blob": "../kept"},
        {"op": "artifact", "blob": "../kept", "blob_name": "x", "blob_base64": "eA=="},
        {"op": "artifact", "blob_name": "../../kept/x", "blob_base64": "eA=="},
        {"op": "artifact", "blob_name": "/tmp/x", "blob_base64": "eA=="},
    ],
)
def test_no_spool_that_came_with_a_checkpoint_leads_elsewhere(entry: dict, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("kept")
    spool = Spool(tmp_path / "spool")
    spool.adopt(zlib.compress(b"\n".join(json.dumps(line).encode() for line in ({"spool": "other"}, entry))))
    while entries := spool.read(10):
        spool.acknowledge(entries)
    spool.close()
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["file"]


# -- bombs


def png(height: int, width: int, *chunks: tuple[bytes, bytes]) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), *chunks, (b"IEND", b""))
    body = b"".join(struct.pack(">I", len(data)) + kind + data + bytes(4) for kind, data in parts)
    return repair_png(random.Random(1), b"\x89PNG\r\n\x1a\n" + body)  # whose first draw repairs


def many_scans() -> bytes:
    """Make a progressive JPEG that refines an empty picture again and again."""
    whole = cv2.imencode(".jpg", PICTURE, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    last = whole.rindex(b"\xff\xda")
    return whole[:last] + whole[last:-2] * (MAX_JPEG_SCANS + 1) + whole[-2:]


def oversized_jpeg() -> bytes:
    data = bytearray(encode_jpeg(PICTURE))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", 13_000, 13_000)
    return bytes(data)


PIXELS = (b"IDAT", zlib.compress(bytes(24 * 97)))
BOMBS = {
    "pixels of a PNG": lambda: png(13_000, 13_000, (b"IDAT", zlib.compress(bytes(100)))),
    "pixels of a JPEG": oversized_jpeg,
    "scans of a JPEG": many_scans,
    "text of a PNG": lambda: png(24, 32, (b"zTXt", b"note\0\0" + zeros(200)), PIXELS),
    "profile of a PNG": lambda: png(24, 32, (b"iCCP", b"note\0\0" + zeros(200)), PIXELS),
    "a chunk's length": lambda: encode_png(PICTURE)[:8] + struct.pack(">I", 1 << 30) + b"IDAT" + bytes(60),
    "rows of a PNG": lambda: png(24, 32, (b"IDAT", zeros(200))),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", BOMBS)
def test_no_picture_unfolds(kind: str) -> None:
    data = BOMBS[kind]()
    cost = Cost()
    for decode in (decode_rgb, decode_user_mask):
        with pytest.raises(DataError):
            decode(data)
    cost.check()


@pytest.mark.usefixtures("cheap")
def test_no_json_unfolds(tmp_path: Path) -> None:
    path = Location.of(tmp_path)
    (tmp_path / MANIFEST_NAME).write_bytes(b"[" * 100_000)
    (tmp_path / "large.json").write_bytes(b"[" + b"[]," * (MAX_JSON_BYTES // 3) + b"[]]")
    with pytest.raises(CharmNetError, match="not valid JSON"):
        Manifest.load(path)
    with pytest.raises(CharmNetError, match="limit"):
        (path / "large.json").read_json()


@pytest.mark.usefixtures("cheap")
def test_no_claim_of_a_manifest_is_believed(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(bytes(1024))
    dataset = Dataset(Location.of(tmp_path), manifest("a.tar", 1 << 50))
    with pytest.raises(CharmNetError):
        dataset.read_row_group(0, 0)
    value = manifest("a.tar").to_json()
    value["shards"][0]["bytes"] = 1 << 60
    with pytest.raises(DataError, match="count"):
        Manifest.from_json(json.loads(json.dumps(value)))


@pytest.mark.slow
def test_no_row_group_unfolds(tmp_path: Path) -> None:
    picture = bytes(64 << 20)
    row = {field.name: None for field in PAIR_SCHEMA} | {
        "id": "1", "domain": "real", "subset": "s", "splits": [], "height": 1, "width": 1,
        "foreground_ratio": 1.0, "foreground_mask": b"", "composite": picture, "ground_truth": b"",
    }  # fmt: skip
    table = pa.Table.from_pylist([row] * 3, PAIR_SCHEMA)
    pq.write_table(table, tmp_path / "part.parquet", compression="zstd", use_dictionary=False)
    del table, picture, row
    shard = Shard("part.parquet", 9, "a" * 64, (RowGroup(3, 3, 9, {0: (3, 3)}),))
    stratum = Stratum(Domain.REAL, "s", None, ())
    dataset = Dataset(
        Location.of(tmp_path), Manifest(RowKind.PAIR, Container.PARQUET, Domain.REAL, (stratum,), (shard,))
    )
    with pytest.raises(DataError, match="claims"):
        dataset.read_row_group(0, 0)


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_no_archive_is_decompressed(mode: Literal["w:gz", "w:bz2", "w:xz"]) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        info = tarfile.TarInfo("a.composite.jpg")
        info.size = 20 << 20
        archive.addfile(info, io.BytesIO(bytes(info.size)))
    with pytest.raises(DataError, match="uncompressed"):
        list(tar_samples(HashingReader(io.BytesIO(stream.getvalue()))))


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_no_archive_goes_on_with_headers_for_ever(kind: bytes) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, 0
    with pytest.raises(DataError):
        list(tar_samples(HashingReader(io.BytesIO(info.tobuf() * 5000))))


@pytest.mark.usefixtures("cheap")
def test_no_weights_are_decompressed(tmp_path: Path) -> None:
    path = tmp_path / "latest_net_G.pth"
    torch.save({"weight": torch.zeros(1000)}, path)
    with zipfile.ZipFile(path) as stored:
        members = {name: stored.read(name) for name in stored.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in members.items():
            packed.writestr(name, data)
    with pytest.raises(WeightsError, match="compressed"):
        read_pth(path)


@pytest.mark.usefixtures("cheap")
def test_no_checkpoint_has_a_network_built_that_it_does_not_hold(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, IDIHMethod(width=8), {})
    description = json.loads((tmp_path / CHECKPOINT_FILE).read_text())
    for width in (4096, 1 << 40):
        description["options"]["width"] = width
        (tmp_path / CHECKPOINT_FILE).write_text(json.dumps(description))
        with pytest.raises(WeightsError, match="options"):
            load_checkpoint(tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("cheap")
def test_no_spool_unfolds(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.adopt(zeros(250, b'{"spool": "other"}\n'))
    assert (spool.dropped, spool.read(1)) == (1, [])
    spool.close()
