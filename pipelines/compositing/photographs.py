"""Photographs with their masks, kept once, from which composites are made when they are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import cv2

from charmnet.codecs import encode_mask
from charmnet.drawn_recoloring import ColorTable
from charmnet.errors import DataError
from charmnet.vocabulary import Domain
from pipelines.compositing.composer import explain_refusals
from pipelines.compositing.foregrounds import SPLITS, MeasuredForeground
from pipelines.compositing.measuring import MeasuredSource
from pipelines.conversion.entries import check_size
from pipelines.runtime.concurrency import read_ahead
from pipelines.runtime.randomness import hash_order
from pipelines.runtime.storage import Location
from pipelines.shards.foreground_colors import ForegroundColors
from pipelines.shards.manifest import Manifest
from pipelines.shards.reading import Dataset
from pipelines.shards.rejection import Rejection
from pipelines.shards.rows import Row, check_pictures, photograph_row
from pipelines.shards.schema import RowKind
from pipelines.shards.stratum import Stratum
from pipelines.shards.writer import WrittenShard, write_parquet

RowIndices = tuple[int, ...]
"""The foregrounds of one row, by their position among all that are measured."""

_AT_ONCE = 2  # one photograph is fetched while another is checked
_DRAWS = 2  # of tries, of which one has to suit: of 32 alone, none may by chance


@dataclass(frozen=True)
class PhotographsTask:
    """A shard of photographs.

    Attributes:
        source: the measured foregrounds.
        rows: foregrounds of each row of this shard.
    """

    source: MeasuredSource
    rows: tuple[RowIndices, ...]

    def write(self, destination: Location, path: str) -> WrittenShard:
        """Write the shard at `path` beneath the destination."""
        cv2.setNumThreads(0)  # tasks are the parallelism
        measured = self.source.measured()
        colors = foreground_colors(measured, self.source.subset)

        def make(row: RowIndices) -> list[Row | Rejection]:
            return list(self._row([measured[index] for index in row], colors))

        rows = (entry for made in read_ahead(make, self.rows, _AT_ONCE) for entry in made)
        return write_parquet(destination, path, RowKind.PHOTOGRAPH, Domain.REAL, rows)

    def _row(
        self, entries: Sequence[MeasuredForeground], colors: ForegroundColors
    ) -> Iterator[Row | Rejection]:
        """Yield a row with the usable ones of a photograph's foregrounds, and a rejection for each other."""
        first = entries[0].foreground
        subset, folders = self.source.subset, self.source.folders
        masks: dict[str, bytes] = {}
        photograph = b""
        for entry in entries:
            foreground = entry.foreground
            sample_id = f"{subset}/{foreground.name}"
            try:
                self._check_recolorable(sample_id, colors)
                image, mask, _ = folders.read(foreground)
                photograph = photograph or folders.stored_photograph(foreground, image)
                masks[sample_id] = encode_mask(mask)
            except DataError as error:
                yield Rejection(foreground.name, foreground.mask, str(error))
        if not masks:
            return
        stratum = Stratum(Domain.REAL, subset, first.category, (first.split,))
        row_id = photograph_id(subset, entries[0])
        try:
            row = photograph_row(row_id, stratum, photograph, masks)
            check_pictures(row)
            check_size(row)
            yield row
        except DataError as error:
            yield Rejection(row_id, first.photo, str(error), len(masks))

    def _check_recolorable(self, sample_id: str, colors: ForegroundColors) -> None:
        """Refuse a foreground whose colours no try changes acceptably."""
        key = ("compose-real", self.source.seed, sample_id)
        draws = (colors.recoloring(sample_id, *key, number) for number in range(_DRAWS))
        reasons: Counter[str] = Counter()
        for attempt in chain.from_iterable(draw.attempts() for draw in draws):
            if attempt.reason is None:
                return
            reasons[attempt.reason] += 1
        raise DataError(explain_refusals(reasons))


def photograph_id(subset: str, entry: MeasuredForeground) -> str:
    """Return the id of the row of a foreground's photograph and category."""
    foreground = entry.foreground
    name = f"{subset}/{foreground.name.rpartition('_')[0]}"
    return name if foreground.category is None else f"{name}:{foreground.category}"


def foreground_colors(measured: Sequence[MeasuredForeground], subset: str) -> ForegroundColors:
    """Return the colours of measured foregrounds, at least one, in their order."""
    foregrounds = [entry.foreground for entry in measured]
    return ForegroundColors(
        ids=[f"{subset}/{foreground.name}" for foreground in foregrounds],
        photographs=[foreground.photograph for foreground in foregrounds],
        strata=[
            Stratum(Domain.REAL, subset, foreground.category, (foreground.split,))
            for foreground in foregrounds
        ],
        table=ColorTable.of([entry.statistics for entry in measured], [entry.palette for entry in measured]),
    )


def rows_in_shards(
    measured: Sequence[MeasuredForeground], size: int, row_of: Callable[[MeasuredForeground], str]
) -> Iterator[tuple[RowIndices, ...]]:
    """Yield the rows of each shard: one split's each, in an order that mixes neighbours.

    Args:
        measured: usable foregrounds.
        size: about how many foregrounds a shard holds.
        row_of: returns the name of a foreground's row.
    """
    by_row: dict[tuple[str, str], list[int]] = {}
    for index, entry in enumerate(measured):
        by_row.setdefault((entry.foreground.split, row_of(entry)), []).append(index)
    for split in SPLITS:
        rows = [key for key in by_row if key[0] == split]
        shard: list[RowIndices] = []
        for row in hash_order([name for _, name in rows]):
            shard.append(tuple(by_row[rows[row]]))
            if sum(map(len, shard)) >= size:
                yield tuple(shard)
                shard = []
        if shard:
            yield tuple(shard)


def write_colors(
    folder: Location, manifest: Manifest, measured: Iterable[MeasuredForeground], per_mask: int
) -> Manifest:
    """Write the colours of a data set's foregrounds and return its manifest with their file.

    Args:
        folder: folder of the data set, whose shards are written.
        manifest: manifest of the shards.
        measured: usable foregrounds, among them all that the shards hold.
        per_mask: composites of each mask that are evaluated.

    Raises:
        StorageError: the store cannot be reached.
    """
    dataset = Dataset(folder, manifest)
    columns = ["subset", "foreground_ids"]
    tables = read_ahead(lambda shard: dataset.read_columns(shard, columns), range(len(manifest.shards)))
    stored = [
        (row["subset"], sample_id)
        for table in tables
        for row in table.to_pylist()
        for sample_id in row["foreground_ids"]
    ]
    subset = stored[0][0]
    by_id = {f"{subset}/{entry.foreground.name}": entry for entry in measured}
    in_order = [by_id.pop(sample_id) for _, sample_id in stored]
    colors = foreground_colors([*in_order, *by_id.values()], subset)  # rejected ones lend their colours, too
    return replace(manifest, colors=colors.write(folder, per_mask))
