"""Colours of a data set's foregrounds, from which the composites of photographs are made when they are read.

They lie in one parquet file beside the manifest: a row for each mask in the order of the samples, then those
of masks that are no samples themselves. Which foregrounds lend their colours to which: those of the same
category in other photographs, of the same splits or of `train`. So nothing of a test photograph gets into a
training sample.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from charmnet.arrays import IndexArray, MaskArray, UInt8Array
from charmnet.drawn_recoloring import DRAWN_PALETTE_COLORS, ColorTable, Recoloring, recolor
from charmnet.errors import DataError
from charmnet.vocabulary import Domain
from pipelines.runtime.randomness import seeded_rng
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import COLORS_NAME, ColorsFile, Manifest
from pipelines.shards.reading import Dataset
from pipelines.shards.rows import Row
from pipelines.shards.schema import RowKind
from pipelines.shards.stratum import Stratum

TRAIN = "train"
"""Split whose foregrounds lend their colours to those of every split."""

_SHAPES = {"lab_mean": (3,), "lab_deviation": (3,), "mean": (3,), "covariance": (3, 3)}
_OF_ALL = ("_numbers", "_by_photograph", "_pools")  # what does not depend on who lends
_KEPT = 4  # files of colours that a process holds

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),  # of the sample
        pa.field("photograph", pa.string(), nullable=False),
        pa.field("subset", pa.string(), nullable=False),
        pa.field("category", pa.string()),
        pa.field("splits", pa.list_(pa.string()), nullable=False),
        *(pa.field(name, pa.list_(pa.float64()), nullable=False) for name in _SHAPES),
        pa.field("palette", pa.binary(DRAWN_PALETTE_COLORS * 3), nullable=False),  # RGB
    ]
)


@dataclass(frozen=True)
class ForegroundColors:
    """Colours of F foregrounds of the real domain.

    Attributes:
        ids: ids of their samples.
        photographs: their photographs' identities.
        strata: their rows' strata.
        table: their colours.
        lenders: indices of those that may lend their colours; None for all.
    """

    ids: Sequence[str]
    photographs: Sequence[str]
    strata: Sequence[Stratum]
    table: ColorTable
    lenders: IndexArray | None = None

    def evaluated(self, sample_id: str, variant: int) -> Recoloring:
        """Return the recolourings of a composite that models are evaluated on: ever the same.

        Args:
            sample_id: id of the foreground's sample.
            variant: number of the composite, from 1.

        Raises:
            DataError: see `recoloring`.
        """
        return self.recoloring(sample_id, "evaluation", sample_id, variant)

    def photograph(self, sample_id: str) -> str:
        """Return the identity of a foreground's photograph, which views of a photograph share.

        Raises:
            DataError: the foreground is unknown.
        """
        return self.photographs[self._number(sample_id)]

    def recoloring(self, sample_id: str, *key: Any) -> Recoloring:
        """Draw the recolourings of a foreground.

        Args:
            sample_id: id of its sample.
            key: what the draws depend on.

        Raises:
            DataError: the foreground is unknown, or no other photograph has colours for it.
        """
        own = self._number(sample_id)
        pool, left_out = self._candidates(own)
        if len(pool) == len(left_out):
            raise DataError(no_reference(self.strata[own].category))
        return Recoloring.draw(seeded_rng(*key), self.table, own, pool, left_out)

    def lent_by(self, lenders: IndexArray) -> ForegroundColors:
        """Return the same colours, of which only some are lent; what is known of all is shared."""
        lent = replace(self, lenders=lenders)
        vars(lent).update({name: getattr(self, name) for name in _OF_ALL})
        return lent

    def _number(self, sample_id: str) -> int:
        number = self._numbers.get(sample_id)
        if number is None:
            raise DataError(f"its colours are missing in {COLORS_NAME}")
        return number

    def _candidates(self, own: int) -> tuple[IndexArray, IndexArray]:
        """Return foregrounds that lend their colours to one, and the places in it of its own photograph's.

        Where no lender has any for it, the others lend, too: a limit must not make samples undecodable.
        """
        stratum = self.strata[own]
        same_photograph = self._of_photograph(own)
        lent = self._lent_pools[stratum]
        left_out = _places_of(same_photograph, lent)
        if len(lent) > len(left_out):
            return lent, left_out
        pool = self._pools[stratum]
        return pool, _places_of(same_photograph, pool)

    def _of_photograph(self, own: int) -> IndexArray:
        """Return the indices of all foregrounds of a foreground's photograph, ascending."""
        numbers, order, starts = self._by_photograph
        first, last = starts[numbers[own] : numbers[own] + 2]
        return order[first:last]

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {sample_id: number for number, sample_id in enumerate(self.ids)}

    @cached_property
    def _by_photograph(self) -> tuple[IndexArray, IndexArray, IndexArray]:
        """The photograph's number of each foreground, the foregrounds by it, and where each begins there."""
        _, numbers, counts = np.unique(np.array(self.photographs), return_inverse=True, return_counts=True)
        return numbers, np.argsort(numbers, kind="stable"), np.concatenate([[0], np.cumsum(counts)])

    @cached_property
    def _pools(self) -> dict[Stratum, IndexArray]:
        """The foregrounds that lend their colours to those of each stratum."""
        members: dict[Stratum, list[int]] = {}
        for number, stratum in enumerate(self.strata):
            members.setdefault(stratum, []).append(number)

        def pool(taker: Stratum) -> Iterator[int]:
            for lender, numbers in members.items():
                same_splits = lender.splits == taker.splits or TRAIN in lender.splits
                if lender.category == taker.category and same_splits:
                    yield from numbers

        return {stratum: np.array(sorted(pool(stratum)), np.int64) for stratum in members}

    @cached_property
    def _lent_pools(self) -> dict[Stratum, IndexArray]:
        """Those of the pools that are among the lenders."""
        if self.lenders is None:
            return self._pools
        lends = np.zeros(len(self.ids), bool)
        lends[self.lenders] = True
        return {stratum: pool[lends[pool]] for stratum, pool in self._pools.items()}

    def write(self, folder: Location, per_mask: int) -> ColorsFile:
        """Write the colours into a data set's folder.

        Args:
            folder: the folder.
            per_mask: see `ColorsFile`.

        Raises:
            StorageError: the store cannot be reached.
        """
        columns = {
            "id": list(self.ids),
            "photograph": list(self.photographs),
            "subset": [stratum.subset for stratum in self.strata],
            "category": [stratum.category for stratum in self.strata],
            "splits": [list(stratum.splits) for stratum in self.strata],
            **{name: list(getattr(self.table, name).reshape(len(self.ids), -1)) for name in _SHAPES},
            "palette": [palette.tobytes() for palette in self.table.palettes],
        }
        stream = io.BytesIO()
        pq.write_table(pa.table(columns, SCHEMA), stream, compression="none", write_page_checksum=True)
        data = stream.getvalue()
        (folder / COLORS_NAME).write_bytes(data)
        return ColorsFile(COLORS_NAME, len(data), hashlib.sha256(data).hexdigest(), per_mask)


