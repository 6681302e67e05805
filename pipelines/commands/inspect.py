"""Show what a data set holds, with a contact sheet of samples; --verify checks every byte of it.

charmnet inspect s3://bucket/real --select "split == 'IHD_human_test'"
charmnet inspect s3://bucket/real --verify
"""

from __future__ import annotations

import argparse
import io
from collections import Counter
from dataclasses import asdict
from typing import Any

from rich.table import Table

from charmnet.errors import DataError
from charmnet.vocabulary import CaptureCondition
from pipelines.runtime.concurrency import read_ahead
from pipelines.runtime.console import progress, results
from pipelines.runtime.storage import Location
from pipelines.shards.contact_sheet import contact_sheet, sample_rows
from pipelines.shards.manifest import Container, Manifest
from pipelines.shards.reading import STRATUM_COLUMNS, Dataset
from pipelines.shards.selection import Selection
from pipelines.shards.verify import Failure, checks_of, duplicate_ids, verify

DEFAULT_SAMPLES = 8
_SHOWN_FAILURES = 20
_SHOWN_SIZES = 5
_DIMENSIONS = ("domain", "subset", "category", "split")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("uri", metavar="URI", help="a data set made by `charmnet shard`")
    parser.add_argument(
        "--select", default="", metavar="EXPRESSION", help="only a part, such as \"split == 'IHD_test'\""
    )
    sheet = parser.add_mutually_exclusive_group()
    sheet.add_argument(
        "--contact-sheet",
        metavar="FILE",
        help="where to write the picture (default ./NAME-contact-sheet.png)",
    )
    sheet.add_argument("--no-contact-sheet", action="store_true", help="write none")
    parser.add_argument(
        "--samples", type=int, default=DEFAULT_SAMPLES, help=f"on the sheet (default {DEFAULT_SAMPLES})"
    )
    parser.add_argument(
        "--verify", action="store_true", help="check all checksums and decode all pictures, selected or not"
    )
    parser.add_argument("--json", metavar="FILE", help="write what is shown as JSON too")


def run(args: argparse.Namespace) -> int:
    """
    Raises:
        DataError: there is no data set, or `--verify` found something amiss.
        ValueError: `--select` picks nothing.
    """
    if args.samples < 1:
        raise ValueError(f"--samples is {args.samples}, expected at least 1")
    selection = Selection(args.select)
    dataset = Dataset.open(args.uri)
    facts = summary(dataset, selection)
    if selection.expression and not facts["rows"]:
        raise ValueError(
            f"--select {selection.expression!r} picks nothing of {dataset.location}; it has "
            f"{dataset.manifest.selectable_names()}"
        )
    _show(facts)
    failures = _verified(dataset) if args.verify else None
    if failures is not None:
        facts["failures"] = [asdict(failure) for failure in failures]
    if not failures:
        facts["sizes"] = sizes(dataset, selection)
        _show_sizes(facts["sizes"])
    if args.json:
        Location.of(args.json).write_json(facts)
    if failures:
        raise DataError(
            f"{dataset.location}: {len(failures)} failures; restore or remake the shards named above"
        )
    if not args.no_contact_sheet and facts["rows"]:
        _write_sheet(dataset, selection, args)
    return 0


def summary(dataset: Dataset, selection: Selection) -> dict[str, Any]:
    """What the manifest says of the selected rows.

    Returns:
        kind, rows and samples of the selection; for each of domain, subset, category and split
        {name: {"rows", "samples"}}, of the selection. Of the whole data set: digest, shards, row_groups,
        bytes, whole {"rows", "samples"} and condition {name: {"samples"}}.
    """
    manifest = dataset.manifest
    rows: dict[str, Counter[str]] = {name: Counter() for name in _DIMENSIONS}
    samples: dict[str, Counter[str]] = {name: Counter() for name in _DIMENSIONS}
    total: Counter[str] = Counter()
    for _, _, group in manifest.groups():
        for index, counts in group.strata.items():
            stratum = manifest.strata[index]
            if not selection(stratum):
                continue
            total.update(rows=counts[0], samples=counts[1])
            names = {
                "domain": [str(stratum.domain)],
                "subset": [stratum.subset],
                "category": [stratum.category or "(none)"],
                "split": stratum.splits or ("(none)",),
            }
            for dimension, values in names.items():
                rows[dimension].update(dict.fromkeys(values, counts[0]))
                samples[dimension].update(dict.fromkeys(values, counts[1]))
    return {
        "uri": str(dataset.location),
        "select": selection.expression,
        "kind": str(manifest.kind),
        "container": str(manifest.container),
        "digest": manifest.digest,
        "shards": len(manifest.shards),
        "row_groups": sum(len(shard.row_groups) for shard in manifest.shards),
        "bytes": manifest.bytes,
        "rows": total["rows"],
        "samples": total["samples"],
        **{
            name: {
                key: {"rows": rows[name][key], "samples": samples[name][key]} for key in sorted(rows[name])
            }
            for name in _DIMENSIONS
        },
        "whole": {"rows": manifest.rows, "samples": manifest.samples},
        "condition": _conditions(manifest),
    }


