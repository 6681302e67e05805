"""The option --model of commands that take the package's own model where none is named."""

from __future__ import annotations

import argparse

from charmnet.pretrained import pretrained_names

_DEFAULT = "small"


def add_model_option(parser: argparse.ArgumentParser) -> None:
    """Add --model, whose default is the model that the package ships, if it ships one."""
    parser.add_argument(
        "--model",
        metavar="M",
        help=f"model, as for `charmnet evaluate` (default: charmnet://{_DEFAULT}, once the package ships it)",
    )


def chosen_model(arguments: argparse.Namespace) -> str:
    """Return the URI of the model.

    Raises:
        ValueError: none is named, and the package ships none.
    """
    if arguments.model:
        return str(arguments.model)
    if _DEFAULT in pretrained_names():
        return f"charmnet://{_DEFAULT}"
    raise ValueError(
        "--model M is needed: the package ships no model yet; name a training run's folder (`charmnet "
        "quickstart` trains a small one in ten minutes, docs/training.md says more), a checkpoint, "
        "models:/NAME/VERSION of MLflow, or released weights (*_net_G.pth)"
    )
