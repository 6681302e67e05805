"""Comparison of what a run's logs say of one domain with the plan of its stream.

The plan says which sample stands at every position of the domain's endless stream; a log says which one was
delivered there.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.audit.sample_ids import SampleIds, hashes_of
from pipelines.ingest.stream import StreamSpec

_MAX_PROBLEMS = 20  # that are named; the others are only counted


@dataclass
class DomainReport:
    """Result of the audit of one domain.

    Attributes:
        domain: name of the domain.
        samples: number of samples of an epoch.
        epochs: number of epochs that were begun; all but the last are finished, and it may be.
        rows: number of deliveries.
        missing: number of samples that finished epochs lack.
        twice: number of samples that came twice in an epoch, finished or not.
        substitutes: number of deliveries that replace a quarantined sample.
        differing: number of differences between logs and plan.
        problems: the first differences in words.
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

    def add_differences(self, count: int, problems: Iterable[str]) -> None:
        """Count differences; take texts of them only as long as there is room for more."""
        self.differing += count
        room = max(0, min(count, _MAX_PROBLEMS - len(self.problems)))
        self.problems += itertools.islice(problems, room)


class DomainAudit:
    """Audit of one domain, which takes its logs in the order of steps.

    Args:
        spec: the domain's stream.
        quarantined: ids of the samples that the run's list of quarantined samples names.
    """

    def __init__(self, spec: StreamSpec, quarantined: set[str]) -> None:
        self._spec = spec
        self._ids = SampleIds(spec)
        self._quarantined = quarantined
        self._report = DomainReport(str(spec.domain), spec.plan.num_samples)
        self._delivered: NDArray[np.uint8] = np.zeros(spec.plan.num_samples, np.uint8)  # in this epoch

    def check(self, table: pa.Table, first_step: int, last_step: int) -> None:
        """Check all log rows of the steps first_step..last_step, given in any order."""
        batch_size = self._spec.batch_size
        base = (first_step - 1) * batch_size
        indices, steps = table["index"].to_numpy(), table["step"].to_numpy()
        outside = (indices < 0) | (indices >= batch_size) | (steps < first_step) | (steps > last_step)
        wrong = table.filter(outside).to_pylist()
        self._report.add_differences(
            len(wrong), (f"step {r['step']}: {r['id']} at place {r['index']} of {batch_size}" for r in wrong)
        )
        table = table.filter(~outside)
        positions = (table["step"].to_numpy() - 1) * batch_size + table["index"].to_numpy() - base
        self._report.rows += len(table)
        self._check_sizes(positions, first_step, last_step)
        self._check_samples(table, positions, base, last_step * batch_size)

    def finish(self) -> DomainReport:
        """Return the report; nothing counts as missing of a last epoch that is unfinished."""
        self._check_twice()
        return self._report

    def _check_sizes(self, positions: NDArray[np.int64], first_step: int, last_step: int) -> None:
        batch_size = self._spec.batch_size
        shape = (last_step - first_step + 1, batch_size)
        counts = np.bincount(positions, minlength=shape[0] * batch_size).reshape(shape)
        empty = first_step + np.flatnonzero(~counts.any(axis=1))
        steps = f"{empty[0]} to {empty[-1]}" if len(empty) else ""
        self._report.add_differences(
            len(empty), (f"step {step} has no sample logged (of {steps})" for step in empty)
        )
        uneven = np.flatnonzero((counts != 1).any(axis=1) & counts.any(axis=1))
        self._report.add_differences(
            len(uneven),
            (
                f"step {first_step + row}: {counts[row].sum()} samples logged, expected {batch_size}, "
                f"at places {np.repeat(np.arange(batch_size), counts[row]).tolist()}"
                for row in uneven
            ),
        )

    def _check_samples(self, table: pa.Table, positions: NDArray[np.int64], base: int, end: int) -> None:
        runs = list(self._spec.plan.runs(base, end))
        planned = np.concatenate([self._ids.samples.numbers(run.references) for run in runs])
        epochs = np.concatenate([np.full(len(run.references), run.epoch) for run in runs])
        delivered = self._delivered_numbers(table, positions, planned)
        wrong = np.flatnonzero(table["epoch"].to_numpy() != epochs[positions])
        self._report.add_differences(
            len(wrong),
            (
                f"step {table['step'][row]}: {table['id'][row]} is logged in epoch {table['epoch'][row]}, "
                f"the plan says {epochs[positions[row]]}"
                for row in wrong.tolist()
            ),
        )
        for epoch in range(epochs[0], epochs[-1] + 1):
            of_epoch = delivered[(epochs[positions] == epoch) & (delivered >= 0)]
            numbers, counts = np.unique(of_epoch, return_counts=True)
            self._delivered[numbers] = np.minimum(2, self._delivered[numbers] + counts)
            self._report.epochs = epoch + 1
            if end >= (epoch + 1) * len(self._delivered):
                self._finish_epoch(epoch)

    def _delivered_numbers(
        self, table: pa.Table, positions: NDArray[np.int64], planned: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return the sample that each row says was delivered or replaced; -1 is not in the data set."""
        replaces = table["substitute_for"].is_valid().to_numpy(zero_copy_only=False)
        self._check_substitutes(table.filter(replaces | (table["tries"].to_numpy() > 0)))
        names = pc.coalesce(table["substitute_for"], table["id"]).to_pylist()
        hashes = hashes_of(names)
        numbers = planned[positions]
        known = self._ids.hashes
        unknown = known[numbers] == 0
        known[numbers[unknown]] = hashes[unknown]
        wrong = np.flatnonzero(hashes != known[numbers])
        actual = self._ids.find(hashes[wrong]) if len(wrong) else numbers[wrong]
        self._report.add_differences(
            len(wrong),
            (
                f"step {table['step'][row]}: {names[row]}"
                f"{' (not in the data set)' if number < 0 else ''} at place {table['index'][row]}, "
                f"the plan says {self._ids.name(int(planned[positions[row]]))}"
                for row, number in zip(wrong.tolist(), actual.tolist(), strict=True)
            ),
        )
        numbers[wrong] = actual
        return numbers

    def _check_substitutes(self, rows: pa.Table) -> None:
        """Check that each is the plan's substitute for a sample that the run's quarantine names."""
        self._report.substitutes += len(rows)
        for row in rows.to_pylist():
            claim = f"step {row['step']}: {row['id']} replaces {row['substitute_for']}"
            if not self._is_planned(row):
                self._report.add_differences(1, [f"{claim}, which is not what the plan says"])
            if row["substitute_for"] not in self._quarantined:
                self._report.add_differences(1, [f"{claim}, which the quarantine list does not name"])

    def _is_planned(self, row: dict[str, Any]) -> bool:
        position = (row["step"] - 1) * self._spec.batch_size + row["index"]
        substitutes = self._spec.plan.substitutes(position, self._spec.batch_size)
        substitute = next(itertools.islice(substitutes, max(0, row["tries"] - 1), None), None)
        if substitute is None or row["tries"] < 1:
            return False
        known = self._ids.hashes[self._ids.samples.numbers(np.array([substitute], np.int32))]
        return bool(known in (0, hashes_of([row["id"]])))

    def _finish_epoch(self, epoch: int) -> None:
        missing = np.flatnonzero(self._delivered == 0)
        self._report.missing += len(missing)
        self._report.add_differences(
            len(missing),
            (f"epoch {epoch}: {self._ids.name(number)} is missing" for number in missing.tolist()),
        )
        self._check_twice()
        self._delivered[:] = 0

    def _check_twice(self) -> None:
        twice = np.flatnonzero(self._delivered > 1)
        self._report.twice += len(twice)
        epoch = self._report.epochs - 1
        self._report.add_differences(
            len(twice), (f"epoch {epoch}: {self._ids.name(number)} came twice" for number in twice.tolist())
        )
