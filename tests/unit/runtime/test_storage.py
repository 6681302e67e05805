import os
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charmnet.errors import StorageError
from pipelines.runtime.range_file import RangeFile
from pipelines.runtime.storage import Location
from pipelines.runtime.store_errors import MissingError


def test_a_plain_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Location.of("data/real")
    assert path.uri == f"file://{tmp_path}/data/real"
    assert path.local_path == tmp_path / "data/real"
    assert Location.of(path) is path
    assert Location.of("s3://bucket/x/").uri == "s3://bucket/x"
    assert Location.of("s3://bucket/x").local_path is None


@pytest.mark.parametrize("uri", ["s3://key:secret@bucket/x", "s3://key@bucket", "s3://bucket/x?token=secret"])
def test_credentials_in_a_uri_are_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(ValueError, match="environment") as caught:
        Location.of(uri)
    assert "secret" not in str(caught.value)
    assert "key:" not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "uri"),
    [
        ("file:/tmp/x", "file:///tmp/x"),
        ("file://localhost/x", "file:///x"),
        ("file:///", "file:///"),
        ("file:///a/b c#1%20?x", "file:///a/b c#1%20?x"),
        ("S3://bucket/run #2/50%/", "s3://bucket/run #2/50%"),
        ("/data:v1", "file:///data:v1"),
        ("s3://bucket//runs", "s3://bucket/runs"),
        ("s3://bucket/./x/.", "s3://bucket/x"),
        ("s3://bucket/a//real//", "s3://bucket/a/real"),
        ("memory://box//x", "memory://box/x"),
        ("local:///tmp//x", "local:///tmp/x"),
        ("s3://bucket/x?y[1]*", "s3://bucket/x?y[1]*"),
    ],
)
def test_what_users_write_is_one_place(written: str, uri: str) -> None:
    path = Location.of(written)
    assert path.uri == uri
    assert Location.of(str(path)) == path
    assert (path / "x").parent == path


@pytest.mark.parametrize(
    "written",
    [
        "s3://",
        "s3:///key",
        "s3:/bucket/x",
        "models:/m/1",
        "file://host/x",
        "s3://b/a/../x",
        "~no-such-user/x",
    ],
)
def test_what_is_no_place_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        Location.of(written)


@pytest.mark.parametrize("name", ["epoch#1", "50%20", "what?", "with blank", "data:v1", "file:x"])
def test_odd_names_are_taken_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    path = Location.of(name)
    assert (path.local_path, path.name, path.parent) == (tmp_path / name, name, Location.of(tmp_path))
    (path / name).write_bytes(b"x")
    assert (tmp_path / name / name).read_bytes() == b"x"
    assert path.walk_files() == [name]
    assert [child.name for child in path.children()] == [name]
    assert Location.of("s3://bucket").parent == Location.of("s3://bucket")


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "..", "s3://other/x", "a\0b"])
def test_nothing_leaves_a_place(name: str) -> None:
    with pytest.raises(StorageError, match="leave"):
        Location.of("s3://bucket/data") / name


@given(st.text(max_size=20))
def test_what_is_accepted_stays_beneath(name: str) -> None:
    folder = "/data/set"
    try:
        path = Location(f"file://{folder}") / name
    except StorageError:
        return
    assert os.path.normpath(str(path.local_path)).startswith(folder)


