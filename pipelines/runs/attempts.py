"""Starts of a run's worker group, numbered: which of them a step counts for.

A checkpoint says which attempt saved it, and an attempt which one's checkpoint it went on from: that chain is
the history which the final weights descend from. Steps that were run and lost are those of no link of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from charmnet.errors import StorageError
from charmnet.vocabulary import Domain
from pipelines.ingest.union import DatasetUnion
from pipelines.runs.run_folder import ATTEMPTS_FOLDER
from pipelines.runtime.storage import Location
from pipelines.shards.reading import Dataset


@dataclass(frozen=True)
class Attempt:
    """A start of a run's worker group.

    Attributes:
        number: number from 1, ascending.
        start_step: step of the checkpoint that it goes on from, or 0.
        parent: number of the attempt that saved that checkpoint, if one did.
        workers: number of workers.
        audited: whether it logs the samples that are delivered.
        datasets: URI of the data set by domain; a list of them where the stream is a union.
    """

    number: int
    start_step: int
    parent: int | None
    workers: int
    audited: bool
    datasets: dict[str, str | list[str]]


def begin_attempt(
    run_folder: Location,
    start_step: int,
    *,
    parent: int | None,
    workers: int,
    audited: bool,
    datasets: Mapping[Domain, Dataset | DatasetUnion],
) -> Attempt:
    """Write down a run's next attempt; one process of a worker group does this.

    Args:
        run_folder: folder of the run, in which `attempts/` lies.
        start_step: step of the checkpoint that it goes on from, or 0.
        parent: number of the attempt that saved that checkpoint, if one did.
        workers: number of workers.
        audited: whether it logs the samples that are delivered.
        datasets: data set or union by domain.

    Raises:
        StorageError: the run's folder cannot be used.
    """
    taken = [path.name for path in (run_folder / ATTEMPTS_FOLDER).children()]
    number = max((int(name[:6]) for name in taken if name[:6].isdecimal()), default=0) + 1
    uris: dict[str, str | list[str]] = {}
    for domain, dataset in datasets.items():
        members = DatasetUnion.of(dataset).uris
        uris[domain.value] = members[0] if len(members) == 1 else members
    attempt = Attempt(number, start_step, parent, workers, audited, uris)
    (run_folder / ATTEMPTS_FOLDER / f"{number:06d}.json").write_json(asdict(attempt))
    return attempt


def read_attempts(run_folder: Location) -> dict[int, Attempt]:
    """Return a run's attempts by number.

    Raises:
        StorageError: one of them is something else, or cannot be read.
    """
    attempts = {}
    for path in (run_folder / ATTEMPTS_FOLDER).children():
        try:
            attempt = Attempt(**path.read_json())
        except TypeError as error:
            raise StorageError(f"{path}: no attempt of a run of this project ({error})") from error
        attempts[attempt.number] = attempt
    return attempts
