r"""Search for values of a few fields of a training configuration, with Ray Tune.

  charmnet tune --real s3://bucket/real --rendered s3://bucket/rendered --storage s3://bucket/runs \
      --name rates --recipe small --trials 12 --search learning_rate=3e-4:1e-2 \
      --search style_weight=0.05,0.2,1 steps=800 validate_splits=validation

Trials are training runs NAME-000, NAME-001, ... side by side as the cluster has room; all else is as
`charmnet train` has it, whose `--help-fields` lists the fields. A trial that is worse than the median of the
others is stopped early. Values are drawn from the seed and the trial's number: the same command goes on with
the same runs.
"""

from __future__ import annotations

import argparse

import rich.box
from rich.console import Console
from rich.table import Table

from pipelines.commands import train
from pipelines.commands.cli import EXIT_FAILED
from pipelines.commands.count_options import check_counts
from pipelines.commands.tracking_options import tracking_uri
from pipelines.runtime.storage import Location
from pipelines.study.search import SearchField, draw_assignments

_VALIDATIONS = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command: those of a run, and its own."""
    train.add_run_arguments(parser)
    parser.add_argument("--trials", type=int, default=8, metavar="N", help="how many runs (default: 8)")
    parser.add_argument(
        "--search",
        action="append",
        default=[],
        metavar="FIELD=...",
        help="LOW:HIGH, drawn evenly in the logarithm, or VALUE,VALUE,...; may be repeated",
    )


def run(arguments: argparse.Namespace) -> int:
    """Search and print the trials, the best first; return 0, or 1 where none has a figure.

    Raises:
        ValueError: an option or a field is wrong; before anything is trained.
    """
    config, uris = train.configuration(arguments)
    if not (arguments.storage and arguments.name):
        raise ValueError("--storage and --name are needed: runs are STORAGE/NAME-000 and so on")
    check_counts(arguments, "trials")
    fields = [SearchField.parse(text) for text in arguments.search]
    if not fields:
        raise ValueError("--search is missing: name a field to search, such as learning_rate=1e-4:1e-2")
    if config.steps is None or not config.validate_splits:
        raise ValueError("steps and validate_splits are needed: trials are compared while they are trained")
    most = max(1, config.steps // _VALIDATIONS)
    every = min(config.validate_every or most, most)
    config = config.replaced(validate_every=every, checkpoint_every=every)
    drawn = draw_assignments(fields, arguments.trials, config.seed)
    configs = [config.override(assignments) for assignments in drawn]
    from pipelines.study.tuning import TuningJob, run_search  # Ray Tune

    storage = str(Location.of(arguments.storage))
    job = TuningJob(configs, uris, storage, arguments.name, tracking_uri(arguments), arguments.experiment)
    results = run_search(job)
    table = Table(box=rich.box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for heading in ("run", config.best_metric, "step", *(field.name for field in fields), ""):
        table.add_column(heading, overflow="fold")
    for result in results:
        values = [assignment.partition("=")[2] for assignment in drawn[result.trial]]
        value = "-" if result.value is None else f"{result.value:.2f}"
        table.add_row(job.run_name(result.trial), value, str(result.step), *values, result.problem)
    Console(emoji=False).print(table)
    return 0 if results[0].value is not None else EXIT_FAILED
