"""The samples that take part in an epoch, numbered in file order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.ingest.permutation import Permutation
from pipelines.ingest.samples import Reference
from pipelines.ingest.union import union_digest
from pipelines.shards.manifest import Manifest
from pipelines.shards.selection import EVERYTHING, Selection


@dataclass(frozen=True)
class SizeClass:
    """Row groups of which the same number of samples takes part.

    Attributes:
        samples: number of samples of each row group.
        row_groups: [G_c,2] (shard index, row group index), in file order.
        offsets: [G_c,samples] offsets of the samples that take part among the selected samples of each row
            group, ascending; None where all of them take part.
    """

    samples: int
    row_groups: NDArray[np.int32]
    offsets: NDArray[np.int32] | None

    def references(self, indices: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return [N*samples,3] references of all samples of the row groups at N indices of the class."""
        groups = np.repeat(self.row_groups[indices], self.samples, axis=0)
        if self.offsets is None:
            offsets = np.tile(np.arange(self.samples, dtype=np.int32), len(indices))
        else:
            offsets = self.offsets[indices].ravel()
        return np.column_stack([groups, offsets])


class SampleTable:
    """The samples that a selection and a limit leave of one or several data sets.

    A limit takes the first samples in an order by hash: of the data sets' content and each sample's place in
    it, since ids are not known before shards are read. So the choice depends neither on the seed nor on where
    the data sets lie; a smaller limit takes a part of what a larger one does; the same pictures in other
    shards give another choice. It needs 8 bytes a chosen sample, and whole row groups are still read.

    Args:
        manifests: manifests of the data sets; shard indices count through all of them.
        selection: the strata that take part.
        limit: number of samples that take part at most; None is no limit.

    Raises:
        ValueError: the selection picks nothing of a data set, or the limit is below 1.
    """

    def __init__(
        self, manifests: Sequence[Manifest], selection: Selection = EVERYTHING, limit: int | None = None
    ) -> None:
        if limit is not None and limit < 1:
            raise ValueError(f"a limit of {limit} samples, expected at least 1")
        selected = np.concatenate([_selected_samples(manifest, selection) for manifest in manifests])
        group_counts = np.concatenate([np.diff(manifest.table.group_starts) for manifest in manifests])
        self._row_groups = _row_groups(manifests)
        self._first_groups = _starts(group_counts)
        self._first_selected = _starts(selected)
        self._chosen = _first_by_hash(int(self._first_selected[-1]), limit, manifests)
        self._first_numbers = (
            self._first_selected
            if self._chosen is None
            else np.searchsorted(self._chosen, self._first_selected)
        )

    @property
    def num_samples(self) -> int:
        """Number of samples of an epoch."""
        return int(self._first_numbers[-1])

    def size_classes(self) -> list[SizeClass]:
        """Return the row groups by the number of their samples, without those that have none."""
        counts = np.diff(self._first_numbers)
        sizes = np.unique(counts[counts > 0]).tolist()
        return [self._size_class(size, np.flatnonzero(counts == size)) for size in sizes]

    def numbers(self, references: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the numbers [N], from 0 in file order, of samples [N,3]."""
        shards, groups, offsets = references.T
        selected = self._first_selected[self._first_groups[shards] + groups] + offsets
        result: NDArray[np.int64] = (
            selected if self._chosen is None else np.searchsorted(self._chosen, selected)
        )
        return result

    def reference(self, number: int) -> Reference:
        """Return the sample with a number."""
        selected = number if self._chosen is None else int(self._chosen[number])
        index = int(np.searchsorted(self._first_selected, selected, side="right")) - 1
        shard, group = self._row_groups[index].tolist()
        return shard, group, selected - int(self._first_selected[index])

    def shard_numbers(self, shard: int) -> slice:
        """Return the numbers of a shard's samples."""
        first, last = self._first_groups[shard : shard + 2]
        return slice(int(self._first_numbers[first]), int(self._first_numbers[last]))

    def chosen_of_shard(self, shard: int, names: list[str]) -> list[str] | None:
        """Return the names of the samples that take part, from those of all selected samples of a shard.

        None where there are not as many names as selected samples.
        """
        first, last = self._first_groups[shard : shard + 2]
        if len(names) != self._first_selected[last] - self._first_selected[first]:
            return None
        chosen = self.chosen_of_shards(shard, shard + 1)
        return names if chosen is None else [names[index] for index in chosen.tolist()]

    def chosen_of_shards(self, start: int, stop: int) -> NDArray[np.int64] | None:
        """Return which samples take part, as indices among all selected samples of the shards start..stop-1.

        None where all of them do.
        """
        if self._chosen is None:
            return None
        first, last = self._first_groups[start], self._first_groups[stop]
        chosen = self._chosen[self._first_numbers[first] : self._first_numbers[last]]
        result: NDArray[np.int64] = chosen - self._first_selected[first]
        return result

    def _size_class(self, size: int, indices: NDArray[np.int64]) -> SizeClass:
        offsets = None
        if self._chosen is not None:
            numbers = self._first_numbers[indices, None] + np.arange(size)
            offsets = (self._chosen[numbers] - self._first_selected[indices, None]).astype(np.int32)
        return SizeClass(size, self._row_groups[indices], offsets)


def _selected_samples(manifest: Manifest, selection: Selection) -> NDArray[np.int64]:
    """Return the number of selected samples of each row group."""
    samples = manifest.table.selected_samples([selection(stratum) for stratum in manifest.strata])
    if not samples.any():
        raise ValueError(
            f"{selection.expression!r} picks nothing of the {manifest.domain} data set; it has "
            f"{manifest.selectable_names()}"
        )
    return samples


def _row_groups(manifests: Sequence[Manifest]) -> NDArray[np.int32]:
    """Return [G,2] (shard index, row group index) of all row groups, in file order."""
    first_shards = _starts(np.array([len(manifest.shards) for manifest in manifests]))
    parts = [manifest.table.group_indices() for manifest in manifests]
    for part, first in zip(parts, first_shards.tolist(), strict=False):
        part[:, 0] += first
    return np.concatenate(parts)


def _first_by_hash(total: int, limit: int | None, manifests: Sequence[Manifest]) -> NDArray[np.int64] | None:
    """Return the places of the chosen samples among all selected ones, ascending; None for all of them."""
    if limit is None or limit >= total:
        return None
    order = Permutation(total, "limit", union_digest(manifests))
    return np.sort(order(np.arange(limit, dtype=np.int64)))


def _starts(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