def sizes(dataset: Dataset, selection: Selection) -> dict[str, Any] | None:
    """Picture sizes of all selected rows, from the shards' columns; no picture is fetched.

    Returns:
        height and width as [least, most], and most_common: up to five {"width", "height", "rows"}. None for
        archives, whose pictures alone tell.
    """
    if dataset.manifest.container is Container.TAR or not dataset.manifest.rows:
        return None
    columns = [*STRATUM_COLUMNS, "height", "width"]
    counted: Counter[tuple[int, int]] = Counter()
    shards = range(len(dataset.manifest.shards))
    for table in read_ahead(lambda index: dataset.read_columns(index, columns), shards):
        picked = table.take(dataset.selected_rows(table, selection))
        counted.update(zip(picked["width"].to_pylist(), picked["height"].to_pylist(), strict=True))
    widths, heights = ([size[axis] for size in counted] for axis in (0, 1))
    return {
        "height": [min(heights), max(heights)],
        "width": [min(widths), max(widths)],
        "most_common": [
            {"width": width, "height": height, "rows": rows}
            for (width, height), rows in counted.most_common(_SHOWN_SIZES)
        ],
    }


def _conditions(manifest: Manifest) -> dict[str, dict[str, int]]:
    return {
        CaptureCondition(condition).name.lower(): {"samples": count}
        for condition, count in manifest.conditions.items()
    }


def _show(facts: dict[str, Any]) -> None:
    table = Table(title=facts["uri"], caption=facts["select"] or None)
    for column in ("", "name", f"{facts['kind']}s", "samples an epoch"):
        table.add_column(column, justify="left" if column in ("", "name") else "right")
    for dimension in _DIMENSIONS:
        for index, (name, counts) in enumerate(facts[dimension].items()):
            title = dimension if index == 0 else ""
            table.add_row(title, name, f"{counts['rows']:,}", f"{counts['samples']:,}")
    whole = facts["whole"]
    if facts["select"]:
        table.add_section()
        table.add_row("selected", "", f"{facts['rows']:,}", f"{facts['samples']:,}")
    table.add_section()
    table.add_row("whole data set", "", f"{whole['rows']:,}", f"{whole['samples']:,}")
    for name, counts in facts["condition"].items():
        table.add_row("", name, "", f"{counts['samples']:,}")
    results.print(table)
    results.print(
        f"whole data set: {facts['bytes'] / 1e6:,.1f} MB in {facts['shards']} {facts['container']} shards, "
        f"{facts['row_groups']} row groups; digest {facts['digest'][:12]}"
    )


def _show_sizes(found: dict[str, Any] | None) -> None:
    if found is None:
        return
    common = ", ".join(f"{s['width']}x{s['height']} ({s['rows']:,})" for s in found["most_common"])
    (narrowest, widest), (lowest, highest) = found["width"], found["height"]
    results.print(
        f"pictures {narrowest} to {widest} pixels wide, {lowest} to {highest} high; most common: {common}"
    )


def _verified(dataset: Dataset) -> list[Failure]:
    checks = checks_of(dataset)
    failures: list[Failure] = []
    with progress("Verifying", total=len(checks)) as advance:
        for found in verify(dataset, checks):
            failures.extend(found)
            advance(1)
    failures.extend(duplicate_ids(dataset))
    failures.sort(key=lambda f: (f.shard, -1 if f.row_group is None else f.row_group, f.id or ""))
    for failure in failures[:_SHOWN_FAILURES]:
        where = "" if failure.row_group is None else f" row group {failure.row_group}"
        row = "" if failure.id is None else f" {failure.id}"
        results.print(f"{failure.shard}{where}{row}: {failure.reason}")
    if len(failures) > _SHOWN_FAILURES:
        results.print(f"and {len(failures) - _SHOWN_FAILURES} more (--json lists all)")
    if not failures:
        results.print(
            f"verified: {len(dataset.manifest.shards)} checksums, {dataset.manifest.rows:,} rows decoded, "
            "no id twice"
        )
    return failures


def _write_sheet(dataset: Dataset, selection: Selection, args: argparse.Namespace) -> None:
    rows = sample_rows(dataset, selection, args.samples)
    place = Location.of(args.contact_sheet or f"./{dataset.location.name}-contact-sheet.png")
    data = io.BytesIO()
    contact_sheet(rows).save(data, "JPEG" if place.name.lower().endswith((".jpg", ".jpeg")) else "PNG")
    place.write_bytes(data.getvalue())
    results.print(f"contact sheet: {place.local_path or place}")
