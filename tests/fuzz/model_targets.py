"""Targets for models and spools: checkpoints, released .pth files, unsent metrics."""

from __future__ import annotations

import hashlib
import io
import json
import random
import shutil
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import torch

from charmnet.errors import WeightsError
from charmnet.methods import IDIHMethod
from charmnet.released_weights import read_pth
from charmnet.weights import CHECKPOINT_FILE, MODEL_FILE, load_checkpoint, load_into, save_checkpoint
from pipelines.runs.models import checkpoint_of
from pipelines.tracking.identity import read_identity
from pipelines.tracking.spool import Spool
from tests.fuzz.mutation import mutate_bytes, mutate_json
from tests.fuzz.targets import Target


def _checkpoint_targets(folder: Path) -> list[Target]:
    method = IDIHMethod(width=4)
    checkpoint = folder / "checkpoint"
    save_checkpoint(checkpoint, method, {"step": 3})
    description = (checkpoint / CHECKPOINT_FILE).read_bytes()
    model = (checkpoint / MODEL_FILE).read_bytes()

    def read_description(data: bytes) -> None:
        (checkpoint / MODEL_FILE).write_bytes(model)
        (checkpoint / CHECKPOINT_FILE).write_bytes(data)
        load_into(checkpoint, method)

    def read_method(data: bytes) -> None:
        (checkpoint / MODEL_FILE).write_bytes(model)
        (checkpoint / CHECKPOINT_FILE).write_bytes(data)
        load_checkpoint(checkpoint)

    def read_tensors(data: bytes) -> None:
        """Return the description with the changed file's size and checksum, which would refuse it first."""
        whole = json.loads(description)
        whole["files"][MODEL_FILE] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        (checkpoint / CHECKPOINT_FILE).write_text(json.dumps(whole))
        (checkpoint / MODEL_FILE).write_bytes(data)
        load_into(checkpoint, method)

    numbers = (b"NaN", b"Infinity", b"-1", b"[" * 3000, b"9" * 5000)
    tensors = (
        b"F32",
        b"BF16",
        b"I64",
        b"BOOL",
        b'"shape":[',
        b"data_offsets",
        b"18446744073709551615",
        b",",
        b"}",
    )
    expected = (WeightsError,)
    return [
        Target("checkpoint", read_description, (description,), numbers, mutate_json, expected=expected),
        Target("checkpoint method", read_method, (description,), numbers, mutate_json, expected=expected),
        Target("safetensors", read_tensors, (model,), tensors, expected=expected),
    ]


def _pth(legacy: bool = False) -> bytes:
    stream = io.BytesIO()
    state = {"net.0.weight": torch.ones(2, 3), "net.0.bias": torch.zeros(3, dtype=torch.float16)}
    torch.save(state, stream, _use_new_zipfile_serialization=not legacy)
    return stream.getvalue()


def _mutate_pth(rng: random.Random, data: bytes, tokens: Sequence[bytes]) -> bytes:
    """Change bytes of the file or, half of the time, of a member behind the archive's checksums."""
    if rng.random() < 0.5 or not data.startswith(b"PK"):
        return mutate_bytes(rng, data, tokens)
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(stream, "w") as after:
        names = before.namelist()
        chosen = rng.choice([names[0], rng.choice(names)])  # the first is the pickle
        for name in names:
            member = before.read(name)
            after.writestr(name, mutate_bytes(rng, member, tokens) if name == chosen else member)
    return stream.getvalue()


def _pth_target(folder: Path) -> Target:
    path = folder / "latest_net_G.pth"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        read_pth(path)

    tokens = (
        b"cos\nsystem\n",
        b"R.",
        b"\x80\x02",
        b"ctorch\nFloatStorage\n",
        b"\x8a\x08" + b"\xff" * 8,
        b"(",
        b"tR",
        b"Q",
        b"M\xff\xff",
    )
    return Target(
        "released pth", read, (_pth(), _pth(legacy=True)), tokens, _mutate_pth, expected=(WeightsError,)
    )


_SPOOL_TOKENS = (
    b"../outside", b"/", b'"blob": "../outside", ', b'"blob_name": "../../x", ', b'"op"', b"\n",
    b"null\n", b"[]\n", b"-1", b"NaN", b"[" * 3000, b"9" * 5000, b'"\\ud800"', b"\0\0",
)  # fmt: skip


def _spool() -> bytes:
    """Return a spool's state, its lines and its portable entries, between separators."""
    state = {"uid": "u", "sent": [0, 0], "cuts": [[2, 5]], "dropped": 0}
    lines = [{"op": "metrics", "time": 5, "step": step, "metrics": {"loss": 0.5}} for step in range(3)]
    artifact = {"op": "artifact", "time": 5, "folder": "", "blob": "blobs/x"}
    tags = {"op": "tags", "time": 1, "tags": {}, "blob_name": "a.txt", "blob_base64": "YQ=="}
    written = "".join(json.dumps(line) + "\n" for line in (*lines, artifact))
    travel = "\n".join(json.dumps(line) for line in ({"spool": "other"}, tags))
    return "\0\0".join((json.dumps(state), written, travel)).encode()


def _spool_target(folder: Path) -> Target:
    outside, location = folder / "outside", folder / "spool"
    outside.mkdir(parents=True)
    (outside / "kept").write_text("kept")

    def read(data: bytes) -> None:
        parts = [*data.split(b"\0\0"), b"", b"", b""]
        shutil.rmtree(location, ignore_errors=True)
        location.mkdir()
        (location / "spool.json").write_bytes(parts[0])
        (location / "000001.jsonl").write_bytes(parts[1])
        spool = Spool(location, max_bytes=1 << 20)
        try:
            spool.adopt(zlib.compress(parts[2]))
            while entries := spool.read(100):
                spool.acknowledge(entries)
            spool.pending()
        finally:
            spool.close()
        assert {path.name for path in folder.iterdir()} == {"outside", "spool"}
        assert (outside / "kept").exists()

    return Target("spool", read, (_spool(),), _SPOOL_TOKENS, expected=())


def _identity_target(folder: Path) -> Target:
    identity = {"experiment": "e", "run_key": "k", "run_name": "n", "tracking_uri": "http://127.0.0.1:1"}
    folder.mkdir()

    def read(data: bytes) -> None:
        (folder / "run.json").write_bytes(data)
        read_identity(folder)

    corpus, expected = (json.dumps(identity).encode(),), (OSError, ValueError)
    return Target("spool identity", read, corpus, _SPOOL_TOKENS, mutate_json, expected=expected)


def _best_target(folder: Path) -> Target:
    best = {"checkpoint": "best/checkpoint-000000003", "step": 3, "metric": "fmse", "value": 1.0}
    folder.mkdir()

    def read(data: bytes) -> None:
        (folder / "best.json").write_bytes(data)
        assert str(checkpoint_of(str(folder)).local_path).startswith(f"{folder}/")

    return Target("best", read, (json.dumps(best).encode(),), _SPOOL_TOKENS, mutate_json)


def targets(folder: Path) -> list[Target]:
    return [
        *_checkpoint_targets(folder),
        _pth_target(folder),
        _spool_target(folder / "spools"),
        _identity_target(folder / "identity"),
        _best_target(folder / "best"),
    ]
