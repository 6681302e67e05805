"""Proving from a run's logs that its weights descend from every sample of each epoch once.

The plan says which sample stands at every position of a domain's endless stream; a log says which was
delivered there. Sample ids are held as 64-bit hashes, one for each sample of an epoch, and read from the
shards' own column of ids. Archives would have to be fetched whole for theirs: there the first delivery of a
sample tells its id, and later ones have to agree.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from charmnet.errors import DataError
from pipelines.ingest.epoch_plan import Reference
from pipelines.ingest.row_group_reader import reference_name
from pipelines.ingest.samples import RowGroupSamples, id_columns, sample_ids
from pipelines.ingest.stream import StreamSpec
from pipelines.runtime.concurrency import read_ahead
from pipelines.shards.manifest import Container
from pipelines.shards.reading import selected_counts

_NAMED = 20


@dataclass
class DomainReport:
    """
    Attributes:
        samples: of an epoch. epochs: that were begun; all but the last are finished, and it may be.
        rows: delivered. missing, twice: samples in finished epochs, and twice in the last one too.
        substitutes: deliveries that stand for a quarantined sample.
        differing: how often something was not as it should be; problems: the first of them in words.
    """

    domain: str
    samples: int
    epochs: int = 0
    rows: int = 0
    missing: int = 0
    twice: int = 0
    substitutes: int = 0
    differing: int = 0
    problems: list[str] = field(default_factory=list)

    def differ(self, count: int, problems: Iterable[str]) -> None:
        """Counts what differs; of the problems so many are asked for as are still named."""
        self.differing += count
        self.problems += itertools.islice(problems, max(0, min(count, _NAMED - len(self.problems))))


class SampleIds:
    """The samples of an epoch by number, in file order, with the hashes of their ids (0 is not known yet)."""

    def __init__(self, spec: StreamSpec) -> None:
        self.spec = spec
        manifest = spec.dataset.manifest
        groups = [len(shard.row_groups) for shard in manifest.shards]
        samples = [selected_counts(manifest, group, spec.selection)[1] for _, _, group in manifest.groups()]
        self.first_group = np.cumsum([0, *groups])
        self.starts = np.cumsum([0, *samples])
        self.hashes = np.zeros(self.starts[-1], np.uint64)
        self._sorted: NDArray[np.int64] | None = None
        if manifest.container is Container.PARQUET:
            shards = range(len(manifest.shards))
            for shard, ids in zip(shards, read_ahead(self._shard_ids, shards), strict=True):
                self._enter(self.first_group[shard], self.first_group[shard + 1], ids)

    def numbers(self, references: NDArray[np.int32]) -> NDArray[np.int64]:
        """[N] of [N,3] references of the plan."""
        shards, groups, offsets = references.T
        return self.starts[self.first_group[shards] + groups] + offsets

    def find(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The numbers of the samples with these hashes; -1 where there is none."""
        if self._sorted is None:  # mostly nobody asks
            self._sorted = np.argsort(self.hashes)
        places = np.searchsorted(self.hashes, hashes, sorter=self._sorted).clip(max=len(self.hashes) - 1)
        numbers = self._sorted[places]
        return np.where(self.hashes[numbers] == hashes, numbers, -1)

    def reference(self, number: int) -> Reference:
        group = int(np.searchsorted(self.starts, number, side="right")) - 1
        shard = int(np.searchsorted(self.first_group, group, side="right")) - 1
        return shard, group - int(self.first_group[shard]), number - int(self.starts[group])

    def name(self, number: int) -> str:
        """The id, or where the sample is if that cannot be read."""
        shard, group, offset = self.reference(number)
        try:
            samples = RowGroupSamples(self.spec.dataset, self.spec.selection, shard, group, ids_only=True)
            return samples.id(offset)
        except DataError:
            return reference_name(self.spec, (shard, group, offset))

    def _shard_ids(self, shard: int) -> list[str] | None:
        """Of all its selected samples; None where the columns cannot be read whole."""
        dataset = self.spec.dataset
        try:
            table = dataset.read_columns(shard, id_columns(dataset.manifest.kind))
        except DataError:
            return None
        return sample_ids(table, dataset.manifest.kind, dataset.selected_rows(table, self.spec.selection))

    def _enter(self, first_group: int, last_group: int, ids: list[str] | None) -> None:
        begin, end = self.starts[first_group], self.starts[last_group]
        if ids is not None and len(ids) == end - begin:
            self.hashes[begin:end] = hashes_of(ids)


