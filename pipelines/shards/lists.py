"""The lists that data sets are released with: one path a line, by split."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from charmnet.errors import DataError
from pipelines.storage import Location, StorageError


@dataclass(frozen=True)
class PathList:
    """One list of a data set.

    Attributes:
        split: the name that its rows are selected by.
        name: of the file, for messages. sha256: of its bytes.
        lines: (number from 1, text) of the lines that are not blank, without line ends.
    """

    split: str
    name: str
    sha256: str
    lines: tuple[tuple[int, str], ...]


def read_list(argument: str, source: Location) -> PathList:
    """`[SPLIT=]FILE`: FILE lies beneath the source or is a path or URI; SPLIT is its stem if not given.

    Raises:
        StorageError: there is no such file. DataError: it is empty or no text.
    """
    split, equals, file = argument.partition("=")
    if not equals or "/" in split:
        split, file = PurePosixPath(urlsplit(argument).path).stem, argument
    if not split or not file:
        raise ValueError(f"--list {argument!r}: expected FILE or SPLIT=FILE")
    place, data = _read(file, source)
    lines = tuple(
        (number, line.strip("\r"))
        for number, line in enumerate(_text(place, data).split("\n"), start=1)
        if line.strip()
    )
    if not lines:
        raise DataError(f"{place}: the list is empty; expected one path a line")
    return PathList(split, place.name, hashlib.sha256(data).hexdigest(), lines)


def read_lists(arguments: Sequence[str], source: Location) -> tuple[PathList, ...]:
    """Several `read_list`.

    Raises:
        ValueError: two lists for one split.
    """
    lists = tuple(read_list(argument, source) for argument in arguments)
    splits = [entry.split for entry in lists]
    for split in splits:
        if splits.count(split) > 1:
            raise ValueError(f"--list: two lists for the split {split!r}; name them apart with SPLIT=FILE")
    return lists


@dataclass(frozen=True)
class Categories:
    """The category of each picture.

    Attributes:
        default: where the table does not say. table: by path as listed. sha256: of the table's file.
    """

    default: str | None = None
    table: dict[str, str] | None = None
    sha256: str | None = None

    def of(self, path: str) -> str | None:
        return (self.table or {}).get(path, self.default)

    def identity(self) -> dict[str, str | None]:
        return {"category": self.default, "categories": self.sha256}


def read_categories(file: str | None, default: str | None, source: Location) -> Categories:
    """A table of `path<TAB>category` lines, found as lists are.

    Raises:
        StorageError: there is no such file. DataError: a line that is not path, tab, category.
    """
    if file is None:
        return Categories(default)
    place, data = _read(file, source)
    table = {}
    for number, line in enumerate(_text(place, data).splitlines(), start=1):
        if not line.strip():
            continue
        path, tab, category = line.strip().partition("\t")
        if not tab or not category.strip():
            raise DataError(f"{place} line {number}: {line!r}; expected a path, a tab and a category")
        table[relative_path(path)] = category.strip()
    return Categories(default, table, hashlib.sha256(data).hexdigest())


def relative_path(text: str) -> str:
    """A listed path without "./" and stray blanks.

    Raises:
        DataError: it would leave the data set's folder.
    """
    path = text.strip().removeprefix("./")
    if not path or path.startswith("/") or ".." in path.split("/") or "://" in path or "\0" in path:
        raise DataError(f"the path {text!r}; expected one beneath the data set's folder")
    return path


def split_composite_path(path: str) -> tuple[str, str]:
    """(folder that holds composite_images, file name without its extension) of a listed composite.

    A bare file name lies in composite_images of the data set's own folder.

    Raises:
        DataError: it lies in no folder composite_images.
    """
    pure = PurePosixPath(path if "/" in path else f"composite_images/{path}")
    if pure.parent.name != "composite_images":
        raise DataError(f"the path {path!r}; expected .../composite_images/FILE or a bare file name")
    folder = pure.parent.parent.as_posix()
    return ("" if folder == "." else folder), pure.stem


def beneath(folder: str, *names: str) -> str:
    return "/".join(part for part in (folder, *names) if part)


def in_stable_disorder(ids: Sequence[str]) -> Iterator[int]:
    """Indices in an order that depends on the ids alone and mixes neighbours of a list.

    Lists are sorted by photograph; a row group, the unit of shuffling, shall not hold the variants of few.
    """
    digests = [hashlib.sha256(text.encode()).digest() for text in ids]
    return iter(sorted(range(len(ids)), key=digests.__getitem__))


def _read(file: str, source: Location) -> tuple[Location, bytes]:
    if not urlsplit(file).scheme and not file.startswith(("/", "~")):
        place = source / file if ".." not in file.split("/") else Location.of(file)
        if place.exists():
            return place, place.read_bytes()
    place = Location.of(file)
    if not place.exists():
        raise StorageError(f"{file}: neither beneath {source} nor at {place}")
    return place, place.read_bytes()


def _text(place: Location, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{place}: not UTF-8 text ({error})") from error
