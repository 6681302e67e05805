"""Targets for texts: lists, tables of categories, selections, URIs and names, settings of a run."""

from __future__ import annotations

import json
from pathlib import Path

from fsspec.implementations.memory import MemoryFileSystem

from charmnet.errors import CharmNetError
from charmnet.vocabulary import Domain
from pipelines.config.train_config import TrainConfig
from pipelines.conversion.iharmony4 import IHarmony4
from pipelines.conversion.lists import Categories, PathList, read_categories, read_list
from pipelines.conversion.rdharmony import RdHarmony
from pipelines.runs.run_folder import RunFolder
from pipelines.runtime.redaction import redact
from pipelines.runtime.storage import Location
from pipelines.shards.selection import Selection
from pipelines.shards.stratum import Stratum
from tests.fuzz.mutation import mutate_json
from tests.fuzz.targets import Target

_SOURCE = Location("memory://lists")
_PATH_TOKENS = (
    b"../",
    b"/",
    b"\\",
    b"%2e%2e/",
    b"s3://",
    b"\0",
    b"\t",
    b"\n",
    b"\r",
    b"\xef\xbb\xbf",
    b"_",
    b"-",
    b"\xff",
)
_STRATA = (
    Stratum(Domain.REAL, "HCOCO", "car", ("train", "test")),
    Stratum(Domain.RENDERED, "SHuman", None, ()),
)
_LABEL = "_".join(["0.1"] * 10)
_SECRETS = ("hidden-key", "hidden-secret")


def _store(name: str, data: bytes) -> None:
    MemoryFileSystem().pipe_file(f"/lists/{name}", data)


def _read_list(data: bytes) -> PathList:
    _store("train.txt", data)
    return read_list("train=train.txt", _SOURCE)


def _stay_beneath(source: IHarmony4 | RdHarmony) -> None:
    for entry in source.entries()[0]:
        for path in entry.files.values():
            location = _SOURCE / path
            assert location.uri.startswith("memory://lists/")
            assert "/../" not in f"{location}/"


def _read_iharmony4(data: bytes) -> None:
    _stay_beneath(IHarmony4(_SOURCE, (_read_list(data),), Categories()))


def _read_rdharmony(data: bytes) -> None:
    _stay_beneath(RdHarmony(_SOURCE, (_read_list(data),), Categories()))


def _read_categories(data: bytes) -> None:
    _store("categories.tsv", data)
    table = read_categories("categories.tsv", None, _SOURCE)
    assert not any(path.startswith("/") or ".." in path.split("/") for path in table.table or {})


def _read_selection(data: bytes) -> None:
    selection = Selection(data.decode(errors="surrogateescape"))
    for stratum in _STRATA:
        selection(stratum)


def _read_uri(data: bytes) -> None:
    """Make a location from a user's text and a name beneath it; no error may repeat a password."""
    text = data.decode(errors="replace")
    try:
        path = Location.of(text)
        inner = path / text
        assert inner == path or inner.uri.startswith(f"{path.uri.rstrip('/')}/")  # "." is the folder itself
        assert ".." not in inner.uri[len(path.uri) :].split("/")
    except (CharmNetError, ValueError) as error:
        # A text that begins so has a password in it, and no message may repeat that.
        if text.startswith("s3://hidden-key:hidden-secret@") and any(s in str(error) for s in _SECRETS):
            raise AssertionError(f"a message with a password: {error}") from error
        raise
    redact(text)


def _read_override(data: bytes) -> None:
    TrainConfig().override(data.decode(errors="replace").split("\n"))


def _read_run_folder(data: bytes) -> None:
    MemoryFileSystem().pipe_file("/runs/run/run.json", data)
    RunFolder(Location("memory://runs/run")).claim("run", TrainConfig(), {"real": "a" * 64})


def _table_targets() -> list[Target]:
    """Return targets for the released lists and the table of categories."""
    iharmony4 = (
        b"HCOCO/composite_images/c1_2_3.jpg\nHAdobe5k/composite_images/a0001_1_1.jpg\n\nc4_1_2.jpg\r\n"
    )
    rdharmony = "".join(
        f"SHuman/composite_images/001-01_{n:02d}.jpg\t{_LABEL}\t1\n" for n in range(2, 5)
    ).encode()
    categories = b"HCOCO/composite_images/c1_2_3.jpg\tcar\nx/y.jpg\tdog\n"
    return [
        Target("list iharmony4", _read_iharmony4, (iharmony4,), _PATH_TOKENS),
        Target("list rdharmony", _read_rdharmony, (rdharmony,), (*_PATH_TOKENS, b"nan", b"inf", b"1e9")),
        Target("categories", _read_categories, (categories,), _PATH_TOKENS),
    ]


def _argument_targets() -> list[Target]:
    """Return targets for what users type: selections, URIs, fields of a configuration."""
    selections = (
        b"split == 'IHD_train' and subset != 'HCOCO'",
        b"category in ('car', None) or not (domain == 'real')",
        b"",
        b"not " * 40 + b"split == 'a'",
    )
    words = b"split subset in not and or is == != < ( ) [ ] ' None lambda : = if * **".split()
    clauses = (*(b" %s " % word for word in words), b"(" * 300, b"not " * 300)
    uris = (
        b"s3://bucket/a/b", b"file:///tmp/x", b"data/real", b"s3://hidden-key:hidden-secret@bucket/x",
        b"a/b.parquet", b"http://user:hidden-secret@host:80/x", b"%2e%2e/x", b"memory://x",
    )  # fmt: skip
    fields = (
        b"steps=5\nworkers=1:4",
        b"learning_rate=1e-3\nvalidate=a,b\ninit=none",
        b"domain_statistics=true",
    )
    values = (b"=", b":", b"nan", b"inf", b"-1", b"1e999", b"9" * 5000, b"none")
    wrong, refused = (ValueError,), (CharmNetError, ValueError)
    return [
        Target("selection", _read_selection, selections, clauses, expected=wrong),
        Target("uri", _read_uri, uris, (*_PATH_TOKENS, b"@", b":", b"?"), expected=refused),
        Target("override", _read_override, fields, values, expected=wrong),
    ]


def _record_target() -> Target:
    record = {
        "name": "run",
        "run_key": "k",
        "config": TrainConfig().to_json(),
        "digests": {"real": "a" * 64},
        "experiment": "charmnet",
    }
    corpus, tokens = (json.dumps(record).encode(),), (b"NaN", b"[" * 3000)
    expected = (CharmNetError, ValueError)
    return Target("run record", _read_run_folder, corpus, tokens, mutate_json, expected=expected)


def targets(folder: Path) -> list[Target]:
    del folder
    return [*_table_targets(), *_argument_targets(), _record_target()]
