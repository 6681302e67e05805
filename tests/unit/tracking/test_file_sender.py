"""Files that have arrived are not sent again, whatever ended the attempt before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipelines.tracking.file_sender import JOURNAL_NAME, FileSender


@pytest.fixture
def sender(tmp_path: Path) -> FileSender:
    (tmp_path / "spool").mkdir()
    return FileSender(MlflowClient("http://127.0.0.1:9"), tmp_path / "spool", lambda: False)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    for name, size in (("MLmodel", 10), ("data/graph", 2000), ("data/more/weights", 300)):
        file = tmp_path / "model" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * size)
    return tmp_path / "model"


def files(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def test_it_goes_on_behind_what_has_arrived(sender: FileSender, model: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    address = store.as_uri()
    (store / "there").mkdir()
    (store / "there" / "data").write_bytes(b"in the way")  # what comes first arrives, the rest does not
    with pytest.raises(OSError, match="data"):
        sender.send(model, address, "there", key="blobs/1")
    assert files(store) == {"there/MLmodel", "there/data"}
    for file in ("there/MLmodel", "there/data"):
        (store / file).unlink()
    sender.send(model, address, "there", key="blobs/1")
    assert files(store) == {"there/data/graph", "there/data/more/weights"}
    sender.send(model, address, "there", key="blobs/1")
    sender.send(model, address, "there", key="blobs/2")
    assert files(store) == {f"there/{name}" for name in files(model)}


def test_what_has_arrived_elsewhere_or_cannot_be_read_is_sent(
    sender: FileSender, model: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for store in (first, second):
        store.mkdir()
        sender.send(model, store.as_uri(), None, key="blobs/1")
        assert files(store) == files(model)
    for damaged in ("", "{", '{"arrived": 3}', "[]"):
        (second / "MLmodel").unlink()
        (tmp_path / "spool" / JOURNAL_NAME).write_text(damaged)
        sender.send(model, second.as_uri(), None, key="blobs/1")
        assert files(second) == files(model)
    (tmp_path / "spool" / JOURNAL_NAME).unlink()
    sender.send(model / "MLmodel", second.as_uri(), "config", key="blobs/3")
    assert (second / "config" / "MLmodel").exists()
    journal = json.loads((tmp_path / "spool" / JOURNAL_NAME).read_text())
    assert journal["sending"].startswith("blobs/3 ")
