"""Measure this project on this machine against its limits and against alternatives.

  charmnet bench update             training steps per second and their memory
  charmnet bench ingest             from shards to training batches
  charmnet bench update --json FILE a result, for comparing, plotting and docs/results
  charmnet bench plot FILE --out IMAGE
  charmnet bench table --write docs/benchmarks.md

Every ratio is of one run, in which the things compared take turns. Give it an idle machine.
"""

from __future__ import annotations

import argparse
import importlib
import shlex
import sys
from datetime import datetime
from pathlib import Path

from pipelines.benchmarks.measurement import show, this_machine
from pipelines.benchmarks.plot import plot
from pipelines.benchmarks.results import BenchmarkResult, load_results, markdown_table, with_table
from pipelines.runtime.storage import Location

SUBJECTS = {
    "ingest": "from shards in S3 to training batches: rows per second, CPU per row, bytes stored and read",
    "update": "the training step, tensors in memory: pairs per second and peak memory",
    "train": "`charmnet train` as a whole against the update alone; the time of its start by phase",
    "evaluate": "`charmnet evaluate` and `charmnet harmonize` against the network alone",
    "growth": "shards of 4 and 16 times the rows: time and memory",
    "scaling": "manifests, plan and coordinator at the size of a cluster",
    "workers": "two workers against one, tensors in memory",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a sub-command for each subject, `plot` and `table`."""
    subjects = parser.add_subparsers(dest="subject", required=True, metavar="WHAT")
    for name, summary in SUBJECTS.items():
        module = importlib.import_module(f"pipelines.benchmarks.{name}")
        subject = subjects.add_parser(
            name,
            help=summary,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(subject)
        subject.add_argument("--json", metavar="FILE", help="write the result there, too")
        subject.set_defaults(measure=module.measure)
    plotted = subjects.add_parser("plot", help="draw a result that --json wrote")
    plotted.add_argument("result", metavar="FILE", help="from --json")
    plotted.add_argument("--out", metavar="IMAGE", required=True, help="such as figures.svg or figures.png")
    table = subjects.add_parser("table", help="print a Markdown table of all results")
    table.add_argument(
        "--results", type=Path, default=Path("docs/results"), metavar="DIR", help="default: docs/results"
    )
    table.add_argument("--write", type=Path, metavar="PAGE", help="put it between the markers of a page")


def run(arguments: argparse.Namespace) -> int:
    """Measure, plot or tabulate; return 0.

    Raises:
        ValueError: a file is not a result, or a page has no place for the table.
    """
    if arguments.subject == "plot":
        plot(arguments.result, arguments.out)
    elif arguments.subject == "table":
        _table(arguments.results, arguments.write)
    else:
        _measure(arguments)
    return 0


def _table(results: Path, page: Path | None) -> None:
    table = markdown_table(load_results(results))
    if page is None:
        print(table)
    else:
        page.write_text(with_table(page.read_text(), table))


def _measure(arguments: argparse.Namespace) -> None:
    measurement = arguments.measure(arguments)
    machine = this_machine()
    if arguments.json:
        result = BenchmarkResult(
            subject=arguments.subject,
            date=datetime.now().astimezone().date(),
            command=shlex.join(["charmnet", *sys.argv[1:]]),
            machine=machine,
            comparisons=tuple(measurement.comparisons),
            figures=measurement.figures,
        )
        Location.of(arguments.json).write_bytes(result.model_dump_json(indent=1).encode())
    show(measurement, machine)
