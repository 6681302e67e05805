"""Runs of a study as they are planned: commands that can be taken up where they ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.config.train_config import TrainConfig
from pipelines.runs.run_folder import checkpoint_name
from pipelines.runtime.storage import Location

PIXELS, BOTH_HEADS = "pixels", "both"


@dataclass(frozen=True)
class PlannedRun:
    """A run of `charmnet train`.

    Attributes:
        name: name of the run in the study's storage.
        config: configuration; its steps are known.
        uris: URIs of its data sets by domain.
    """

    name: str
    config: TrainConfig
    uris: Mapping[str, Sequence[str]]

    @property
    def steps(self) -> int:
        """Length in steps."""
        assert self.config.steps is not None
        return self.config.steps

    @property
    def samples(self) -> int:
        """Samples, or pairs of both domains, that it is trained on."""
        return self.steps * self.config.batch_size

    @property
    def last_checkpoint(self) -> str:
        """Path of its last checkpoint beneath the storage of runs."""
        return f"{self.name}/{checkpoint_name(self.steps)}"


@dataclass(frozen=True)
class PlannedTranslation:
    """A run of `charmnet translate`: rendered scenes in the colours of the real domain.

    Attributes:
        name: name of the data set that it makes.
        model: URI of the translator.
        source: URI of the rendered scenes.
        dest: URI of the data set.
    """

    name: str
    model: str
    source: str
    dest: str


Step = PlannedRun | PlannedTranslation


@dataclass(frozen=True)
class RowPlan:
    """A row with one seed: its runs, one after the other; the last one is evaluated.

    Attributes:
        row: name of the row, with its head where that is part of the name.
        seed: seed of all runs.
        steps: what is run.
    """

    row: str
    seed: int
    steps: tuple[Step, ...]

    @property
    def name(self) -> str:
        """Name of the row and seed, which its last run has, too."""
        return f"{self.row}-s{self.seed}"

    @property
    def runs(self) -> list[PlannedRun]:
        """The runs of `charmnet train` among the steps."""
        return [step for step in self.steps if isinstance(step, PlannedRun)]

    @property
    def last(self) -> PlannedRun:
        """The run that is evaluated."""
        return self.runs[-1]


@dataclass(frozen=True)
class StudySettings:
    """What the command line says of a study.

    Attributes:
        dest: folder of the study.
        budget: name of a budget of the study.
        scale: name of a scale.
        head: a head's name, or both.
        seeds: number of seeds, from 0.
        steps: length of every run in steps in place of the study's.
        workers: workers of every run.
    """

    dest: Location
    budget: str = "equal"
    scale: str = "full"
    head: str = PIXELS
    seeds: int = 3
    steps: int | None = None
    workers: str = "1"

    @property
    def fewest_workers(self) -> int:
        """Workers that a run cannot do without: MIN of MIN:MAX."""
        return int(self.workers.partition(":")[0])

    @property
    def storage(self) -> Location:
        """Folder of the runs."""
        return self.dest / "runs"
