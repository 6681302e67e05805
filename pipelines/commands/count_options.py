"""Options that are numbers of something, from 1 on."""

from __future__ import annotations

import argparse


def add_workers_option(parser: argparse.ArgumentParser) -> None:
    """Add --workers of a command that applies a model."""
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="number of models at work (default: one per GPU, else one per CPU)",
    )


def check_counts(arguments: argparse.Namespace, *names: str) -> None:
    """Check options that are numbers from 1 on, or were not given.

    Raises:
        ValueError: one is less; names it.
    """
    for name in names:
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name.replace('_', '-')} {value}: expected 1 or more")
