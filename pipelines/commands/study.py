r"""Train and evaluate the rows of a study, and write its tables, plots, pictures and page.

  charmnet study poster --real s3://bucket/real --novel human --rendered s3://bucket/rendered \
      --dest s3://bucket/study --scale mini --seeds 3
  charmnet study mine.toml --real ... --dest ... --only charmnet,mine --dry-run

A study is a TOML file (docs/study.md); `poster` and others are shipped. Rows run side by side as the cluster
has room; where one fails, its reason stands in the table and the others go on. The same command makes what is
missing. Trained is on the splits that end in train, reported on those that end in test, with the last
checkpoint of each run; splits of validation give curves alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

import rich.box
from rich.console import Console
from rich.table import Table

from pipelines.commands.cli import EXIT_FAILED
from pipelines.commands.count_options import check_counts
from pipelines.commands.tracking_options import add_tracking_options, tracking_uri
from pipelines.config.train_config import TrainConfig
from pipelines.evaluation.bootstrap import Interval
from pipelines.runtime.signals import EXIT_STOPPED
from pipelines.runtime.storage import Location
from pipelines.shards.reading import Dataset
from pipelines.study.definition import load_study, study_names
from pipelines.study.plan import BOTH_HEADS, PIXELS, PlannedRun, PlannedTranslation, RowPlan, StudySettings
from pipelines.study.planner import Planner
from pipelines.study.record import check_runs, claim
from pipelines.study.report import FOLDER, PAGE_FILE, StudyReport
from pipelines.study.selections import RealData
from pipelines.study.timing import OVERHEAD, TimedUpdate
from pipelines.tracking.server_check import ServerCheck

_TRACKING_SECONDS = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "study", metavar="STUDY", help=f"{', '.join(study_names())}, or a file ending in .toml"
    )
    parser.add_argument("--real", metavar="URI", required=True, help="data set of the real domain")
    parser.add_argument("--novel", metavar="CATEGORY", required=True, help="category that counts as novel")
    parser.add_argument("--rendered", metavar="URI", help="rendered scenes of the novel category")
    parser.add_argument(
        "--dest", metavar="URI", required=True, help="folder of the study, its runs and report"
    )
    parser.add_argument("--budget", default="equal", help="equal or published (default: equal)")
    parser.add_argument("--scale", default="full", help="full or mini (default: full)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds of each row (default: 3)")
    parser.add_argument("--only", metavar="ROW,...", help="rows to make (default: all)")
    parser.add_argument(
        "--head", default=PIXELS, help=f"of the methods that have heads: pixels, affine or {BOTH_HEADS}"
    )
    parser.add_argument("--steps", type=int, metavar="N", help="length of every run, in place of the study's")
    parser.add_argument("--workers", default="1", metavar="N", help="workers of every run (default: 1)")
    parser.add_argument(
        "--parallel", type=int, metavar="N", help="runs at a time (default: what there is room for)"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print the plan and an estimate, train nothing"
    )
    add_tracking_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Carry out the study; return 0, or 1 where a row has no figures.

    Raises:
        ValueError: an option, the study or the data do not fit; before anything is trained.
        CharmNetError: data, the destination or the MLflow server are not usable.
    """
    planner = _planner(arguments)
    plans = planner.plans()
    planner.real.check_apart()
    if arguments.dry_run:
        _print_plan(planner, plans, arguments.parallel)
        return 0
    uri = tracking_uri(arguments)
    if uri is not None:
        ServerCheck(uri, arguments.experiment).raise_refusal()
    name = planner.settings.dest.name
    record = claim(planner.settings.dest, name, _settings(arguments, planner), arguments.experiment, uri)
    check_runs(planner.settings.storage, [run for plan in plans for run in plan.runs])
    from pipelines.study.processes import StoppedError
    from pipelines.study.runner import StudyRunner

    runner = StudyRunner(planner, plans, record, arguments.parallel)
    tracker = record.open_tracker()
    try:
        outcomes = runner.run()
        report = runner.report(outcomes)
        report.write(planner.settings.dest)
        report.log(tracker)
    except StoppedError as error:
        tracker.close("KILLED", _TRACKING_SECONDS)
        print(error)
        return EXIT_STOPPED
    except BaseException as error:
        tracker.close("FAILED" if isinstance(error, Exception) else "KILLED", _TRACKING_SECONDS)
        raise
    failed = [outcome for outcome in outcomes if outcome.failure]
    tracker.close("FAILED" if failed else "FINISHED", _TRACKING_SECONDS)
    record.nest(planner.settings.storage, [run for plan in plans for run in plan.runs])
    _print_results(report, planner.settings.dest, tracker.page)
    return EXIT_FAILED if failed else 0


