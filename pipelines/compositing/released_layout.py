"""Files of pairs in the layout that iHarmony4 was released in."""

from __future__ import annotations

from collections.abc import Iterable

from pipelines.runtime.concurrency import read_ahead
from pipelines.runtime.storage import Location
from pipelines.shards.rows import Row

ListedComposite = tuple[str, str]
"""Split, and path of the composite beneath the data set's folder."""


def write_pairs(folder: Location, rows: Iterable[Row]) -> list[ListedComposite]:
    """Write composite, mask and ground truth of each row beneath `<subset>/`.

    Rows share masks and ground truths; each file is written once.

    Args:
        folder: folder of the data set.
        rows: pairs of the real domain, whose ids are `<subset>/<image>_<mask>_<variant>`.

    Returns:
        The written composites in the rows' order, for `write_lists`.

    Raises:
        StorageError: the folder cannot be written.
    """
    listed: list[ListedComposite] = []
    written: set[str] = set()

    def new_files() -> Iterable[tuple[str, bytes]]:
        for row in rows:
            files = _files(row)
            listed.extend((split, next(iter(files))) for split in row["splits"])
            for path, data in files.items():
                if path not in written:
                    written.add(path)
                    yield path, data

    for _ in read_ahead(lambda file: (folder / file[0]).write_bytes(file[1]), new_files()):
        pass
    return listed


def write_lists(folder: Location, listed: Iterable[ListedComposite]) -> None:
    """Write `<split>.txt` for each split, its paths sorted."""
    by_split: dict[str, list[str]] = {}
    for split, path in listed:
        by_split.setdefault(split, []).append(path)
    for split, paths in by_split.items():
        (folder / f"{split}.txt").write_bytes("".join(f"{path}\n" for path in sorted(paths)).encode())


def _files(row: Row) -> dict[str, bytes]:
    subset, _, name = row["id"].rpartition("/")
    mask_name = name.rpartition("_")[0]
    return {
        f"{subset}/composite_images/{name}.jpg": row["composite"],
        f"{subset}/masks/{mask_name}.png": row["foreground_mask"],
        f"{subset}/real_images/{mask_name.rpartition('_')[0]}.jpg": row["ground_truth"],
    }