def test_bytes_ranges_and_json(tmp_path: Path) -> None:
    path = Location.of(tmp_path) / "a/b.bin"
    assert not path.exists()
    path.write_bytes(b"0123456789")
    assert path.exists()
    assert path.size_bytes() == 10
    assert path.read_bytes() == b"0123456789"
    assert path.read_range(3, 4) == b"3456"
    (path.parent / "c.json").write_json({"x": [1, None]})
    assert (path.parent / "c.json").read_json() == {"x": [1, None]}
    (path.parent / "d.jsonl").write_jsonl([{"id": "a\u2028b"}, 2])
    assert (path.parent / "d.jsonl").read_jsonl() == [{"id": "a\u2028b"}, 2]
    assert [child.name for child in path.parent.children()] == ["b.bin", "c.json", "d.jsonl"]
    assert Location.of(tmp_path).walk_files() == ["a/b.bin", "a/c.json", "a/d.jsonl"]
    path.parent.delete()
    assert Location.of(tmp_path).walk_files() == []
    path.delete()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Location.of(tmp_path) / "manifest.json"
    path.write_bytes(b"old")

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as stream:
            stream.write(data[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError, match="No space left"):
        path.write_bytes(b"new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["manifest.json"]


def test_errors_name_the_place(tmp_path: Path) -> None:
    missing = Location.of(tmp_path) / "none"
    for call in (missing.read_bytes, missing.size_bytes, missing.read_json):
        with pytest.raises(MissingError, match=r"none: no such file"):
            call()
    assert missing.children() == []
    (Location.of(tmp_path) / "file").write_bytes(b"")
    for name in ("n" * 300, "file/beneath"):
        with pytest.raises(MissingError, match="no such file"):
            (Location.of(tmp_path) / name).read_bytes()
    (Location.of(tmp_path) / "bad.json").write_bytes(b"{")
    with pytest.raises(StorageError, match=r"bad\.json: not valid JSON"):
        (Location.of(tmp_path) / "bad.json").read_json()
    with pytest.raises(StorageError, match=r"bad\.json: not valid JSON"):
        (Location.of(tmp_path) / "bad.json").read_jsonl()
    with pytest.raises(StorageError, match=r"nosuch://.*fsspec"):
        Location.of("nosuch://x/y").exists()


def test_pickles_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden-secret")
    data = pickle.dumps(Location.of("s3://bucket/x"))
    assert b"hidden-secret" not in data
    assert pickle.loads(data) == Location.of("s3://bucket/x")


@pytest.mark.servers
def test_a_store_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden-secret")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(StorageError, match=r"s3://bucket/x: .* not answer.*AWS_ENDPOINT_URL") as caught:
        Location.of("s3://bucket/x").exists()
    assert "hidden-secret" not in str(caught.value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "127.0.0.1:9")
    with pytest.raises(ValueError, match=r"AWS_ENDPOINT_URL is '127.0.0.1:9', expected http://"):
        Location.of("s3://bucket/x").exists()


def test_folders_travel(tmp_path: Path) -> None:
    (tmp_path / "from/sub").mkdir(parents=True)
    (tmp_path / "from/a.txt").write_text("a")
    (tmp_path / "from/sub/b.txt").write_text("b")
    path = Location.of(tmp_path / "store")
    path.upload_folder(tmp_path / "from")
    path.download_folder(tmp_path / "back")
    assert (tmp_path / "back/sub/b.txt").read_text() == "b"
    assert path.walk_files() == ["a.txt", "sub/b.txt"]


def test_open_in_memory_filesystem() -> None:
    location = Location.of("memory://box/file")
    location.write_bytes(b"x")
    with location.open() as stream:
        assert stream.read() == b"x"
    with location.random_access() as file:
        assert (file.size(), file.read_at(1, 0)) == (1, b"x")


def test_the_rest_of_a_file_is_read_by_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    location = Location.of("memory://box/long")
    location.write_bytes(bytes(100_000))
    plain = Location.read_range
    lengths: list[int] = []

    def counting(self: Location, start: int, length: int) -> bytes:
        lengths.append(length)
        return plain(self, start, length)

    monkeypatch.setattr(Location, "read_range", counting)
    with location.open() as stream:
        assert len(stream.read()) == 100_000
    file = RangeFile(location)
    file.seek(10)
    assert len(file.read()) == 99_990
    assert lengths == [100_000, 99_990]


@pytest.mark.parametrize("reads", [0, 1])
def test_an_outage_while_parquet_is_read_is_no_damage(monkeypatch: pytest.MonkeyPatch, reads: int) -> None:
    """Arrow passes the store's own error on, which is waited for; damaged samples would be replaced."""
    location = Location.of("memory://box/shard.parquet")
    with location.open("wb") as stream:
        pq.write_table(pa.table({"picture": [bytes(200_000)] * 4}), pa.PythonFile(stream, "w"))
    plain, count = Location.read_range, iter(range(9))

    def failing(self: Location, start: int, length: int) -> bytes:
        if next(count) >= reads:
            raise StorageError("the store does not answer")
        return plain(self, start, length)

    monkeypatch.setattr(Location, "read_range", failing)
    with location.random_access() as file, pytest.raises(StorageError, match="does not answer"):
        pq.ParquetFile(file, pre_buffer=True).read_row_group(0)
