"""Check that a run's weights were trained on every sample of each epoch exactly once.

  charmnet audit s3://bucket/runs/first --json first-audit.json

For runs that were started with `charmnet train --audit`. Compares the samples that the workers logged with
the plan of each epoch, over the steps that led to the last checkpoint: steps that were lost and run again
count once. Prints what differs; the exit code is then 1.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from pipelines.audit.run_audit import Report, audit
from pipelines.commands.cli import EXIT_FAILED
from pipelines.runtime.storage import Location

_COLUMNS = ("domain", "samples", "epochs", "rows", "missing", "twice", "substitutes", "differing")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("uri", metavar="URI", help="the run's folder: --storage/--name of `charmnet train`")
    parser.add_argument("--json", metavar="FILE", help="write the figures and what differs to this file, too")


def run(arguments: argparse.Namespace) -> int:
    """Audit a run and print the result; return the exit code.

    Raises:
        CharmNetError: the run keeps no audit log, or it cannot be read.
    """
    report = audit(Location.of(arguments.uri))
    if arguments.json:
        Location.of(arguments.json).write_json({**asdict(report), "holds": report.holds})
    _print(report)
    return 0 if report.holds else EXIT_FAILED


def _print(report: Report) -> None:
    console = Console(emoji=False)
    table = Table(
        "domain", *_COLUMNS[1:], "superseded steps", title=f"{report.run_folder}: {report.steps} steps"
    )
    for domain in report.domains:
        figures = [f"{getattr(domain, name):,}" for name in _COLUMNS[1:]]
        table.add_row(domain.domain, *figures, f"{report.superseded_steps:,}")
    console.print(table)
    for domain in report.domains:
        for problem in domain.problems:
            print(f"{domain.domain}: {problem}")
        if domain.differing > len(domain.problems):
            print(f"{domain.domain}: and {domain.differing - len(domain.problems)} more")
    print("exactly once: " + ("holds" if report.holds else "does NOT hold"))
