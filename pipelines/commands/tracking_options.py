"""Options of the commands that record in MLflow: where, and in which experiment."""

from __future__ import annotations

import argparse

from pipelines.tracking.server import default_tracking_uri, usable_tracking_uri

NO_TRACKING = "none"


def add_tracking_options(parser: argparse.ArgumentParser) -> None:
    """Add --tracking, which `tracking_uri` reads, and --experiment."""
    parser.add_argument(
        "--tracking",
        metavar="URI|none",
        help="MLflow server (http(s)://HOST[:PORT]), or none to record nothing "
        "(default: $MLFLOW_TRACKING_URI, else a database in the state folder)",
    )
    parser.add_argument("--experiment", default="charmnet", help="MLflow experiment (default: charmnet)")


def tracking_uri(arguments: argparse.Namespace, *, create: bool = True) -> str | None:
    """Return where a command records: --tracking, else the default; None for `none`.

    Args:
        arguments: of the command.
        create: see `usable_tracking_uri`.

    Raises:
        ValueError: user and password stand in the address, or no server or database can be there.
    """
    uri: str = arguments.tracking or default_tracking_uri()
    return None if uri == NO_TRACKING else usable_tracking_uri(uri, create=create)
