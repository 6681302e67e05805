"""Terminal output of the commands that build a data set."""

from __future__ import annotations

import re
from collections import Counter

from rich.table import Table

from pipelines.conversion.build import REJECTED_NAME, BuildResult, DatasetBuild
from pipelines.runtime.console import counted, results
from pipelines.shards.manifest import Manifest

_SHOWN_REJECTIONS = 10
_SHOWN_KINDS = 8
_DETAILS = r"\([^)]*\)|\[[^\]]*\]|'[^']*'|\S*/\S*|-?\d+(\.\d+)?"


def show_finished(build: DatasetBuild, manifest: Manifest, *, clean: bool = True) -> int:
    """Print that the data set was complete already, remove leftovers of its build and return exit code 0."""
    if clean:
        build.clean()
    results.print(f"{build.location} is finished: {counted(manifest.rows, 'row')} in {_shards(manifest)}")
    return 0


def show_result(build: DatasetBuild, result: BuildResult) -> int:
    """Print rows by stratum, the size and the rejections of a new data set; return exit code 0."""
    manifest = result.manifest
    table = Table(title=str(build.location))
    for column in ("", "name", "rows"):
        table.add_column(column, justify="right" if column == "rows" else "left")
    for field, totals in manifest.totals().items():
        for index, (name, rows) in enumerate(totals.items()):
            table.add_row(field if index == 0 else "", name, f"{rows:,}")
    results.print(table)
    results.print(
        f"{counted(manifest.rows, 'row')} ({counted(manifest.samples, 'sample')} an epoch) in "
        f"{_shards(manifest)}, {manifest.bytes / 1e6:,.1f} MB"
    )
    for remark, count in sorted(result.remarks.items()):
        results.print(f"note: {remark}: {count:,}")
    _show_rejections(build, result)
    return 0


def _shards(manifest: Manifest) -> str:
    return counted(len(manifest.shards), "shard")


def _show_rejections(build: DatasetBuild, result: BuildResult) -> None:
    if not result.rejected:
        return
    kinds = Counter(_kind(rejection.reason) for rejection in result.rejected)
    results.print(f"{len(result.rejected)} rejected, each in {build.location / REJECTED_NAME}:")
    for rejection in result.rejected[:_SHOWN_REJECTIONS]:
        results.print(f"  {rejection.file}: {rejection.reason}")
    if len(result.rejected) > _SHOWN_REJECTIONS:
        common = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common(_SHOWN_KINDS))
        results.print(f"  and more; the most common kinds: {common}")


def _kind(reason: str) -> str:
    """Return a reason without the line, names, numbers and expectations that differ between samples."""
    text = re.split(r"[;,] expected|: no file", re.sub(r"^.*? line \d+: ", "", reason))[0]
    return re.sub(_DETAILS, "...", text)
