"""Option `--dry-run` of the commands that read, compute and write for long."""

from __future__ import annotations

import argparse

from pipelines.runtime.console import results
from pipelines.runtime.rehearsal import Rehearsal


def add_dry_run_option(parser: argparse.ArgumentParser) -> None:
    """Add --dry-run."""
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="refuse what would be refused, print what would be read, written and run where, and end",
    )


def show_rehearsal(rehearsal: Rehearsal) -> int:
    """Print what a command would do; return 0.

    Raises:
        StorageError: a destination cannot be written.
    """
    for line in list(rehearsal.lines()):
        results.print(line)
    return 0
