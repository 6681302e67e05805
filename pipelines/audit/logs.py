"""The logs of a run's deliveries, in the order of the steps that its final weights descend from."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from charmnet.errors import DataError
from pipelines.runs.attempts import Attempt
from pipelines.runs.delivery_log import AUDIT_SCHEMA
from pipelines.runs.run_folder import AUDIT_FOLDER
from pipelines.runtime.storage import Location


@dataclass(frozen=True)
class Span:
    """The steps after..last (after exclusive) of the history, which one attempt ran."""

    attempt: int
    after: int
    last: int


@dataclass(frozen=True)
class LogFile:
    """
    Attributes:
        first_step: the earliest step in it.
    """

    place: Location
    attempt: int
    rank: int
    first_step: int

    def read(self, columns: list[str] | None = None) -> pa.Table:
        """
        Raises:
            DataError: it is no log of deliveries. StorageError: it cannot be read.
        """
        try:
            table = pq.read_table(io.BytesIO(self.place.read_bytes()))
        except (pa.ArrowException, OSError, ValueError) as error:
            raise DataError(f"{self.place}: not a log of deliveries ({error})") from error
        if not table.schema.equals(AUDIT_SCHEMA):
            raise DataError(f"{self.place}: columns {table.schema.names}, expected {AUDIT_SCHEMA.names}")
        return table if columns is None else table.select(columns)


def log_files(run_folder: Location) -> dict[int, list[LogFile]]:
    """By attempt, ordered by rank and step."""
    files: dict[int, list[LogFile]] = {}
    for place in (run_folder / AUDIT_FOLDER).children():
        try:
            attempt, rank, first_step = map(int, place.name.removesuffix(".parquet").split("-"))
        except ValueError:
            raise DataError(f"{place}: not the name of a log (ATTEMPT-RANK-STEP.parquet)") from None
        files.setdefault(attempt, []).append(LogFile(place, attempt, rank, first_step))
    return {number: sorted(of, key=lambda f: (f.rank, f.first_step)) for number, of in files.items()}


def history(attempts: Mapping[int, Attempt], step: int, number: int | None) -> list[Span]:
    """The spans that lead to a checkpoint, first to last.

    Raises:
        DataError: the chain is broken; says where.
    """
    spans: list[Span] = []
    while step > 0:
        attempt = attempts.get(number) if number is not None else None
        if attempt is None or attempt.start_step >= step:
            raise DataError(
                f"the checkpoint of step {step} says attempt {number}, of which there is no fitting record "
                f"(there are {sorted(attempts)}); it may be of a release that kept none"
            )
        spans.append(Span(attempt.number, attempt.start_step, step))
        step, number = attempt.start_step, attempt.parent
    return spans[::-1]


def rows_of(files: list[LogFile], span: Span, chunk_steps: int) -> Iterator[tuple[int, int, pa.Table]]:
    """(first step, last step, rows) for all steps of a span; holds a chunk and a file of each rank."""
    ranks = [_RankLog([f for f in files if f.rank == rank]) for rank in sorted({f.rank for f in files})]
    for log in ranks:
        log.until(span.after)
    for after in range(span.after, span.last, chunk_steps):
        last = min(after + chunk_steps, span.last)
        yield after + 1, last, pa.concat_tables([AUDIT_SCHEMA.empty_table(), *(r.until(last) for r in ranks)])


def superseded_steps(files: Mapping[int, list[LogFile]], spans: list[Span]) -> int:
    """How many logged steps count for nothing since they were run again."""
    last = {span.attempt: span.last for span in spans}
    steps = 0
    for attempt, logs in files.items():
        lost = [pc.unique(log.read(["step"])["step"]) for log in logs]
        unique = pc.unique(pa.chunked_array(lost, pa.int64()))
        steps += pc.sum(pc.greater(unique, last.get(attempt, 0))).as_py() or 0
    return steps


class _RankLog:
    """One rank's files, read as far as they are asked for."""

    def __init__(self, files: list[LogFile]) -> None:
        self._files = files
        self._rows = AUDIT_SCHEMA.empty_table()

    def until(self, step: int) -> pa.Table:
        """What was not yet given of the steps up to this one."""
        while self._files and self._files[0].first_step <= step:
            self._rows = pa.concat_tables([self._rows, self._files.pop(0).read()])
        given = pc.less_equal(self._rows["step"], step)
        rows, self._rows = self._rows.filter(given), self._rows.filter(pc.invert(given))
        return rows
