"""Names are taken as they are, and nothing but what was given is ever deleted, on every kind of store."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipelines.runtime.storage import Location
from tests.fixtures.object_store import ObjectStoreForTests

# The first letters are those of neighbours, so that a pattern would meet them.
_LETTERS = st.sampled_from("ab1xy.") | st.sampled_from("[]*?#%+!{}^$ ~&=;,'()é漢\u0301-_:@")
NAMES = st.text(_LETTERS, min_size=1, max_size=6).filter(lambda name: name not in (".", ".."))
NEIGHBOURS = ("ab1", "ab", "a", "axb", "x/y", "xzy", "a b", "1/2/3")
_FORMER_DANGERS = ("ab[1]", "a*b", "x?y", "[ab]*", "?", "a#b", "50%", "%2e%2e", "a+b", ".hidden", "~")


def _check(folder: Location, name: str) -> None:
    """Write a folder of this name beside neighbours, list it, delete it, and compare what is left."""
    own = ["one", "sub/two", f"sub/{name}"]
    beside = [other for other in NEIGHBOURS if other.partition("/")[0] != name]
    for path in (*beside, *(f"{name}/{path}" for path in own)):
        (folder / path).write_bytes(path.encode())
    given_folder = folder / name
    assert (given_folder.name, given_folder.parent) == (name, folder)
    assert given_folder.walk_files() == sorted(own)
    assert sorted(child.name for child in given_folder.children()) == ["one", "sub"]
    assert (given_folder / f"sub/{name}").read_bytes() == f"{name}/sub/{name}".encode()
    assert name in [child.name for child in folder.children()]
    given_folder.delete()
    assert not given_folder.exists()
    assert given_folder.walk_files() == []
    assert folder.walk_files() == sorted(beside)
    (folder / name).write_bytes(b"now a file")
    assert (folder / name).size_bytes() == len(b"now a file")
    (folder / name).delete()
    given_folder.delete()  # a missing one is no error
    assert folder.walk_files() == sorted(beside)


def hostile(examples: int, dangers: int) -> Callable[..., Callable[..., None]]:
    """Give a test hostile names; among them some that deleted neighbours once."""

    def decorate(check: Callable[..., None]) -> Callable[..., None]:
        for name in _FORMER_DANGERS[:dangers]:
            check = example(name=name)(check)
        quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
        return settings(max_examples=examples, suppress_health_check=quiet, deadline=None)(
            given(name=NAMES)(check)
        )

    return decorate


@hostile(examples=25, dangers=len(_FORMER_DANGERS))
def test_in_memory(name: str) -> None:
    _check(Location.of(f"memory://hostile/{uuid.uuid4().hex}"), name)


@hostile(examples=25, dangers=len(_FORMER_DANGERS))
def test_in_a_folder(tmp_path: Path, name: str) -> None:
    _check(Location.of(tmp_path / uuid.uuid4().hex), name)


@hostile(examples=4, dangers=4)
def test_on_s3(s3: ObjectStoreForTests, name: str) -> None:
    _check(Location.of(s3.prefix()), name)
