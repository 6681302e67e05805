"""The lists of paths and the table of categories that a data set is released with."""

from __future__ import annotations

import codecs
import hashlib
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath

from charmnet.errors import DataError, StorageError
from pipelines.runtime.storage import Location

_COMPOSITES = "composite_images"


@dataclass(frozen=True)
class PathList:
    """One list of a data set: a path on each line.

    Attributes:
        split: name of the split that the listed pictures belong to.
        name: name of the file, for messages.
        sha256: checksum of the file.
        lines: (line number from 1, text without line end) of the lines that are not blank.
        folder: folder beneath the source that bare file names belong to ("" for the source itself).
        source: folder of the data set, which listed paths may begin with.
    """

    split: str
    name: str
    sha256: str
    lines: tuple[tuple[int, str], ...]
    folder: str = ""
    source: Location | None = field(default=None, compare=False)

    def path(self, text: str) -> str:
        """Return the path of a composite beneath the source, spelled in one way, from a line's first column.

        Raises:
            DataError: the path would leave the data set's folder.
        """
        path = relative_path(text, self.source)
        path = path if "/" in path else f"{_COMPOSITES}/{path}"
        return join_path(self.folder, path) if path.startswith(f"{_COMPOSITES}/") else path


def read_list(argument: str, source: Location) -> PathList:
    """Read the list that `[SPLIT=]FILE` names.

    Args:
        argument: FILE is looked up beneath the source, then as a path or URI; SPLIT defaults to its stem.

    Raises:
        ValueError: the argument names no split or file.
        StorageError: there is no such file.
        DataError: the file is empty or no text.
    """
    split, equals, file = argument.partition("=")
    if not equals or "/" in split:
        split, file = PurePosixPath(argument).stem, argument
    if not split or not file:
        raise ValueError(f"--list {argument!r}: expected FILE or SPLIT=FILE")
    location, data = _read_file(file, source)
    lines = tuple(
        (number, line.strip("\r"))
        for number, line in enumerate(_text(location, data).split("\n"), start=1)
        if line.strip()
    )
    if not lines:
        raise DataError(f"{location}: the list is empty; expected one path a line")
    listed = PathList(split, location.name, hashlib.sha256(data).hexdigest(), lines, source=source)
    return replace(listed, folder=_folder_of_bare_names(listed, location, source))


def _folder_of_bare_names(listed: PathList, location: Location, source: Location) -> str:
    """Return the folder that bare file names belong to.

    It is the list's own folder (the folder of a subset) if that has composites and the source does not have
    the first listed one; otherwise the source.
    """
    list_folder = location.parent.uri.removeprefix(f"{source.uri}/")
    first = next((text.partition("\t")[0].strip() for _, text in listed.lines), "").replace("\\", "/")
    first = first.removeprefix("./").removeprefix(f"{_COMPOSITES}/")
    if list_folder == location.parent.uri or "/" in first or (source / _COMPOSITES / first).exists():
        return ""
    return list_folder if (source / list_folder / _COMPOSITES).exists() else ""


def read_lists(arguments: Sequence[str], source: Location) -> tuple[PathList, ...]:
    """Read several lists (see `read_list`).

    Raises:
        ValueError: two lists for one split.
    """
    lists = tuple(read_list(argument, source) for argument in arguments)
    splits = [listed.split for listed in lists]
    for split in splits:
        if splits.count(split) > 1:
            raise ValueError(f"--list: two lists for the split {split!r}; name them apart with SPLIT=FILE")
    return lists


@dataclass(frozen=True)
class Categories:
    """The category of each picture.

    Attributes:
        default: category of pictures that the table does not have.
        table: category by path, spelled as in the lists.
        sha256: checksum of the table's file.
    """

    default: str | None = None
    table: dict[str, str] | None = None
    sha256: str | None = None

    def of(self, path: str) -> str | None:
        """Return the category of a picture by its path beneath the source."""
        table = self.table or {}
        return table.get(path, table.get(path.removeprefix(f"{_COMPOSITES}/"), self.default))

    def check_used(self, paths: Collection[str]) -> None:
        """Check that the table, if there is one, belongs to the data set with these paths.

        Raises:
            DataError: the table has none of the paths.
        """
        if self.table and paths and all(self.of(path) is None for path in paths):
            raise DataError(
                f"--categories: none of its {len(self.table)} paths is in the data set, such as "
                f"{next(iter(self.table))!r}; expected paths as listed, such as {next(iter(paths))!r}"
            )

    def identity(self) -> dict[str, str | None]:
        """Return the part of a request that concerns categories (see `DatasetBuild`)."""
        return {"category": self.default, "categories": self.sha256}


