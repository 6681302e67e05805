"""Files of a folder that a user names: links are followed, and what systems leave behind is passed over."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath

from charmnet.errors import StorageError
from pipelines.runtime.storage import Location

logger = logging.getLogger(__name__)

_ATTRIBUTES_OF_FILES = "._"  # macOS: what its own file systems keep beside a file's content
_LITTER = frozenset(
    name.lower()
    for name in (
        *(".DS_Store", "__MACOSX", ".AppleDouble", ".Spotlight-V100", ".Trashes", ".fseventsd"),  # macOS
        *(".DocumentRevisions-V100", ".TemporaryItems", ".AppleDB", ".AppleDesktop", ".localized", "Icon\r"),
        *("Network Trash Folder", "Temporary Items"),
        *("Thumbs.db", "ehthumbs.db", "desktop.ini", "$RECYCLE.BIN", "System Volume Information"),  # Windows
        *("@eaDir", "#recycle", "#snapshot"),  # NAS
        *("@Recycle", "@Recently-Snapshot", ".@__thumb", "@__thumb"),
        *(".snapshot", ".zfs", ".stversions", ".dropbox.cache"),  # copies of earlier versions
        *(".ipynb_checkpoints", ".thumbnails", ".directory", "lost+found", ".Trash"),  # notebooks, desktops
        *(".picasaoriginals", ".picasa.ini", "Picasa.ini", ".git"),
    )
)
# Locks of office programs, the bins of Linux, files that are in use or unfinished, and Windows' marks.
_LITTER_PATTERN = re.compile(
    r"\.~lock\..*#|~\$.*|\.Trash-\d+|\.nfs[0-9a-f]+|\.fuse_hidden[0-9a-f]+|\.goutputstream-\w+"
    r"|.*:Zone\.Identifier|\.syncthing\..*\.tmp|\..*\.sw[a-p]"
)
_SHOWN = 3

PICTURES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff"),
        *(".avif", ".heic", ".heif"),
        *(".gif", ".jp2", ".j2k", ".jpx", ".jxl", ".psd", ".tga", ".ppm", ".pgm", ".exr", ".hdr", ".svg"),
        *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"),
    )
)
"""Suffixes of pictures and raw photographs, whoever reads them."""

ARCHIVES = frozenset((".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".zip", ".7z", ".rar"))
"""Suffixes of archives and of what is compressed."""


def is_litter(path: str) -> bool:
    """Tell whether a relative path is, or lies in, what macOS, Windows, a NAS or a notebook leaves behind."""
    return any(
        part.startswith(_ATTRIBUTES_OF_FILES)
        or part.lower() in _LITTER
        or _LITTER_PATTERN.fullmatch(part) is not None
        for part in path.split("/")
    )


def warn_of_others(
    location: Location, paths: Iterable[str], read: Collection[str], kind: Collection[str] = PICTURES
) -> None:
    """Name files that a command leaves out although they are of the kind that it reads.

    Args:
        location: the user's folder.
        paths: paths of its files.
        read: suffixes that are read, in small letters.
        kind: all suffixes of the kind.
    """
    suffixes = ((path, PurePosixPath(path).suffix.lower()) for path in paths)
    others = [path for path, suffix in suffixes if suffix in kind and suffix not in read]
    if others:
        logger.warning(
            "%s: files of formats that are not read here are left out (%d): %s; expected %s",
            location, len(others), ", ".join(others[:_SHOWN]), ", ".join(read),
        )  # fmt: skip


def walk_user_files(location: Location) -> list[str]:
    """Return the relative paths of all files beneath a user's folder, sorted, without litter.

    In a local folder links to files and folders are followed; one that leads back to a folder around it is
    not entered again. Links that lead nowhere are named in a warning.

    Raises:
        StorageError: the store cannot be reached, or a local folder cannot be listed.
    """
    root = location.local_path
    if root is None or not root.is_dir():
        return [path for path in location.walk_files() if not is_litter(path)]
    files: list[str] = []
    dangling: list[str] = []
    try:
        _walk(root, "", tuple(_identity(folder) for folder in (root, *root.parents)), files, dangling)
    except OSError as error:
        raise StorageError(f"{error.filename}: cannot be listed ({error.strerror})") from error
    if dangling:
        names = ", ".join(sorted(dangling)[:_SHOWN])
        logger.warning("%s: links that lead nowhere are left out (%d): %s", location, len(dangling), names)
    return sorted(files)


def _walk(
    folder: Path, prefix: str, around: tuple[tuple[int, int], ...], files: list[str], dangling: list[str]
) -> None:
    """Collect the files and dangling links of a folder.

    Args:
        folder: the folder.
        prefix: its path beneath the user's folder, with a slash at its end.
        around: the folder itself and those around it.
        files: receives the paths of files.
        dangling: receives the paths of links that lead nowhere.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            path = f"{prefix}{entry.name}"
            if is_litter(entry.name):
                continue
            if entry.is_symlink() and not Path(entry.path).exists():
                dangling.append(path)
            elif entry.is_dir():
                identity = _identity(Path(entry.path))
                if identity not in around:
                    _walk(Path(entry.path), f"{path}/", (*around, identity), files, dangling)
            elif entry.is_file():
                files.append(path)


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino
