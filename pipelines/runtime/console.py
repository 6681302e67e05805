"""Output on the terminal: progress, messages and results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

console = Console(stderr=True, soft_wrap=True, emoji=False)
results = Console(soft_wrap=True, markup=False, emoji=False)
"""Standard output, for what a command was asked for; text is shown as it is, without markup or emoji."""


def counted(count: int, noun: str) -> str:
    """Return a number with a noun, which gets an s where there is not just one."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


@contextmanager
def progress(description: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show a progress bar with counts and times on standard error; yield a function that advances it.

    Where standard error is no terminal (a job's log), only the final state is printed.

    Args:
        description: what is being done.
        total: how many items there are; None where that is unknown.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(description, total=total)
        yield lambda count: bar.advance(task, count)
