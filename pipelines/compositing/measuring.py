"""The first pass over a folder of photographs: the colours of every foreground, measured on Ray.

They are kept in the destination's `_parts/`, a file for each task and one for all, so that an interrupted run
goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np

from charmnet.recoloring import ColorStatistics
from pipelines.compositing.foregrounds import Folders, Foreground, MeasuredForeground, measure
from pipelines.conversion.build import DatasetBuild
from pipelines.runtime.recorded import run_recorded
from pipelines.runtime.storage import Location
from pipelines.shards.rejection import Rejection, count_items, too_many_rejected

FEW_COMPOSITES = 64
"""Up to so many composites are made sooner in one process than a cluster starts."""

FOREGROUNDS_PER_MEASUREMENT = 128
MAX_COLORS_BYTES = 1 << 31
"""Size limit of the file of all measured colours, which takes some 2.4 kB for each foreground."""


@dataclass(frozen=True)
class Request:
    """The composites, or photographs to make them of, that are asked for.

    Attributes:
        folders: photographs and masks.
        foregrounds: foregrounds to compose, as `foregrounds.find` gives them.
        rejected: masks without a photograph, and photographs that no mask was found in, which count as none.
        per_mask: composites of each foreground at most.
        seed: seed of all draws.
        subset: subset of the rows.
        shard_samples: approximate number of composites in a shard; of photographs, of foregrounds.
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
        return len(self.foregrounds) + self.lost

    @property
    def lost(self) -> int:
        """The number of masks that are rejected before any is read."""
        return count_items(self.rejected)

    @property
    def is_small(self) -> bool:
        """Whether all of it is done sooner in one process than a cluster starts."""
        return len(self.foregrounds) * self.per_mask <= FEW_COMPOSITES

    def check_names(self, max_rejected: float, record: Location | None = None) -> None:
        """Check that enough masks have a photograph.

        Args:
            max_rejected: share of the masks that may have none.
            record: file that names those that are rejected, for the message.

        Raises:
            DataError: too few have.
        """
        if not self.foregrounds or self.lost > max_rejected * self.items:
            remedy = "name masks after their photographs and run again"
            raise too_many_rejected(self.rejected, self.items, max_rejected, remedy, record)


@dataclass(frozen=True)
class MeasuredColors:
    """Results of measuring foregrounds: the usable ones, the rejected ones, and warnings about masks."""

    measured: list[MeasuredForeground]
    rejected: list[Rejection]
    warnings: list[str]

    @classmethod
    def from_json(cls, value: Any) -> MeasuredColors:
        """Return the results that `to_json` described."""
        measured = [
            MeasuredForeground(
                Foreground(**entry["foreground"]),
                ColorStatistics(**{name: np.array(numbers) for name, numbers in entry["statistics"].items()}),
                np.frombuffer(bytes.fromhex(entry["palette"]), np.uint8).reshape(-1, 3),
            )
            for entry in value["measured"]
        ]
        return cls(measured, [Rejection(**entry) for entry in value["rejected"]], value["warnings"])

    def to_json(self) -> dict[str, Any]:
        """Return the results as JSON."""
        rejected = [asdict(entry) for entry in self.rejected]
        measured = [_to_json(entry) for entry in self.measured]
        return {"measured": measured, "rejected": rejected, "warnings": self.warnings}

    @classmethod
    def read(cls, file: Location) -> MeasuredColors:
        """Read a file that `write` wrote."""
        return cls.from_json(file.read_json(MAX_COLORS_BYTES))

    def write(self, file: Location) -> None:
        """Write the results as JSON."""
        file.write_json(self.to_json())


@dataclass(frozen=True)
class MeasuredSource:
    """The measured foregrounds that the tasks of one data set make rows of.

    Attributes:
        folders: photographs and masks.
        colors: file of the measured colours of all foregrounds.
        seed: seed of all draws.
        subset: subset of the rows.
    """

    folders: Folders
    colors: Location
    seed: int
    subset: str

    def measured(self) -> list[MeasuredForeground]:
        """Read the usable foregrounds."""
        return MeasuredColors.read(self.colors).measured


def measure_all(destination: DatasetBuild, request: Request) -> MeasuredColors:
    """Measure the colours of every foreground, in the order of the request."""
    step = FOREGROUNDS_PER_MEASUREMENT
    jobs = {
        destination.parts / f"colors-{start:07d}.json": request.foregrounds[start : start + step]
        for start in range(0, len(request.foregrounds), step)
    }
    values = run_recorded(
        "Measuring colours", partial(_measure, request.folders), jobs, small=request.is_small
    )
    results = list(map(MeasuredColors.from_json, values))
    return MeasuredColors(
        measured=[entry for colors in results for entry in colors.measured],
        rejected=[entry for colors in results for entry in colors.rejected],
        warnings=[entry for colors in results for entry in colors.warnings],
    )


def _measure(folders: Folders, foregrounds: Sequence[Foreground]) -> dict[str, Any]:
    """Measure some foregrounds; return `MeasuredColors` as JSON."""
    cv2.setNumThreads(0)  # tasks are the parallelism
    return MeasuredColors(*measure(folders, foregrounds)).to_json()


def _to_json(entry: MeasuredForeground) -> dict[str, Any]:
    statistics = {name: numbers.tolist() for name, numbers in vars(entry.statistics).items()}
    palette = entry.palette.tobytes().hex()
    return {"foreground": asdict(entry.foreground), "statistics": statistics, "palette": palette}
