"""Measure what this project does on this machine against its limits and against other ways of doing it.

  charmnet bench update             training steps per second and their memory
  charmnet bench ingest             from shards to training batches
  charmnet bench update --json FILE the figures too, for comparing and plotting
  charmnet bench plot FILE --out IMAGE

Every ratio is of one run, in which the things compared take turns. Give it an idle machine.
"""

from __future__ import annotations

import argparse
import importlib
from datetime import date

from pipelines.benchmarks.plot import plot
from pipelines.benchmarks.report import machine, show
from pipelines.runtime.storage import Location

SUBJECTS = {
    "ingest": "from shards in S3 to training batches: rows per second, CPU per row, bytes stored and read",
    "update": "the training step, tensors in memory: pairs per second and peak memory",
    "train": "`charmnet train` as a whole against the update alone; where its start goes",
    "evaluate": "`charmnet evaluate` and `charmnet harmonize` against the network alone",
    "growth": "shards of 4 and 16 times the rows: time and memory",
    "scaling": "manifests, plan and coordinator at the size of a cluster",
    "workers": "two workers against one, tensors in memory",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
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
        subject.add_argument("--json", metavar="FILE", help="write the figures there, too")
        subject.set_defaults(measure=module.measure)
    drawn = subjects.add_parser("plot", help="draw what --json wrote")
    drawn.add_argument("figures", metavar="FILE", help="from --json")
    drawn.add_argument("--out", metavar="IMAGE", required=True, help="such as figures.svg or figures.png")


def run(arguments: argparse.Namespace) -> int:
    if arguments.subject == "plot":
        plot(arguments.figures, arguments.out)
        return 0
    report = arguments.measure(arguments)
    if arguments.json:
        about = {"subject": arguments.subject, "date": date.today().isoformat(), "machine": machine()}
        Location.of(arguments.json).write_json({**about, "figures": report.figures})
    show(report)
    return 0
