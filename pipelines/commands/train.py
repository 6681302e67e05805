r"""Train a method from data sets in object storage, tracked in MLflow.

  charmnet train --real s3://bucket/real --rendered s3://bucket/rendered --storage s3://bucket/runs \
      --recipe small --workers 2 steps=400 validate_splits=IHD_nonhuman_validation
  charmnet train --config run.toml --storage s3://bucket/runs

Any field of the configuration is set as field=value; `--help-fields` lists them and the method's options.
`--config` starts from a file in place of a recipe: every run writes the one that repeats it, and
`--print-config` prints it. The same --storage and --name resume a run at the step after its last checkpoint.
Keys of the object store and of MLflow come from the environment of the cluster's nodes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from charmnet.methods import METHODS
from charmnet.vocabulary import Domain
from pipelines.commands.dry_run import add_dry_run_option, show_rehearsal
from pipelines.commands.tracking_options import add_tracking_options, tracking_uri
from pipelines.config.recipes import parse_toml, recipe, recipe_names, to_toml
from pipelines.config.train_config import TrainConfig
from pipelines.ingest.quarantine import Quarantined
from pipelines.runtime.console import counted
from pipelines.runtime.redaction import redact
from pipelines.runtime.signals import EXIT_STOPPED
from pipelines.runtime.storage import Location
from pipelines.tracking.server_check import ServerCheck, check_registered_name
from pipelines.training.startup_timer import StartupTimer

_DEFAULT_RECIPE = "released"
_NAMED = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    add_run_arguments(parser)
    parser.add_argument("--register", metavar="NAME", help="register the best model under this name")
    parser.add_argument(
        "--profile", metavar="STEPS", help="trace these steps, such as 10:15, and keep the trace in MLflow"
    )
    parser.add_argument("--help-fields", action="store_true", help="list the fields and their values")
    parser.add_argument("--print-config", action="store_true", help="print the configuration as TOML and end")
    add_dry_run_option(parser)


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a run: its data, its configuration, and where it is kept and recorded."""
    parser.add_argument(
        "--real",
        metavar="URI",
        action="append",
        help="data set of the real domain, from `charmnet shard`; several are streamed as one",
    )
    parser.add_argument(
        "--rendered", metavar="URI", action="append", help="data set of the rendered domain, or several"
    )
    parser.add_argument("--storage", metavar="URI", help="where runs keep their checkpoints")
    parser.add_argument("--name", help="of the run; the same name resumes it (default: recipe and time)")
    parser.add_argument(
        "--recipe", help=f"{', '.join(recipe_names())} (default: the method's, or {_DEFAULT_RECIPE})"
    )
    parser.add_argument("--config", metavar="FILE", help="TOML file to start from in place of a recipe")
    parser.add_argument("--method", help=f"{', '.join(METHODS)} (default: the recipe's)")
    parser.add_argument("--workers", metavar="N|MIN:MAX", help="how many training workers")
    parser.add_argument(
        "--max-quarantined", metavar="SHARE|N", help="how many samples of a domain may be undecodable (0.01)"
    )
    parser.add_argument("--audit", action="store_true", help="log what is delivered, for `charmnet audit`")
    parser.add_argument("--init", metavar="MODEL", help="start from the weights of another run or model")
    add_tracking_options(parser)
    parser.add_argument("overrides", nargs="*", metavar="field=value", help="of the configuration")


def configuration(arguments: argparse.Namespace) -> tuple[TrainConfig, dict[Domain, list[str]]]:
    """Return the configuration, and the URIs of the data sets by domain.

    The command line wins over the file or the recipe.

    Raises:
        ValueError: names the field that is wrong.
        StorageError: the file cannot be read.
    """
    if arguments.config and arguments.recipe:
        raise ValueError("--config and --recipe: choose one, the configuration starts from either")
    if arguments.config:
        config, data = parse_toml(_read_text(Location.of(arguments.config)), arguments.config)
    else:
        config, data = recipe(_recipe_name(arguments)), {}
    flags = ("method", "workers", "init", "max_quarantined", "audit", "profile")
    values = {flag: getattr(arguments, flag, None) for flag in flags}
    chosen = [f"{flag}={value}" for flag, value in values.items() if value]
    given = {"real": arguments.real, "rendered": arguments.rendered}
    uris = {**data, **{domain: uri for domain, uri in given.items() if uri}}
    return config.override([*chosen, *arguments.overrides]), {Domain(d): uri for d, uri in uris.items()}


