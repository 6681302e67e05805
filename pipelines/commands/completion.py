"""Print a script with which a shell completes commands, options, methods and paths.

  charmnet completion bash > ~/.local/share/bash-completion/completions/charmnet
  charmnet completion zsh > ~/.zfunc/_charmnet

The script holds the options of this version; print it again after an update. bash finds it there with the
package bash-completion; for zsh, ~/.zfunc has to be in fpath before compinit is called. Commands whose
packages are not installed are completed by their names alone.
"""

from __future__ import annotations

import argparse

import shtab

from charmnet.methods import METHODS
from pipelines.commands.cli import add_command, new_parsers
from pipelines.runtime.console import results
from pipelines.runtime.extras import missing_package

_PATHS = frozenset({"FILE", "URI", "DIR", "M", "MODEL"})
"""What options are called whose values may be paths of this machine."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.add_argument("shell", choices=("bash", "zsh"), help="shell that is to complete")


def run(arguments: argparse.Namespace) -> int:
    """Print the script, which takes some seconds since every command is loaded; return 0."""
    results.out(completion_script(arguments.shell), highlight=False)
    return 0


def completion_script(shell: str) -> str:
    """Return the script for a shell, "bash" or "zsh"."""
    parser, commands = new_parsers()
    for name, command in commands.items():
        try:
            add_command(command, name)
        except ModuleNotFoundError as error:
            if missing_package(name, error) is None:
                raise
        for action in command._actions:  # noqa: SLF001 - argparse lists them nowhere else
            _describe(action)
    return shtab.complete(parser, shell)


def _describe(action: argparse.Action) -> None:
    """Add to an option what its values may be."""
    if action.dest == "method" and action.option_strings:
        action.choices = list(METHODS)
    elif action.metavar in _PATHS:
        action.complete = shtab.FILE  # type: ignore[attr-defined]  # shtab's own attribute
