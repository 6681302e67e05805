"""The first pass over a folder of photographs: the colours of every foreground, measured on Ray.

They are kept in the destination's `_parts/`, a file for each task and one for all, so that an interrupted run
goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np

from charmnet.errors import CharmNetError, StorageError
from charmnet.recoloring import ColorStatistics
from pipelines.compositing.foregrounds import Folders, Foreground, MeasuredForeground, measure
from pipelines.conversion.build import DatasetBuild
from pipelines.runtime.cluster import map_on_cluster
from pipelines.runtime.concurrency import read_ahead
from pipelines.runtime.console import progress
from pipelines.runtime.storage import Location
from pipelines.shards.rejection import Rejection

FOREGROUNDS_PER_MEASUREMENT = 128


@dataclass(frozen=True)
class Request:
    """The composites, or photographs to make them of, that are asked for.

    Attributes:
        folders: photographs and masks.
        foregrounds: foregrounds to compose, as `foregrounds.find` gives them.
        rejected: masks without a photograph, as `foregrounds.find` gives them.
        per_mask: composites of each foreground at most.
        seed: seed of all draws.
        subset: subset of the rows.
        shard_samples: approximate number of composites in a shard.
    """

    folders: Folders
    foregrounds: Sequence[Foreground]
    rejected: Sequence[Rejection]
    per_mask: int
    seed: int
    subset: str
    shard_samples: int

    @property
    def items(self) -> int:
        """The number of masks."""
        return len(self.foregrounds) + len(self.rejected)


@dataclass(frozen=True)
class MeasuredColors:
    """Results of measuring foregrounds: the usable ones, the rejected ones, and warnings about masks."""

    measured: list[MeasuredForeground]
    rejected: list[Rejection]
    warnings: list[str]

    @classmethod
    def read(cls, file: Location) -> MeasuredColors:
        """Read a file that `write` wrote."""
        value = file.read_json()
        measured = [
            MeasuredForeground(
                Foreground(**entry["foreground"]),
                ColorStatistics(**{name: np.array(numbers) for name, numbers in entry["statistics"].items()}),
                np.frombuffer(bytes.fromhex(entry["palette"]), np.uint8).reshape(-1, 3),
            )
            for entry in value["measured"]
        ]
        return cls(measured, [Rejection(**entry) for entry in value["rejected"]], value["warnings"])

    def write(self, file: Location) -> None:
        """Write the results as JSON."""
        rejected = [asdict(entry) for entry in self.rejected]
        measured = [_to_json(entry) for entry in self.measured]
        file.write_json({"measured": measured, "rejected": rejected, "warnings": self.warnings})


def measure_all(destination: DatasetBuild, request: Request) -> MeasuredColors:
    """Measure the colours of every foreground, in the order of the request."""
    step = FOREGROUNDS_PER_MEASUREMENT
    starts = range(0, len(request.foregrounds), step)
    parts = [destination.parts / f"colors-{start:07d}.json" for start in starts]
    finished = read_ahead(Location.exists, parts)
    jobs = [
        (request.folders, request.foregrounds[start : start + step], part)
        for start, part, is_finished in zip(starts, parts, finished, strict=True)
        if not is_finished
    ]
    with progress("Measuring colours", total=len(parts)) as advance:
        advance(len(parts) - len(jobs))
        for error in map_on_cluster(_measure, jobs) if jobs else ():
            raise_if(error)
            advance(1)
    results = list(read_ahead(MeasuredColors.read, parts))
    return MeasuredColors(
        measured=[entry for colors in results for entry in colors.measured],
        rejected=[entry for colors in results for entry in colors.rejected],
        warnings=[entry for colors in results for entry in colors.warnings],
    )


def _measure(job: tuple[Folders, Sequence[Foreground], Location]) -> str:
    """Measure some foregrounds into a file; return the error's text, or nothing."""
    folders, foregrounds, file = job
    cv2.setNumThreads(0)  # tasks are the parallelism
    try:
        measured, rejected, warnings = measure(folders, foregrounds)
        MeasuredColors(measured, rejected, warnings).write(file)
    except CharmNetError as error:
        return str(error)
    return ""


def raise_if(error: str) -> None:
    """Raise a task's error, if it has a text."""
    if error:
        raise StorageError(f"{error}; run the same command again to go on")


def _to_json(entry: MeasuredForeground) -> dict[str, Any]:
    statistics = {name: numbers.tolist() for name, numbers in vars(entry.statistics).items()}
    palette = entry.palette.tobytes().hex()
    return {"foreground": asdict(entry.foreground), "statistics": statistics, "palette": palette}
