"""Commands of `charmnet`: which there are, and what all share."""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

import charmnet
from charmnet.errors import CharmNetError
from pipelines.runtime.cluster import prepare_environment
from pipelines.runtime.extras import missing_package
from pipelines.runtime.redaction import redact
from pipelines.runtime.signals import exiting_on_signals, raise_if_stopped

COMMANDS = {
    "shard": "convert a released data set, or image archives, into parquet shards with a manifest",
    "render": "render 3D scenes under the ten capture conditions (rendered domain)",
    "compose": "exchange foregrounds between a scene's capture conditions and write the composites",
    "translate": "translate rendered scenes into the look of real photographs",
    "compose-real": "make composites of your own photographs and masks (real domain)",
    "inspect": "show what a data set contains, with a contact sheet; --verify checks every byte",
    "train": "train a method on data sets in object storage, tracked in MLflow",
    "study": "train, evaluate and compare the rows of a study, such as the poster's tables",
    "tune": "search for values of a few fields of a training configuration, with Ray Tune",
    "audit": "check that a run was trained on every sample of each epoch exactly once",
    "chaos": "run fault-injection scenarios on a local cluster and check the results",
    "evaluate": "measure a model on a data set: MSE, fMSE and PSNR beside those of the composites",
    "harmonize": "apply a model to one picture, or to all pictures of a folder or bucket",
    "demo": "try a model on your own pictures, on a page in the browser",
    "serve": "serve a model over HTTP, with replicas on Ray Serve",
    "export": "write a model as ONNX, torch.export program or safetensors, with a model card",
    "bench": "measure training and data loading on this machine against their limits",
    "doctor": "look at this machine, the store, MLflow and Ray: what is wrong, and what mends it",
    "quickstart": "run every step on this machine, with a small data set that the command makes itself",
    "completion": "print a script with which bash or zsh completes commands and options",
}

EXIT_FAILED = 1
EXIT_USAGE = 2


class _PrintVersion(argparse.Action):
    """Print the version; unlike argparse's own action, look it up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        print(f"charmnet {charmnet.__version__}")
        parser.exit()


def new_parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """Return the parser of the command line, and those of the commands by name, without their options."""
    parser = argparse.ArgumentParser(
        prog="charmnet", description="Image harmonization across the real and the rendered domain."
    )
    parser.add_argument("--version", action=_PrintVersion, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    return parser, {name: commands.add_parser(name, help=summary) for name, summary in COMMANDS.items()}


def add_command(parser: argparse.ArgumentParser, name: str) -> None:
    """Load a command and add its options to its parser."""
    module = importlib.import_module(f"pipelines.commands.{name.replace('-', '_')}")
    raise_if_stopped()
    parser.description = module.__doc__
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    module.add_arguments(parser)
    parser.set_defaults(run=module.run)


def _run(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> int:
    parsed, rest = parser.parse_known_args(arguments)
    # argparse takes positional arguments only when they are adjacent; field=value may be among the options.
    overrides = [text for text in rest if hasattr(parsed, "overrides") and not text.startswith("-")]
    if len(overrides) < len(rest):
        parser.error(f"unrecognized arguments: {' '.join(text for text in rest if text not in overrides)}")
    if overrides:
        parsed.overrides += overrides
    return int(parsed.run(parsed))


def _reporting(name: str, work: Callable[[], int]) -> int:
    """Do a command's work, and turn errors that are the user's to mend into a line and an exit code."""
    try:
        return work()
    except ModuleNotFoundError as error:
        missing = missing_package(f"charmnet {name}", error, wanted=name)
        if missing is None:
            raise
        print(f"charmnet: error: {missing}", file=sys.stderr)
        return EXIT_FAILED
    except ValueError as error:
        raise_if_stopped()
        print(f"charmnet: error: {redact(str(error))}", file=sys.stderr)
        return EXIT_USAGE
    except CharmNetError as error:
        raise_if_stopped()
        print(f"charmnet: error: {redact(str(error))}", file=sys.stderr)
        return EXIT_FAILED


def _keep_warnings() -> None:
    """Print warnings although `mlflow.pytorch`, when imported, silences loggers without a handler."""
    if logging.lastResort:
        logging.basicConfig(format="%(message)s", handlers=[logging.lastResort])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `charmnet COMMAND ...`; return 0 on success, 1 when the work failed, 2 for wrong options.

    SIGTERM raises `SystemExit` with 143, Ctrl-C with 130.
    """
    with exiting_on_signals():
        return _main(sys.argv[1:] if arguments is None else list(arguments))


def _main(arguments: list[str]) -> int:
    prepare_environment()  # before a command imports Ray or torch
    parser, commands = new_parsers()
    chosen = arguments[0] if arguments else ""

    def work() -> int:
        if chosen in commands:  # the others need not be loaded
            add_command(commands[chosen], chosen)
        return _run(parser, arguments)

    _keep_warnings()
    return _reporting(chosen, work)