def _planner(arguments: argparse.Namespace) -> Planner:
    check_counts(arguments, "seeds", "steps", "parallel")
    only = tuple(name.strip() for name in (arguments.only or "").split(",") if name.strip())
    study = load_study(arguments.study).only(only)
    settings = StudySettings(
        Location.of(arguments.dest),
        arguments.budget,
        arguments.scale,
        arguments.head,
        arguments.seeds,
        arguments.steps,
        arguments.workers,
    )
    real = RealData(Dataset.open(arguments.real), arguments.novel)
    rendered = Dataset.open(arguments.rendered) if arguments.rendered else None
    return Planner(study, settings, real, rendered)


def _settings(arguments: argparse.Namespace, planner: Planner) -> dict[str, object]:
    """Return what figures depend on beside the rows, which the runs' configurations record."""
    return {
        "budget": arguments.budget,
        "scale": arguments.scale,
        "novel": arguments.novel,
        "real": planner.real.dataset.manifest.digest,
        "rendered": planner.rendered.manifest.digest if planner.rendered else None,
    }


def _print_plan(planner: Planner, plans: Sequence[RowPlan], parallel: int | None) -> None:
    """Print each run with its cost, and hours by a few timed updates of each configuration."""
    from pipelines.runtime.cluster import ClusterCapacity, connect
    from pipelines.study.processes import room
    from pipelines.study.timing import time_updates

    connect()
    capacity = ClusterCapacity.current()
    runs = [run for plan in plans for run in plan.runs]
    distinct = {_cost_key(run.config): run.config for run in runs}
    timed = dict(zip(distinct, time_updates(list(distinct.values()), gpu=capacity.gpus > 0), strict=True))
    updates = [timed[_cost_key(run.config)] for run in runs]
    output = Console(emoji=False)
    output.print(_plan_table(plans, timed))
    hours = sum(_hours(run, update) or 0.0 for run, update in zip(runs, updates, strict=True))
    places = parallel or room(capacity, planner.settings.fewest_workers)
    total = sum(run.samples for run in runs)
    failed = sum(update.seconds is None for update in updates)
    output.print(
        f"{len(runs)} runs, {total:,} samples; {hours:.1f} hours one after the other, about "
        f"{hours / places:.1f} with {places} at a time on this cluster "
        f"({capacity.cpus} CPUs, {capacity.gpus} GPUs)"
        + (f", without {failed} runs whose updates fail here" if failed else ""),
        highlight=False,
    )


def _plan_table(plans: Sequence[RowPlan], timed: Mapping[str, TimedUpdate]) -> Table:
    """Return a table of all steps of the rows; `timed` has an update by `_cost_key`."""
    table = _table("run", "method", "steps", "batch", "samples", "hours")
    for step in (step for plan in plans for step in plan.steps):
        if isinstance(step, PlannedTranslation):
            table.add_row(step.name, "(translates the scenes)")
            continue
        update = timed[_cost_key(step.config)]
        hours = _hours(step, update)
        table.add_row(
            step.name,
            step.config.method.name,
            f"{step.steps:,}",
            str(step.config.batch_size),
            f"{step.samples:,}",
            update.problem if hours is None else f"{hours:.2f}",
        )
    return table


def _hours(run: PlannedRun, update: TimedUpdate) -> float | None:
    return None if update.seconds is None else OVERHEAD * update.seconds * run.steps / 3600


def _cost_key(config: TrainConfig) -> str:
    """Return what the cost of an update depends on."""
    options = config.method.model_dump(mode="json", exclude={"domain", "learning_rate"})
    return f"{options} {config.batch_size} {config.workers}"


def _table(*headings: str) -> Table:
    table = Table(box=rich.box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="left" if number < 2 else "right", overflow="fold")
    return table


def _ends(interval: Interval) -> str:
    return "" if interval.low is None else f"{interval.low:.1f}-{interval.high:.1f}"


def _print_results(report: StudyReport, dest: Location, page: str | None) -> None:
    table = _table("row", "", "novel fMSE", "95 %", "base fMSE", "95 %")
    for row in report.results:
        cells = []
        for part in ("novel", "base"):
            figure = row.figures.get(part, {}).get("fmse")
            cells += ["-", ""] if figure is None else [f"{figure.interval.value:.1f}", _ends(figure.interval)]
        table.add_row(row.label, "; ".join(dict.fromkeys(row.failures.values())), *cells)
    output = Console(emoji=False)
    output.print(table)
    print(f"report: {dest / FOLDER / PAGE_FILE}")
    if page:
        print(f"MLflow: {page}")
