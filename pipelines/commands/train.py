"""Train a method from data sets in object storage, tracked in MLflow.

  charmnet train --real s3://bucket/real --rendered s3://bucket/rendered --storage s3://bucket/runs \\
      --recipe small --workers 2 steps=400 validate=IHD_nonhuman_test

Any field of the configuration is set as field=value; `--help-fields` lists them. The same --storage and
--name resume a run at the step after its last checkpoint. Keys of the object store and of MLflow come
from the environment of the cluster's nodes.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
from collections.abc import Sequence
from datetime import UTC, datetime

from charmnet.vocabulary import Domain
from pipelines.commands.tracking_options import add_tracking_options, tracking_uri
from pipelines.config.recipes import RECIPES, recipe
from pipelines.config.train_config import TrainConfig
from pipelines.ingest.quarantine import Quarantined
from pipelines.training.startup_timer import StartupTimer

EXIT_STOPPED = 143
"""The run was asked to stop and saved a checkpoint."""

_NAMED = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--real", metavar="URI", help="data set of the real domain, from `charmnet shard`")
    parser.add_argument("--rendered", metavar="URI", help="data set of the rendered domain")
    parser.add_argument("--storage", metavar="URI", help="where runs keep their checkpoints")
    parser.add_argument("--name", help="of the run; the same name resumes it (default: recipe and time)")
    parser.add_argument("--recipe", default="released", help=f"{', '.join(RECIPES)} (default: released)")
    parser.add_argument("--method", help="charmnet or idih")
    parser.add_argument("--workers", metavar="N|MIN:MAX", help="how many training workers")
    parser.add_argument(
        "--max-quarantined", metavar="SHARE|N", help="how many samples of a domain may be undecodable (0.01)"
    )
    parser.add_argument("--audit", action="store_true", help="log what is delivered, for `charmnet audit`")
    parser.add_argument("--init", metavar="MODEL", help="start from the weights of another run or model")
    add_tracking_options(parser)
    parser.add_argument("--register", metavar="NAME", help="register the best model under this name")
    parser.add_argument("--help-fields", action="store_true", help="list the fields and their values")
    parser.add_argument("overrides", nargs="*", metavar="field=value", help="of the configuration")


def configuration(arguments: argparse.Namespace) -> TrainConfig:
    """The recipe with everything that the command line says about it.

    Raises:
        ValueError: names the field that is wrong.
    """
    flags = ("method", "workers", "init", "max_quarantined", "audit")
    chosen = [f"{flag}={getattr(arguments, flag)}" for flag in flags if getattr(arguments, flag)]
    return recipe(arguments.recipe).override([*chosen, *arguments.overrides])


def run(arguments: argparse.Namespace) -> int:
    config = configuration(arguments)
    if arguments.help_fields:
        print(f"{inspect.getdoc(TrainConfig)}\n\nHere:")
        for field in dataclasses.fields(config):
            print(f"{field.name}={getattr(config, field.name)!r}  ({field.type})")
        return 0
    if not arguments.storage:
        raise ValueError(
            "--storage is missing: where the run keeps its checkpoints, such as s3://bucket/runs"
        )
    timer = StartupTimer()
    from pipelines.training.driver import train  # needs Ray, which --help does not

    tracking = tracking_uri(arguments)
    if arguments.register and tracking is None:
        raise ValueError("--register needs an MLflow server, and --tracking is none")
    name = arguments.name or f"{arguments.recipe}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    uris = {Domain.REAL: arguments.real, Domain.RENDERED: arguments.rendered}
    result = train(
        config,
        {domain: uri for domain, uri in uris.items() if uri},
        arguments.storage,
        name,
        tracking,
        arguments.experiment,
        arguments.register,
        timer,
    )
    print(f"{result.status.lower()} at step {result.step}: {result.run_folder}")
    if result.page:
        print(f"MLflow: {result.page}")
    for metric, value in sorted(result.metrics.items()):
        print(f"  {metric} {value:.2f}")
    if result.quarantined:
        print(quarantine_report(result.quarantined, result.run_folder))
    return 0 if result.status == "FINISHED" else EXIT_STOPPED


def quarantine_report(entries: Sequence[Quarantined], run_folder: str) -> str:
    """The samples that others stood for, named with their reasons (the first of them)."""
    lines = [f"  {entry.domain} {entry.id}: {entry.reason}" for entry in entries[:_NAMED]]
    more = [f"  and {len(entries) - _NAMED} more"] if len(entries) > _NAMED else []
    head = f"{len(entries)} samples could not be decoded; others stood for them ({run_folder}/quarantine):"
    return "\n".join([head, *lines, *more])