class DomainAudit:
    """Takes the logs of one domain in the order of steps.

    Args:
        quarantined: ids of the samples that the run's list names.
    """

    def __init__(self, spec: StreamSpec, quarantined: set[str]) -> None:
        self.spec, self.ids, self.quarantined = spec, SampleIds(spec), quarantined
        self.report = DomainReport(str(spec.domain), spec.plan.num_samples)
        self._delivered = np.zeros(spec.plan.num_samples, np.uint8)  # of the epoch that is being read

    def check(self, table: pa.Table, first_step: int, last_step: int) -> None:
        """All rows that count for the steps first..last, in any order."""
        batch_size = self.spec.batch_size
        base = (first_step - 1) * batch_size
        places, steps = table["index"].to_numpy(), table["step"].to_numpy()
        outside = (places < 0) | (places >= batch_size) | (steps < first_step) | (steps > last_step)
        wrong = table.filter(outside).to_pylist()
        self.report.differ(
            len(wrong), (f"step {r['step']}: {r['id']} at place {r['index']} of {batch_size}" for r in wrong)
        )
        table = table.filter(~outside)
        positions = (table["step"].to_numpy() - 1) * batch_size + table["index"].to_numpy() - base
        self.report.rows += len(table)
        self._check_sizes(positions, first_step, last_step)
        self._check_samples(table, positions, base, last_step * batch_size)

    def finish(self) -> DomainReport:
        """The last epoch may be unfinished: nothing is missing of it."""
        self._check_twice()
        return self.report

    def _check_sizes(self, positions: NDArray[np.int64], first_step: int, last_step: int) -> None:
        batch_size = self.spec.batch_size
        shape = (last_step - first_step + 1, batch_size)
        counts = np.bincount(positions, minlength=shape[0] * batch_size).reshape(shape)
        empty = first_step + np.flatnonzero(~counts.any(axis=1))
        steps = f"{empty[0]} to {empty[-1]}" if len(empty) else ""
        self.report.differ(len(empty), (f"step {step} has no sample logged (of {steps})" for step in empty))
        uneven = np.flatnonzero((counts != 1).any(axis=1) & counts.any(axis=1))
        self.report.differ(
            len(uneven),
            (
                f"step {first_step + row}: {counts[row].sum()} samples logged, expected {batch_size}, "
                f"at places {np.repeat(np.arange(batch_size), counts[row]).tolist()}"
                for row in uneven
            ),
        )

    def _check_samples(self, table: pa.Table, positions: NDArray[np.int64], base: int, end: int) -> None:
        runs = list(self.spec.plan.runs(base, end))
        planned = np.concatenate([self.ids.numbers(run.references) for run in runs])
        epochs = np.concatenate([np.full(len(run.references), run.epoch) for run in runs])
        delivered = self._delivered_numbers(table, positions, planned)
        wrong = np.flatnonzero(table["epoch"].to_numpy() != epochs[positions])
        self.report.differ(
            len(wrong),
            (
                f"step {table['step'][row]}: {table['id'][row]} is logged in epoch {table['epoch'][row]}, "
                f"the plan says {epochs[positions[row]]}"
                for row in wrong.tolist()
            ),
        )
        for epoch in range(epochs[0], epochs[-1] + 1):
            here = delivered[(epochs[positions] == epoch) & (delivered >= 0)]
            numbers, counts = np.unique(here, return_counts=True)
            self._delivered[numbers] = np.minimum(2, self._delivered[numbers] + counts)
            self.report.epochs = epoch + 1
            if end >= (epoch + 1) * len(self._delivered):
                self._finish_epoch(epoch)

    def _delivered_numbers(
        self, table: pa.Table, positions: NDArray[np.int64], planned: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """[rows]: the sample that each row says was delivered or stood for; -1 is none of the data set."""
        substitutes = table["substitute_for"].is_valid().to_numpy(False) | (table["tries"].to_numpy() > 0)
        self._check_substitutes(table.filter(substitutes))
        names = pc.coalesce(table["substitute_for"], table["id"]).to_pylist()
        hashes, numbers = hashes_of(names), planned[positions]
        unknown = self.ids.hashes[numbers] == 0
        self.ids.hashes[numbers[unknown]] = hashes[unknown]
        wrong = np.flatnonzero(hashes != self.ids.hashes[numbers])
        found = self.ids.find(hashes[wrong]) if len(wrong) else numbers[wrong]
        self.report.differ(
            len(wrong),
            (
                f"step {table['step'][row]}: {names[row]}"
                f"{' (not in the data set)' if number < 0 else ''} at place {table['index'][row]}, "
                f"the plan says {self.ids.name(int(planned[positions[row]]))}"
                for row, number in zip(wrong.tolist(), found.tolist(), strict=True)
            ),
        )
        numbers[wrong] = found
        return numbers

    def _check_substitutes(self, rows: pa.Table) -> None:
        """Each is the substitute that the plan says, for a sample that the run's list names."""
        self.report.substitutes += len(rows)
        for row in rows.to_pylist():
            said = f"step {row['step']}: {row['id']} stands for {row['substitute_for']}"
            if not self._is_planned(row):
                self.report.differ(1, [f"{said}, which is not what the plan says"])
            if row["substitute_for"] not in self.quarantined:
                self.report.differ(1, [f"{said}, which the quarantine list does not name"])

    def _is_planned(self, row: dict[str, Any]) -> bool:
        position = (row["step"] - 1) * self.spec.batch_size + row["index"]
        substitutes = self.spec.plan.substitutes(position, self.spec.batch_size)
        substitute = next(itertools.islice(substitutes, max(0, row["tries"] - 1), None), None)
        if substitute is None or row["tries"] < 1:
            return False
        known = self.ids.hashes[self.ids.numbers(np.array([substitute], np.int32))]
        return bool(known in (0, hashes_of([row["id"]])))

    def _finish_epoch(self, epoch: int) -> None:
        missing = np.flatnonzero(self._delivered == 0)
        self.report.missing += len(missing)
        self.report.differ(
            len(missing),
            (f"epoch {epoch}: {self.ids.name(index)} is missing" for index in missing.tolist()),
        )
        self._check_twice()
        self._delivered[:] = 0

    def _check_twice(self) -> None:
        twice = np.flatnonzero(self._delivered > 1)
        self.report.twice += len(twice)
        epoch = self.report.epochs - 1
        self.report.differ(
            len(twice), (f"epoch {epoch}: {self.ids.name(index)} came twice" for index in twice.tolist())
        )


def hashes_of(ids: Iterable[str]) -> NDArray[np.uint64]:
    """64 bits each, never 0."""
    digests = b"".join(hashlib.blake2b(text.encode(), digest_size=8).digest() for text in ids)
    return np.maximum(np.frombuffer(digests, np.uint64), np.uint64(1))
