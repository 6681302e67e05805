"""The starts of a run's worker group, numbered: which of them a step counts for.

STORAGE/NAME/attempts/000002.json: the second start, where it went on from and with what.

A checkpoint says which attempt saved it, and an attempt which one's checkpoint it went on from: that chain is
the history which the final weights descend from. Steps that were run and lost are those of no link of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from charmnet.errors import StorageError
from charmnet.vocabulary import Domain
from pipelines.runtime.storage import Location
from pipelines.shards.reading import Dataset

FOLDER = "attempts"


@dataclass(frozen=True)
class Attempt:
    """
    Attributes:
        number: from 1, ascending. start_step: of the checkpoint that it goes on from, or 0.
        parent: the attempt that saved that checkpoint, if one did. workers: how many.
        audited: whether it logs what it delivers. datasets: URIs by domain.
    """

    number: int
    start_step: int
    parent: int | None
    workers: int
    audited: bool
    datasets: dict[str, str]


def begin_attempt(
    run_folder: Location,
    start_step: int,
    *,
    parent: int | None,
    workers: int,
    audited: bool,
    datasets: Mapping[Domain, Dataset],
) -> Attempt:
    """Write down a run's next attempt; one process of a worker group does this.

    Args:
        run_folder: folder of the run, in which `attempts/` lies.
        start_step: step of the checkpoint that it goes on from, or 0.
        parent: number of the attempt that saved that checkpoint, if one did.
        workers: number of workers.
        audited: whether it logs the samples that are delivered.
        datasets: data sets by domain.

    Raises:
        StorageError: the run's folder cannot be used.
    """
    taken = [path.name for path in (run_folder / FOLDER).children()]
    number = max((int(name[:6]) for name in taken if name[:6].isdecimal()), default=0) + 1
    uris = {domain.value: str(dataset.location) for domain, dataset in datasets.items()}
    attempt = Attempt(number, start_step, parent, workers, audited, uris)
    (run_folder / FOLDER / f"{number:06d}.json").write_json(asdict(attempt))
    return attempt


def read_attempts(run_folder: Location) -> dict[int, Attempt]:
    """By number.

    Raises:
        StorageError: one of them is something else, or cannot be read.
    """
    attempts = {}
    for place in (run_folder / FOLDER).children():
        try:
            attempt = Attempt(**place.read_json())
        except TypeError as error:
            raise StorageError(f"{place}: no attempt of a run of this project ({error})") from error
        attempts[attempt.number] = attempt
    return attempts
