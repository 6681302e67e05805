"""Files of a folder that a user names: links are followed, and what systems leave behind is passed over."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from charmnet.errors import StorageError
from pipelines.runtime.storage import Location

logger = logging.getLogger(__name__)

_ATTRIBUTES_OF_FILES = "._"  # macOS: what its own file systems keep beside a file's content
_LITTER = frozenset(
    name.lower()
    for name in (
        *(".DS_Store", "__MACOSX", ".AppleDouble", ".Spotlight-V100", ".Trashes", ".fseventsd"),  # macOS
        *("Thumbs.db", "desktop.ini", "$RECYCLE.BIN", "System Volume Information"),  # Windows
        *("@eaDir", "#recycle", "#snapshot", "@Recycle", ".@__thumb", "@__thumb"),  # network storage
        *(".ipynb_checkpoints", ".thumbnails", ".directory", "lost+found"),  # notebooks and Linux desktops
    )
)
_SHOWN = 3


def is_litter(path: str) -> bool:
    """Tell whether a relative path is, or lies in, what macOS, Windows, a NAS or a notebook leaves behind."""
    parts = path.split("/")
    return any(part.startswith(_ATTRIBUTES_OF_FILES) or part.lower() in _LITTER for part in parts)


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
