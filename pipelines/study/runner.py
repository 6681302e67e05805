"""Carrying out a study: rows side by side, each from where it stands, then the report."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

from charmnet.errors import CharmNetError, in_words
from pipelines.config.recipes import to_toml
from pipelines.evaluation.report import metric_name
from pipelines.runs.checkpoints import newest_metadata
from pipelines.runtime.cluster import ADDRESS_VARIABLE, ClusterCapacity, connect
from pipelines.runtime.console import results as output
from pipelines.runtime.signals import handling_signals
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import MANIFEST_NAME
from pipelines.study.pictures import ChosenPicture, choose_pictures, sheet
from pipelines.study.plan import PlannedRun, PlannedTranslation, RowPlan, Step
from pipelines.study.planner import Planner
from pipelines.study.plots import Curve
from pipelines.study.processes import Processes, StoppedError, models_at_work, room, side_by_side
from pipelines.study.record import StudyRecord
from pipelines.study.report import StudyReport
from pipelines.study.results import RowResult, Scores, composite_figures, row_figures
from pipelines.study.scores import RunScores
from pipelines.study.tables import COMPOSITE

NO_TRACKING = "none"
PICTURES_OF_EACH = 2
"""Pictures of each test set in the qualitative figure."""


@dataclass(frozen=True)
class Outcome:
    """How a row with one seed ended.

    Attributes:
        plan: what was to be done.
        failure: why it has no figures; empty where it has.
    """

    plan: RowPlan
    failure: str = ""


@dataclass(frozen=True)
class StudyRunner:
    """A study that is carried out.

    Attributes:
        planner: rows and data.
        plans: plans of all rows and seeds.
        record: identity and MLflow run.
        parallel: runs at a time at most; None is as many as the cluster has room for.
        show: called with every line of output.
    """

    planner: Planner
    plans: Sequence[RowPlan]
    record: StudyRecord
    parallel: int | None = None
    _announced: set[str] = field(default_factory=set)
    _scoring: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def pictures(self) -> list[ChosenPicture]:
        """Pictures of the qualitative figure."""
        return choose_pictures(self.planner.real, PICTURES_OF_EACH)

    @property
    def _storage(self) -> Location:
        return self.planner.settings.storage

    @property
    def _workers(self) -> int:
        return self.planner.settings.fewest_workers

    def run(self) -> list[Outcome]:
        """Make what is missing of every row and seed.

        Raises:
            StoppedError: the study was asked to stop; what was done is kept.
            ClusterError: there is no cluster to work on.
        """
        connect()
        import ray

        variables = {ADDRESS_VARIABLE: ray.get_runtime_context().gcs_address}
        processes = Processes(variables, self._show)
        _ = self.pictures  # before threads ask for them
        tasks = [partial(self._carry_out, processes, plan) for plan in self.plans]
        with handling_signals(processes.stop):
            futures = side_by_side(tasks, self._places, lambda: processes.stopped)
        if processes.stopped:
            raise StoppedError("stopped; the same command goes on from here")
        return [future.result() for future in futures]

    def _places(self) -> int:
        return self.parallel or room(ClusterCapacity.current(), self._workers)

    def _carry_out(self, processes: Processes, plan: RowPlan) -> Outcome:
        """Make what is missing of a row with one seed; another's failure is none of its own."""
        try:
            for step in plan.steps:
                self._take(processes, step)
            self._evaluate(processes, plan)
        except StoppedError as error:
            return Outcome(plan, str(error))
        except Exception as error:  # noqa: BLE001 - it stands in the table, and the other rows go on
            known = isinstance(error, CharmNetError | ValueError)
            failure = in_words(error) if known else f"{type(error).__name__}: {in_words(error)}"
            self._show(plan.name, f"failed: {failure}")
            return Outcome(plan, failure)
        return Outcome(plan)

    def _take(self, processes: Processes, step: Step) -> None:
        if isinstance(step, PlannedTranslation):
            if not (Location.of(step.dest) / MANIFEST_NAME).exists():
                processes.run(step.name, self._translate_command(step))
            return
        newest = newest_metadata(self._storage / step.name)
        if newest is None or newest[1]["step"] < step.steps:
            processes.run(step.name, self._train_command(step))
        self.record.nest(self._storage, [step])

    def _translate_command(self, step: PlannedTranslation) -> list[str]:
        workers = models_at_work(ClusterCapacity.current(), self._workers)
        return [
            *("translate", "--model", step.model, "--source", step.source, "--dest", step.dest),
            *("--workers", str(workers)),  # not all that the cluster has: others run beside it
        ]

    def _train_command(self, run: PlannedRun) -> list[str]:
        file = self.planner.settings.dest / "plan" / f"{run.name}.toml"
        file.write_bytes(to_toml(run.config, run.uris).encode())
        tracking = self.record.tracking_uri or NO_TRACKING
        return [
            *("train", "--config", str(file), "--storage", str(self._storage), "--name", run.name),
            *("--tracking", tracking, "--experiment", self.record.experiment),
        ]

    def _evaluate(self, processes: Processes, plan: RowPlan) -> None:
        model = str(self._storage / plan.last.last_checkpoint)
        scores = self._scores(plan)
        if not scores.exist(model):
            with self._scoring:  # one at a time: each takes what is free
                if processes.stopped:
                    raise StoppedError(f"{plan.name}: not evaluated, since the study was asked to stop")
                self._show(plan.name, "evaluating")
                scores.make(model, self.planner.real, self.pictures, self._workers)

    def _scores(self, plan: RowPlan) -> RunScores:
        return RunScores(self.planner.settings.dest / "figures" / plan.name)

    def _show(self, name: str, line: str) -> None:
        if line.strip():
            output.print(f"[{name}] {line}", markup=False, highlight=False)
        if line.startswith("step ") and name not in self._announced:  # its MLflow run is there by now
            self._announced.add(name)
            runs = [run for plan in self.plans for run in plan.runs if run.name == name]
            self.record.nest(self._storage, runs)

    def report(self, outcomes: Sequence[Outcome]) -> StudyReport:
        """Return the report of what there is.

        Raises:
            CharmNetError: figures cannot be read.
        """
        done = [outcome.plan for outcome in outcomes if not outcome.failure]
        self.record.nest(self._storage, [run for outcome in outcomes for run in outcome.plan.runs])
        study, settings = self.planner.study, self.planner.settings
        about = {
            "novel category": self.planner.real.novel,
            "real data": f"{self.planner.real.dataset.location}",
            "budget": settings.budget,
            "scale": settings.scale,
            "seeds": settings.seeds,
        }
        if settings.scale != "full":
            about["note"] = f"networks at {settings.scale} scale: nothing follows about published networks"
        if self.planner.rendered is not None:
            about["rendered data"] = str(self.planner.rendered.location)
        results = self._results(outcomes)
        return StudyReport(study.title, about, study.tables, results, self._curves(done), self._sheet(done))

    def _results(self, outcomes: Sequence[Outcome]) -> list[RowResult]:
        names = [
            (name, of_head) for name in self.planner.study.rows for of_head in self.planner.row_names(name)
        ]
        scores = {of_head: self._row_scores(of_head, outcomes) for _, of_head in names}
        references = [
            of_head for of_head in self.planner.row_names(self.planner.study.reference) if scores[of_head]
        ]
        rows = []
        for name, of_head in names:
            row = self.planner.study.rows[name]
            seeds = [outcome for outcome in outcomes if outcome.plan.row == of_head]
            own = scores[of_head]
            reference = scores[_of_same_head(of_head, name, references)] if references else None
            compared = reference if reference and len(reference) == len(own) else None
            rows.append(
                RowResult(
                    of_head,
                    self.planner.label(of_head, name),
                    row.table,
                    row.apart,
                    row_figures(own, compared) if own else {},
                    {str(one.plan.seed): one.failure for one in seeds if one.failure},
                    sum(run.samples for run in seeds[0].plan.runs) if seeds else 0,
                    row.published,
                )
            )
        some = next((own for own in scores.values() if own), None)
        composite = composite_figures(some[0][0]) if some else {}
        return [RowResult(COMPOSITE, "composite", 0, figures=composite), *rows]

    def _row_scores(self, row: str, outcomes: Sequence[Outcome]) -> Scores:
        return [
            self._scores(outcome.plan).tables(self.planner.real)
            for outcome in outcomes
            if outcome.plan.row == row and not outcome.failure
        ]

    def _first_seeds(self, plans: Sequence[RowPlan]) -> Mapping[str, RowPlan]:
        """Return the plan of the first seed of each row, by its label."""
        first: dict[str, RowPlan] = {}
        for name in self.planner.study.rows:
            for of_head in self.planner.row_names(name):
                mine = [plan for plan in plans if plan.row == of_head]
                first |= {self.planner.label(of_head, name): mine[0]} if mine else {}
        return first

    def _curves(self, plans: Sequence[RowPlan]) -> dict[str, Curve]:
        curves: dict[str, Curve] = {}
        for label, plan in self._first_seeds(plans).items():
            run = plan.last
            for split in run.config.validate_splits[:1]:
                metric = f"eval/{metric_name(split)}/fmse"
                history = self.record.history(self._storage, run, metric)
                curves[label] = [(step * run.config.batch_size, value) for step, value in history]
        return curves

    def _sheet(self, plans: Sequence[RowPlan]) -> bytes | None:
        rows = self._first_seeds(plans)
        if not rows:
            return None
        images = [picture.image() for picture in self.pictures]
        columns = {"composite": [image.composite for image in images]}
        for label, plan in rows.items():
            columns[label] = self._scores(plan).pictures(len(images))
        return sheet({**columns, "ground truth": [image.ground_truth for image in images]})


def _of_same_head(row: str, name: str, references: Sequence[str]) -> str:
    """Return the reference row of a row's head, else the first."""
    head = row.removeprefix(name)
    return next((reference for reference in references if head and reference.endswith(head)), references[0])
