"""The console command `charmnet`, which `python -m pipelines` is too."""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from collections.abc import Sequence
from typing import NoReturn

import charmnet
from charmnet.errors import CharmNetError
from pipelines.runtime.cluster import prepare_environment
from pipelines.runtime.redaction import redact

COMMANDS = {
    "shard": "turn a released data set, or image shards, into parquet shards with a manifest",
    "render": "make scenes of one's own under the ten capture conditions (rendered domain)",
    "compose": "exchange foregrounds between a scene's conditions and write the composites out",
    "compose-real": "make composites of one's own photographs and masks (real domain)",
    "inspect": "show what a data set holds, with a contact sheet; --verify checks every byte",
    "train": "train a method from data sets in object storage, tracked in MLflow",
    "audit": "prove that a run was given every sample of each epoch once",
    "chaos": "break a run in every way there is, on this machine, and see what comes of it",
    "evaluate": "measure a model on a data set: MSE, fMSE, PSNR beside the composites' own",
    "harmonize": "apply a model to one picture or to a whole bucket of them",
    "bench": "measure training and data on this machine against their limits",
    "quickstart": "see the whole of it work on this machine, on pictures that it makes itself",
}

EXIT_FAILED = 1
EXIT_USAGE = 2


class _PrintVersion(argparse.Action):
    """Argparse's "version" action, but other commands do not pay for looking the version up."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        print(f"charmnet {charmnet.__version__}")
        parser.exit()


def _add_command(parser: argparse.ArgumentParser, name: str) -> None:
    module = importlib.import_module(f"pipelines.commands.{name.replace('-', '_')}")
    parser.description = module.__doc__
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    module.add_arguments(parser)
    parser.set_defaults(run=module.run)


def _run(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> int:
    _keep_warnings()
    parsed, rest = parser.parse_known_args(arguments)
    # argparse takes positional arguments in one run only; field=value may stand between options too.
    overrides = [text for text in rest if hasattr(parsed, "overrides") and not text.startswith("-")]
    if len(overrides) < len(rest):
        parser.error(f"unrecognized arguments: {' '.join(text for text in rest if text not in overrides)}")
    if overrides:
        parsed.overrides += overrides
    try:
        return int(parsed.run(parsed))
    except ValueError as error:
        print(f"charmnet: error: {redact(str(error))}", file=sys.stderr)
        return EXIT_USAGE
    except CharmNetError as error:
        print(f"charmnet: error: {redact(str(error))}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        print("charmnet: interrupted", file=sys.stderr)
        return 130


def _keep_warnings() -> None:
    """Has warnings printed whatever is imported: `mlflow.pytorch` silences them where no one asked."""
    if logging.lastResort:
        logging.basicConfig(format="%(message)s", handlers=[logging.lastResort])


def main(arguments: Sequence[str] | None = None) -> int:
    """`charmnet COMMAND ...`: 0 when all went well, 1 when the work failed, 2 when asked for wrongly."""
    prepare_environment()  # before a command imports Ray or torch
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(
        prog="charmnet", description="Image harmonization across the real and the rendered domain."
    )
    parser.add_argument("--version", action=_PrintVersion, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary)
        if arguments[:1] == [name]:  # the others' imports are not paid for
            _add_command(command, name)
    return _run(parser, arguments)
