"""The lists that data sets are released with: one path a line, by split."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from charmnet.errors import DataError, StorageError
from pipelines.runtime.storage import Location

_COMPOSITES = "composite_images"


@dataclass(frozen=True)
class PathList:
    """One list of a data set.

    Attributes:
        split: the name that its rows are selected by.
        name: of the file, for messages. sha256: of its bytes.
        lines: (number from 1, text) of the lines that are not blank, without line ends.
        folder: beneath the source, where its bare file names belong ("" for the source itself).
    """

    split: str
    name: str
    sha256: str
    lines: tuple[tuple[int, str], ...]
    folder: str = ""

    def path(self, text: str) -> str:
        """The composite's path beneath the source, one spelling for each, of a line's first column.

        Raises:
            DataError: it would leave the data set's folder.
        """
        path = relative_path(text)
        path = path if "/" in path else f"{_COMPOSITES}/{path}"
        return beneath(self.folder, path) if path.startswith(f"{_COMPOSITES}/") else path


def read_list(argument: str, source: Location) -> PathList:
    """`[SPLIT=]FILE`: FILE lies beneath the source or is a path or URI; SPLIT is its stem if not given.

    Raises:
        StorageError: there is no such file. DataError: it is empty or no text.
    """
    split, equals, file = argument.partition("=")
    if not equals or "/" in split:
        split, file = PurePosixPath(argument).stem, argument
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
    found = PathList(split, place.name, hashlib.sha256(data).hexdigest(), lines)
    return replace(found, folder=_folder_of_bare_names(found, place, source))


def _folder_of_bare_names(listed: PathList, place: Location, source: Location) -> str:
    """The list's own folder (a sub-set's) where its first bare name is there and not in the source's."""
    own = place.parent.uri.removeprefix(f"{source.uri}/")
    bare = next((text.partition("\t")[0].strip() for _, text in listed.lines), "")
    bare = bare.removeprefix("./").removeprefix(f"{_COMPOSITES}/")
    if own == place.parent.uri or "/" in bare or (source / _COMPOSITES / bare).exists():
        return ""
    return own if (source / own / _COMPOSITES).exists() else ""


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
        table = self.table or {}
        return table.get(path, table.get(path.removeprefix(f"{_COMPOSITES}/"), self.default))

    def check_used(self, paths: Collection[str]) -> None:
        """
        Raises:
            DataError: there is a table and it has none of these paths, so that it must be of other data.
        """
        if self.table and paths and all(self.of(path) is None for path in paths):
            raise DataError(
                f"--categories: none of its {len(self.table)} paths is in the data set, such as "
                f"{next(iter(self.table))!r}; expected paths as listed, such as {next(iter(paths))!r}"
            )

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
    """A listed path without "./", doubled slashes and stray blanks.

    Raises:
        DataError: it would leave the data set's folder.
    """
    parts = [part for part in text.strip().split("/") if part not in ("", ".")]
    leaves = text.strip().startswith("/") or ".." in parts or "://" in text or "\0" in text
    if not parts or leaves:
        raise DataError(f"the path {text!r}; expected one beneath the data set's folder")
    return "/".join(parts)


def split_composite_path(path: str) -> tuple[str, str]:
    """(folder that holds composite_images, file name without its extension) of a listed composite.

    Raises:
        DataError: it lies in no folder composite_images.
    """
    pure = PurePosixPath(path)
    if pure.parent.name != _COMPOSITES:
        raise DataError(f"the path {path!r}; expected .../composite_images/FILE or a bare file name")
    folder = pure.parent.parent.as_posix()
    return ("" if folder == "." else folder), pure.stem


def beneath(folder: str, *names: str) -> str:
    return "/".join(part for part in (folder, *names) if part)


def names_digest(names: Sequence[str]) -> str:
    """Return the SHA-256 (hex) of a list of names; their order counts."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def _read(file: str, source: Location) -> tuple[Location, bytes]:
    if "://" not in file and not file.startswith(("/", "~", "file:/")):
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
