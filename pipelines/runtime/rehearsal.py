"""What a command would do, checked and said in place of being done: `--dry-run`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipelines.runtime.cluster import LOCAL, check_cluster, cluster_address, works_in_process
from pipelines.runtime.storage import Location


@dataclass(frozen=True)
class Rehearsal:
    """Plan of a command whose options and inputs are checked.

    Attributes:
        reads: what is read, and how much of it.
        writes: what is written, by the folder that it goes to.
        runs: what is done, and where.
        files: single files that are written, by where they go.
    """

    reads: Sequence[str]
    writes: Mapping[Location, str]
    runs: str
    files: Mapping[Location, str] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """Check that the destinations can be written, and yield the plan's lines; nothing is written.

        Raises:
            StorageError: a destination refuses.
        """
        for location in (*self.writes, *(file.parent for file in self.files)):
            location.check_writable()
        yield from (f"reads {text}" for text in self.reads)
        written = {**self.writes, **self.files}
        yield from (f"writes {location}: {text}" for location, text in written.items())
        yield f"runs {self.runs}"


def place_of_work(small: bool = False) -> str:
    """Return where a command would do its work; asks a cluster that is named whether it answers.

    Args:
        small: whether the work needs no cluster; see `works_in_process`.

    Raises:
        ClusterError: no cluster answers at `RAY_ADDRESS`.
    """
    if works_in_process(small):
        return "in this process"
    if cluster_address() == LOCAL:
        return f"by Ray on this machine ({len(os.sched_getaffinity(0))} CPUs)"
    check_cluster()
    return f"on the cluster at {cluster_address()}"