def _recipe_name(arguments: argparse.Namespace) -> str:
    """Return the recipe: the one that is chosen, else a chosen method's own, if it has one."""
    own: str | None = arguments.method if arguments.method in recipe_names() else None
    return arguments.recipe or own or _DEFAULT_RECIPE


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    config, uris = configuration(arguments)
    if arguments.help_fields:
        _print_fields(config)
        return 0
    if arguments.print_config:
        print(to_toml(config, {domain.value: uri for domain, uri in uris.items()}), end="")
        return 0
    if not arguments.storage:
        raise ValueError(
            "--storage is missing: where the run keeps its checkpoints, such as s3://bucket/runs"
        )
    timer = StartupTimer()
    tracking = tracking_uri(arguments, create=not arguments.dry_run)
    _check_tracked(arguments, config, tracking)
    origin = Path(arguments.config).stem if arguments.config else _recipe_name(arguments)
    name = arguments.name or f"{origin}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    if arguments.dry_run:
        return _rehearse(config, uris, tracking, name, arguments)
    from pipelines.training.driver import train  # needs Ray, which --help does not

    result = train(
        config,
        uris,
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


def _check_tracked(arguments: argparse.Namespace, config: TrainConfig, tracking: str | None) -> None:
    """Check that there is a server for what needs one.

    Raises:
        ValueError: there is none, or the name to register is none.
    """
    for option, wanted in (("--register", arguments.register), ("--profile", config.profile)):
        if wanted and tracking is None:
            raise ValueError(f"{option} needs an MLflow server, and --tracking is none")
    if arguments.register:
        check_registered_name(arguments.register)


def _rehearse(
    config: TrainConfig,
    uris: dict[Domain, list[str]],
    tracking: str | None,
    name: str,
    arguments: argparse.Namespace,
) -> int:
    """Print what a run would do and return 0; nothing is started or written."""
    from pipelines.training.preparation import prepare, rehearse  # needs torch and pyarrow

    check = ServerCheck(tracking, arguments.experiment, arguments.register) if tracking else None
    ready = prepare(config, uris, tracking)
    show_rehearsal(rehearse(ready, arguments.storage, name, arguments.experiment))
    outage = check.raise_refusal() if check else None
    registered = f", registers {arguments.register}" if arguments.register else ""
    print(f"records in MLflow at {tracking}{registered}" if tracking else "records nothing")
    if outage:
        print(f"warning: MLflow does not answer; a run waits for it: {redact(outage)}")
    return 0


def _read_text(location: Location) -> str:
    try:
        return location.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{location}: not a text in UTF-8 ({error})") from error


def _print_fields(config: TrainConfig) -> None:
    print("Fields of the run, with their values here:\n")
    for line in TrainConfig.describe_fields(config):
        print(line)
    print(f"\nOptions of the method {config.method.name} (also as method.field=value):\n")
    for line in type(config.method).describe_fields(config.method):
        print(line)


def quarantine_report(entries: Sequence[Quarantined], run_folder: str) -> str:
    """Return the samples that were replaced, the first of them named with their reasons."""
    lines = [f"  {entry.domain} {entry.id}: {entry.reason}" for entry in entries[:_NAMED]]
    more = [f"  and {len(entries) - _NAMED} more"] if len(entries) > _NAMED else []
    failed = counted(len(entries), "sample")
    head = f"{failed} could not be decoded; others replaced them ({run_folder}/quarantine):"
    return "\n".join([head, *lines, *more])