def _places_of(members: IndexArray, pool: IndexArray) -> IndexArray:
    """Return the places in a pool of those members that are in it; both are ascending."""
    places = np.searchsorted(pool, members)
    return places[np.searchsorted(pool, members, side="right") > places]


def no_reference(category: str | None) -> str:
    """Return the reason why a foreground of a category has no composite."""
    kind = "" if category is None else f" of category {category!r}"
    return f"no reference: no other photograph with a foreground{kind}"


def colors_of(dataset: Dataset) -> ForegroundColors:
    """Return the colours of a data set of photographs; a process reads a file once.

    Raises:
        DataError, StorageError: see `read_colors`.
    """
    return _read_once(dataset.location, dataset.manifest.colors)


def read_colors(dataset: Dataset) -> ForegroundColors:
    """Read the colours of a data set of photographs.

    Raises:
        DataError: the data set has none, or the file is not what the manifest says.
        StorageError: the file is gone, or its store does not answer.
    """
    return _read(dataset.location, dataset.manifest.colors)


def with_colors(dataset: Dataset, row: Row) -> Row:
    """Return a row of a data set with what its composites are made of, if they are made when it is read.

    Rows of photographs get `colors`, a `ForegroundColors`, and `per_mask`, the number of composites of each
    mask that are evaluated.

    Raises:
        DataError, StorageError: see `colors_of`.
    """
    if dataset.manifest.kind is not RowKind.PHOTOGRAPH:
        return row
    return {**row, "colors": colors_of(dataset), "per_mask": per_mask(dataset.manifest)}


def evaluated_composite(
    row: Row, sample_id: str, variant: int, image: UInt8Array, mask: MaskArray
) -> UInt8Array:
    """Return a composite of a photograph that models are evaluated on.

    Args:
        row: row of the photograph, as `with_colors` gives it.
        sample_id: id of the foreground's sample.
        variant: number of the composite, from 1.
        image: the photograph.
        mask: the foreground's mask.

    Raises:
        DataError: see `ForegroundColors.recoloring`.
    """
    colors: ForegroundColors = row["colors"]
    return recolor(image, mask * np.uint8(255), colors.evaluated(sample_id, variant))


def per_mask(manifest: Manifest) -> int:
    """Return the number of composites of each mask that are evaluated; 1 where the manifest names none."""
    return 1 if manifest.colors is None else manifest.colors.per_mask


@lru_cache(maxsize=_KEPT)
def _read_once(folder: Location, file: ColorsFile | None) -> ForegroundColors:
    return _read(folder, file)


def _read(folder: Location, file: ColorsFile | None) -> ForegroundColors:
    if file is None:
        raise DataError(f"{folder}: the manifest names no {COLORS_NAME}; make the data set again")
    location = folder / file.path
    data = location.read_bytes()
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise DataError(
            f"{location}: {len(data):,} bytes with another checksum than the manifest says; restore the file "
            "or make the data set again"
        )
    return parse(data, str(location))


def parse(data: bytes, path: str) -> ForegroundColors:
    """Return the colours in a file that `ForegroundColors.write` wrote.

    Raises:
        DataError: it is not such a file.
    """
    try:
        table = pq.read_table(io.BytesIO(data), page_checksum_verification=True)
        rows = len(table)
        floats = {
            name: np.asarray(table[name].combine_chunks().flatten()).reshape(rows, *shape)
            for name, shape in _SHAPES.items()
        }
        palettes = np.frombuffer(b"".join(table["palette"].to_pylist()), np.uint8)
    except (pa.ArrowException, ValueError, OSError, LookupError, MemoryError) as error:
        raise DataError(f"{path}: no file of foregrounds' colours ({error})") from error
    finite = all(np.isfinite(values).all() for values in floats.values())
    if not rows or not table.schema.equals(SCHEMA) or not finite:
        raise DataError(
            f"{path}: {rows} rows of {table.schema.names}, expected finite numbers in {SCHEMA.names}"
        )
    strata = zip(*(table[name].to_pylist() for name in ("subset", "category", "splits")), strict=True)
    return ForegroundColors(
        ids=table["id"].to_pylist(),
        photographs=table["photograph"].to_pylist(),
        strata=[Stratum(Domain.REAL, subset, category, tuple(splits)) for subset, category, splits in strata],
        table=ColorTable(**floats, palettes=palettes.reshape(rows, DRAWN_PALETTE_COLORS, 3)),
    )
