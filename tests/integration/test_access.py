"""Permissions that infra/access gives to accounts that shard and that train, in a real store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.services.local import ObjectStore

SCRIPT = Path(__file__).parents[2] / "infra" / "access" / "seaweedfs_identities.py"
ACT = """
import sys
from charmnet.errors import StorageError
from pipelines.runtime.storage import Location
for act in sys.argv[1:]:
    verb, path = act.split(" ")
    place = Location.of(f"s3://charmnet/{path}")
    calls = {"read": place.read_bytes, "write": lambda: place.write_bytes(b"x"), "delete": place.delete}
    calls |= {"exists": place.exists, "check": place.check_writable, "list": place.walk_files}
    try:
        result = calls[verb]()
        print(act, "done" if verb != "list" else f"done {result}")
    except StorageError as error:
        print(act, "refused" if "access refused" in str(error) else error)
"""


@pytest.fixture(scope="module")
def act(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., dict[str, str]]]:
    """Return a function that acts as one of the identities and returns the result of each act."""
    store = ObjectStore(tmp_path_factory.mktemp("guarded-store"))
    file = store.folder / "s3-identities.json"
    subprocess.run([sys.executable, str(SCRIPT), str(file), "--bucket", store.bucket], check=True)
    assert file.stat().st_mode & 0o777 == 0o600
    keys = {who["name"]: who["credentials"][0] for who in json.loads(file.read_text())["identities"]}
    store.start()

    def run(who: str, *acts: str) -> dict[str, str]:
        account = keys[who]
        credentials = {
            "AWS_ACCESS_KEY_ID": account["accessKey"],
            "AWS_SECRET_ACCESS_KEY": account["secretKey"],
        }
        done = subprocess.run(
            [sys.executable, "-c", ACT, *acts],
            env={**os.environ, **store.environment(), **credentials},
            capture_output=True,
            text=True,
            check=True,
        )
        return {
            act: line.removeprefix(f"{act} ")
            for act, line in zip(acts, done.stdout.splitlines(), strict=True)
        }

    try:
        yield run
    finally:
        store.stop(grace_seconds=1)


def test_who_trains_reads_shards_and_writes_runs_alone(act: Callable[..., dict[str, str]]) -> None:
    assert set(act("administrator", "write data/a", "write released/a", "write other").values()) == {"done"}
    allowed = [
        "read data/a",
        "exists data/none",
        "write runs/a",
        "read runs/a",
        "delete runs/a",
        "exists runs/none",
        "check runs/new",
    ]
    refused = [
        "write data/b",
        "delete data/a",
        "read released/a",
        "read other",
        "write other",
        "check data/new",
    ]
    done = act("trainer", *allowed, *refused)
    assert done == {**dict.fromkeys(allowed, "done"), **dict.fromkeys(refused, "refused")}
    listed = act("administrator", "list ")["list "]
    assert listed == "done ['.ready', 'data/a', 'other', 'released/a']"  # the check wrote nothing


def test_who_shards_reads_released_files_and_writes_shards_alone(
    act: Callable[..., dict[str, str]],
) -> None:
    act("administrator", "write released/a", "write runs/a")
    allowed = ["read released/a", "write data/c", "read data/c", "delete data/c"]
    refused = ["write released/b", "read runs/a", "write runs/a"]
    done = act("sharder", *allowed, *refused)
    assert done == {**dict.fromkeys(allowed, "done"), **dict.fromkeys(refused, "refused")}