def read_categories(file: str | None, default: str | None, source: Location) -> Categories:
    """Read a table of `path<TAB>category` lines.

    Args:
        file: looked up as in `read_list`; None for no table.
        default: category of pictures that the table does not have.

    Raises:
        StorageError: there is no such file.
        DataError: a line is not path, tab, category.
    """
    if file is None:
        return Categories(default)
    location, data = _read_file(file, source)
    table = {}
    for number, line in enumerate(_text(location, data).splitlines(), start=1):
        if not line.strip():
            continue
        path, tab, category = line.strip().partition("\t")
        if not tab or not category.strip():
            raise DataError(f"{location} line {number}: {line!r}; expected a path, a tab and a category")
        table[relative_path(path, source)] = category.strip()
    return Categories(default, table, hashlib.sha256(data).hexdigest())


def relative_path(text: str, source: Location | None = None) -> str:
    """Return a listed path, as Windows or Linux writes it, without "./", doubled slashes and outer blanks.

    Args:
        text: path beneath the data set's folder, or an absolute one that leads there.
        source: the data set's folder; None where there are no absolute paths.

    Raises:
        DataError: the path would leave the data set's folder.
    """
    path = _without_quotes(text.strip()).replace("\\", "/")
    if source is not None:
        path = _without_source(path, source)
    parts = [part for part in path.split("/") if part not in ("", ".")]
    leaves = path.startswith("/") or ".." in parts or "://" in path or "\0" in path
    if not parts or leaves or re.match("[A-Za-z]:/", path):
        raise DataError(f"the path {text!r}; expected a path beneath the data set's folder")
    return "/".join(parts)


def _without_quotes(path: str) -> str:
    """Return a path without the quotes that spreadsheets and shells put around it."""
    quoted = len(path) > 2 and path[0] == path[-1] and path[0] in "\"'"
    return path[1:-1] if quoted else path


def _without_source(path: str, source: Location) -> str:
    """Return the part of an absolute path or URI beneath the source; other paths as they are."""
    if path.startswith(f"{source.uri}/"):
        return path.removeprefix(f"{source.uri}/")
    if not path.startswith("/") or source.local_path is None:
        return path
    folder = _spelling_of_source(path.rpartition("/")[0], str(source.local_path))
    return path if folder is None else path.removeprefix(folder).lstrip("/")


@lru_cache
def _spelling_of_source(folder: str, source: str) -> str | None:
    """Return how a folder's path spells the source, which links may lead to; None if it is not above."""
    if f"{folder}/".startswith(f"{source}/"):
        return source
    above = (Path(folder), *Path(folder).parents)
    return next((str(path) for path in above if os.path.realpath(path) == source), None)


def split_composite_path(path: str) -> tuple[str, str]:
    """Split a composite's path into the folder above composite_images and the file name without extension.

    Raises:
        DataError: the path leads to no folder composite_images.
    """
    pure = PurePosixPath(path)
    if pure.parent.name != _COMPOSITES:
        raise DataError(f"the path {path!r}; expected .../composite_images/FILE or a bare file name")
    folder = pure.parent.parent.as_posix()
    return ("" if folder == "." else folder), pure.stem


def join_path(folder: str, *names: str) -> str:
    """Join a folder ("" for the source) and names into a path beneath the source."""
    return "/".join(part for part in (folder, *names) if part)


def names_digest(names: Sequence[str]) -> str:
    """Return the SHA-256 (hex) of a list of names in this order."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def _read_file(file: str, source: Location) -> tuple[Location, bytes]:
    if "://" not in file and not file.startswith(("/", "~", "file:/")):
        location = source / file if ".." not in file.split("/") else Location.of(file)
        if location.exists():
            return location, location.read_bytes()
    location = Location.of(file)
    if not location.exists():
        raise StorageError(f"{file}: neither beneath {source} nor at {location}")
    return location, location.read_bytes()


def _text(location: Location, data: bytes) -> str:
    """Return a file's text: UTF-8, or UTF-16 with its mark, as Windows' shell writes it."""
    marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if marked else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{location}: not UTF-8 text ({error}); save it as UTF-8") from error
