"""Show what a data set contains, with a contact sheet of samples; --verify checks every byte.

charmnet inspect s3://bucket/real --select "split == 'IHD_human_test'"
charmnet inspect s3://bucket/real --verify

--store shows how a store is spoken to, and tries to list, write, read and delete beneath a folder of it:

charmnet inspect --store s3://bucket/runs
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import asdict
from typing import Any

from rich.table import Table

from charmnet.errors import DataError, StorageError
from charmnet.vocabulary import CaptureCondition
from pipelines.runtime.concurrency import read_ahead
from pipelines.runtime.console import counted, progress, results
from pipelines.runtime.redaction import redact
from pipelines.runtime.storage import Location
from pipelines.runtime.store_check import store_settings, try_store
from pipelines.shards.contact_sheet import contact_sheet, sample_rows, write_picture
from pipelines.shards.manifest import Container, Manifest
from pipelines.shards.reading import STRATUM_COLUMNS, Dataset
from pipelines.shards.selection import Selection
from pipelines.shards.verify import Failure, checks_of, duplicate_ids, verify

DEFAULT_SAMPLES = 8
_SHOWN_FAILURES = 20
_SHOWN_SIZES = 5
_DIMENSIONS = ("domain", "subset", "category", "split")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("uri", metavar="URI", nargs="?", help="data set made by `charmnet shard`")
    parser.add_argument(
        "--store", metavar="URI", help="try this folder of a store, in place of showing a data set"
    )
    parser.add_argument(
        "--select", default="", metavar="EXPRESSION", help="only some rows, such as \"split == 'IHD_test'\""
    )
    sheet = parser.add_mutually_exclusive_group()
    sheet.add_argument(
        "--contact-sheet",
        metavar="FILE",
        help="file for the contact sheet (default ./NAME-contact-sheet.png)",
    )
    sheet.add_argument("--no-contact-sheet", action="store_true", help="write no contact sheet")
    parser.add_argument(
        "--samples",
        type=int,
        default=DEFAULT_SAMPLES,
        help=f"samples on the contact sheet (default {DEFAULT_SAMPLES})",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="check all checksums and decode all pictures, whether selected or not",
    )
    parser.add_argument("--json", metavar="FILE", help="write what is shown to this file as JSON, too")


def run(args: argparse.Namespace) -> int:
    """Show a data set, or try a store; return the exit code.

    Raises:
        StorageError: the store refused something.
        DataError: there is no data set, or `--verify` found failures.
        ValueError: `--select` picks nothing.
    """
    if (args.uri is None) == (args.store is None):
        raise ValueError("expected the URI of a data set, or --store and the URI of a folder")
    if args.store is not None:
        return _try_store(Location.of(args.store), args.json)
    if args.samples < 1:
        raise ValueError(f"--samples is {args.samples}, expected at least 1")
    selection = Selection(args.select)
    dataset = Dataset.open(args.uri)
    content = summary(dataset, selection)
    if selection.expression and not content["rows"]:
        raise ValueError(
            f"--select {selection.expression!r} picks nothing of {dataset.location}; it has "
            f"{dataset.manifest.selectable_names()}"
        )
    _show(content)
    failures = _verified(dataset) if args.verify else None
    if failures is not None:
        content["failures"] = [asdict(failure) for failure in failures]
    if not failures:
        content["sizes"] = sizes(dataset, selection)
        _show_sizes(content["sizes"])
    if args.json:
        Location.of(args.json).write_json(content)
    if failures:
        raise DataError(
            f"{dataset.location}: {len(failures)} failures; restore or remake the shards named above"
        )
    if not args.no_contact_sheet and content["rows"]:
        _write_sheet(dataset, selection, args)
    return 0


def _try_store(location: Location, json_file: str | None) -> int:
    settings = store_settings(location)
    for name, value in settings.items():
        results.print(f"{name:14}{value}")
    trials = {trial.act: redact(trial.problem or "") for trial in try_store(location)}
    for act, problem in trials.items():
        results.print(f"{act:24}{f'refused: {problem}' if problem else 'works'}")
    if json_file:
        Location.of(json_file).write_json({"settings": settings, "problems": trials})
    if refused := [act for act, problem in trials.items() if problem]:
        raise StorageError(f"{location}: the store refuses to {', to '.join(refused)}; the reasons are above")
    return 0


def summary(dataset: Dataset, selection: Selection) -> dict[str, Any]:
    """Summarize a data set and its selected rows, from the manifest alone.

    Returns:
        Of the selection: rows, samples and, for each of domain, subset, category and split,
        {name: {"rows", "samples"}}. Of the whole data set: uri, kind, container, digest, shards, row_groups,
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
    """Summarize the picture sizes of the selected rows, from the shards' columns; reads no picture.

    Returns:
        height and width as [least, most] in pixels, and most_common: up to five {"width", "height", "rows"}.
        None for archives, which have no columns.
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


def _show(content: dict[str, Any]) -> None:
    table = Table(title=content["uri"], caption=content["select"] or None)
    for column in ("", "name", f"{content['kind']}s", "samples per epoch"):
        table.add_column(column, justify="left" if column in ("", "name") else "right")
    for dimension in _DIMENSIONS:
        for index, (name, counts) in enumerate(content[dimension].items()):
            title = dimension if index == 0 else ""
            table.add_row(title, name, f"{counts['rows']:,}", f"{counts['samples']:,}")
    whole = content["whole"]
    if content["select"]:
        table.add_section()
        table.add_row("selected", "", f"{content['rows']:,}", f"{content['samples']:,}")
    table.add_section()
    table.add_row("whole data set", "", f"{whole['rows']:,}", f"{whole['samples']:,}")
    for name, counts in content["condition"].items():
        table.add_row("", name, "", f"{counts['samples']:,}")
    results.print(table)
    results.print(
        f"whole data set: {content['bytes'] / 1e6:,.1f} MB in "
        f"{counted(content['shards'], content['container'] + ' shard')}, "
        f"{counted(content['row_groups'], 'row group')}; digest {content['digest'][:12]}"
    )


def _show_sizes(measured: dict[str, Any] | None) -> None:
    if measured is None:
        return
    common = ", ".join(f"{s['width']}x{s['height']} ({s['rows']:,})" for s in measured["most_common"])
    (narrowest, widest), (lowest, highest) = measured["width"], measured["height"]
    results.print(
        f"pictures {narrowest} to {widest} pixels wide, {lowest} to {highest} high; most common: {common}"
    )


def _verified(dataset: Dataset) -> list[Failure]:
    checks = checks_of(dataset)
    failures: list[Failure] = []
    with progress("Verifying", total=len(checks)) as advance:
        for failed in verify(dataset, checks):
            failures.extend(failed)
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
            f"verified: {counted(len(dataset.manifest.shards), 'checksum')}, "
            f"{counted(dataset.manifest.rows, 'row')} decoded, "
            "no id twice"
        )
    return failures


def _write_sheet(dataset: Dataset, selection: Selection, args: argparse.Namespace) -> None:
    rows = sample_rows(dataset, selection, args.samples)
    file = Location.of(args.contact_sheet or f"./{dataset.location.name}-contact-sheet.png")
    write_picture(contact_sheet(rows), file)
    results.print(f"contact sheet: {file.local_path or file}")
