"""Tasks on the cluster whose results are kept in files, so that an interrupted command goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from charmnet.errors import CharmNetError, StorageError
from pipelines.runtime.cluster import map_on_cluster
from pipelines.runtime.concurrency import read_ahead
from pipelines.runtime.console import progress
from pipelines.runtime.storage import Location
from pipelines.runtime.store_errors import with_remedy

T = TypeVar("T")


def run_recorded(
    title: str, function: Callable[[T], Any], jobs: Mapping[Location, T], *, small: bool = False
) -> list[Any]:
    """Call a function for each job, each in a Ray task, and record its result; skip jobs that are recorded.

    Args:
        title: title of the progress bar.
        function: returns a JSON value; it and the jobs are pickled.
        jobs: arguments of the function by the file that its result is written to.
        small: all calls together need no cluster; see `map_on_cluster`.

    Returns:
        The results in the order of the jobs.

    Raises:
        StorageError: a call raised a `CharmNetError`, or the store cannot be reached; what is recorded stays.
    """
    recorded = read_ahead(Location.exists, jobs)
    missing = [job for job, is_recorded in zip(jobs.items(), recorded, strict=True) if not is_recorded]
    with progress(title, total=len(jobs)) as advance:
        advance(len(jobs) - len(missing))
        for error in map_on_cluster(partial(_record, function), missing, small=small) if missing else ():
            raise_if(error)
            advance(1)
    return list(read_ahead(Location.read_json, jobs))


def raise_if(error: str) -> None:
    """Raise a task's error, if it has a text."""
    if error:
        raise StorageError(error)


def _record(function: Callable[[T], Any], job: tuple[Location, T]) -> str:
    """Write the result for a job into its file; return the error's text, or nothing."""
    file, argument = job
    try:
        file.write_json(function(argument))
    except CharmNetError as error:
        return with_remedy(error)
    return ""
