"""What a command that has made a data set says of it."""

from __future__ import annotations

import re
from collections import Counter

from rich.table import Table

from pipelines.conversion.build import REJECTED_NAME, BuildResult, DatasetBuild
from pipelines.runtime.console import results
from pipelines.shards.manifest import Manifest

_SHOWN_REJECTIONS = 10
_SHOWN_KINDS = 8
_PARTICULARS = r"\([^)]*\)|\[[^\]]*\]|'[^']*'|\S*/\S*|-?\d+(\.\d+)?"


def show_finished(destination: DatasetBuild, manifest: Manifest) -> int:
    """Of a data set that was there already; returns the exit code 0."""
    destination.clean()
    results.print(f"{destination.location} is finished: {manifest.rows:,} rows in {_shards(manifest)}")
    return 0


def show_result(destination: DatasetBuild, outcome: BuildResult) -> int:
    """Rows by stratum, size and what was rejected; returns the exit code 0."""
    manifest = outcome.manifest
    table = Table(title=str(destination.location))
    for column in ("", "name", "rows"):
        table.add_column(column, justify="right" if column == "rows" else "left")
    for field, totals in manifest.totals().items():
        for index, (name, rows) in enumerate(totals.items()):
            table.add_row(field if index == 0 else "", name, f"{rows:,}")
    results.print(table)
    results.print(
        f"{manifest.rows:,} rows ({manifest.samples:,} samples an epoch) in {_shards(manifest)}, "
        f"{manifest.bytes / 1e6:,.1f} MB"
    )
    _show_rejections(destination, outcome)
    return 0


def _shards(manifest: Manifest) -> str:
    count = len(manifest.shards)
    return f"{count} shard{'' if count == 1 else 's'}"


def _show_rejections(destination: DatasetBuild, outcome: BuildResult) -> None:
    if not outcome.rejected:
        return
    kinds = Counter(_kind(rejection.reason) for rejection in outcome.rejected)
    results.print(f"{len(outcome.rejected)} rejected, each in {destination.location / REJECTED_NAME}:")
    for rejection in outcome.rejected[:_SHOWN_REJECTIONS]:
        results.print(f"  {rejection.file}: {rejection.reason}")
    if len(outcome.rejected) > _SHOWN_REJECTIONS:
        named = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common(_SHOWN_KINDS))
        results.print(f"  and more; the most common kinds: {named}")


def _kind(reason: str) -> str:
    """A reason without what differs from sample to sample: its line, names, numbers, what was expected."""
    text = re.split(r"[;,] expected|: no file", re.sub(r"^.*? line \d+: ", "", reason))[0]
    return re.sub(_PARTICULARS, "...", text)
