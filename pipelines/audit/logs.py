"""Logs of a run's deliveries, in the order of the steps that its final weights descend from."""

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
    """Consecutive steps of the history that one attempt ran.

    Attributes:
        attempt: number of the attempt.
        after: step before the first one.
        last: last step.
    """

    attempt: int
    after: int
    last: int


@dataclass(frozen=True)
class LogFile:
    """File of deliveries that one worker logged.

    Attributes:
        location: where it lies.
        attempt: number of the attempt.
        rank: rank of the worker.
        first_step: earliest step in it.
    """

    location: Location
    attempt: int
    rank: int
    first_step: int

    def read(self, columns: list[str] | None = None) -> pa.Table:
        """Return the file's rows, with all columns or some.

        Raises:
            DataError: the file is no log of deliveries.
            StorageError: the file cannot be read.
        """
        try:
            table = pq.read_table(io.BytesIO(self.location.read_bytes()))
        except (pa.ArrowException, OSError, ValueError) as error:
            raise DataError(f"{self.location}: not a log of deliveries ({error})") from error
        if not table.schema.equals(AUDIT_SCHEMA):
            raise DataError(f"{self.location}: columns {table.schema.names}, expected {AUDIT_SCHEMA.names}")
        return table if columns is None else table.select(columns)


def log_files(run_folder: Location) -> dict[int, list[LogFile]]:
    """Return a run's log files by attempt, ordered by rank and step.

    Raises:
        DataError: a file in the folder has another name than logs have.
        StorageError: the folder cannot be read.
    """
    files: dict[int, list[LogFile]] = {}
    for location in (run_folder / AUDIT_FOLDER).children():
        try:
            attempt, rank, first_step = map(int, location.name.removesuffix(".parquet").split("-"))
        except ValueError:
            raise DataError(f"{location}: not the name of a log (ATTEMPT-RANK-STEP.parquet)") from None
        files.setdefault(attempt, []).append(LogFile(location, attempt, rank, first_step))
    return {
        attempt: sorted(logs, key=lambda log: (log.rank, log.first_step)) for attempt, logs in files.items()
    }


def history(attempts: Mapping[int, Attempt], step: int, number: int | None) -> list[Span]:
    """Return the spans that lead to a checkpoint, first to last.

    Args:
        attempts: attempts of the run by number.
        step: step of the checkpoint.
        number: number of the attempt that saved it; None where the checkpoint does not say.

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
        step = attempt.start_step
        number = attempt.parent
    return spans[::-1]


def rows_of(files: list[LogFile], span: Span, chunk_steps: int) -> Iterator[tuple[int, int, pa.Table]]:
    """Yield the rows of a span in chunks of steps; a chunk and a file of each rank are in memory.

    Yields:
        (first step, last step, rows) of each chunk; the rows are in any order.
    """
    ranks = sorted({file.rank for file in files})
    logs = [_RankLog([file for file in files if file.rank == rank]) for rank in ranks]
    for log in logs:
        log.take_until(span.after)
    for after in range(span.after, span.last, chunk_steps):
        last = min(after + chunk_steps, span.last)
        rows = [AUDIT_SCHEMA.empty_table(), *(log.take_until(last) for log in logs)]
        yield after + 1, last, pa.concat_tables(rows)


def superseded_steps(files: Mapping[int, list[LogFile]], spans: list[Span]) -> int:
    """Return the number of logged steps that count for nothing since they were run again."""
    last = {span.attempt: span.last for span in spans}
    steps = 0
    for attempt, logs in files.items():
        lost = [pc.unique(log.read(["step"])["step"]) for log in logs]
        unique = pc.unique(pa.chunked_array(lost, pa.int64()))
        steps += pc.sum(pc.greater(unique, last.get(attempt, 0))).as_py() or 0
    return steps


class _RankLog:
    """Log files of one rank, each read when its first step is reached."""

    def __init__(self, files: list[LogFile]) -> None:
        self._files = files
        self._rows = AUDIT_SCHEMA.empty_table()

    def take_until(self, step: int) -> pa.Table:
        """Return the rows of the steps up to this one that no earlier call returned."""
        while self._files and self._files[0].first_step <= step:
            self._rows = pa.concat_tables([self._rows, self._files.pop(0).read()])
        reached = pc.less_equal(self._rows["step"], step)
        rows = self._rows.filter(reached)
        self._rows = self._rows.filter(pc.invert(reached))
        return rows
