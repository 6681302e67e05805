r"""Measure a model on a data set: MSE, fMSE and PSNR beside those of the composites.

  charmnet evaluate --model s3://bucket/runs/NAME --data s3://bucket/real \
      --select "split == 'IHD_human_test'" --json figures.json --per-image figures.parquet

Every image is counted once. The figures are given over all images and by split, subset, category and the
share of the picture that the foreground covers. --protocol standard (the default) rounds and takes 255 as
PSNR's range; --protocol released repeats the published test script, for comparison with published numbers.
"""

from __future__ import annotations

import argparse
import json
import uuid
from collections.abc import Mapping
from typing import Any

import rich.box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from charmnet.errors import StorageError
from charmnet.metrics import Protocol
from pipelines.commands.tracking_options import add_tracking_options, tracking_uri
from pipelines.evaluation.per_image import FIGURES, IMAGES, per_image_parquet
from pipelines.evaluation.report import DIMENSIONS, EvaluationReport
from pipelines.runs.models import load_harmonization_model, model_name
from pipelines.runtime.console import console, progress
from pipelines.runtime.paths import state_folder
from pipelines.runtime.redaction import redact
from pipelines.runtime.storage import Location
from pipelines.shards.foreground_colors import per_mask
from pipelines.shards.reading import Dataset, selected_counts
from pipelines.shards.schema import RowKind
from pipelines.shards.selection import Selection
from pipelines.tracking import RunIdentity, open_tracker, send_unsent

_TRACKING_SECONDS = 15.0  # longest wait for a server that does not answer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--model",
        metavar="M",
        required=True,
        help="a run's folder (its best checkpoint), a checkpoint's folder, models:/NAME/VERSION, released "
        ".pth files (their folder, or PREFIX of PREFIX_net_G.pth: G is enough), or iDIH's idih256.pth",
    )
    parser.add_argument("--data", metavar="URI", required=True, help="data set, from `charmnet shard`")
    parser.add_argument("--select", metavar="EXPR", default="", help="such as \"split == 'IHD_human_test'\"")
    parser.add_argument("--protocol", choices=[p.value for p in Protocol], default=Protocol.STANDARD.value)
    parser.add_argument("--json", metavar="FILE", help="write the figures to this file")
    parser.add_argument(
        "--per-image", metavar="URI", help="write every image's figures to this file, as parquet"
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="number of models at work (default: one per GPU, else one per CPU)",
    )
    add_tracking_options(parser)
    parser.add_argument("--run-name", metavar="NAME", help="name of the MLflow run (default: evaluate MODEL)")


def run(arguments: argparse.Namespace) -> int:
    """Evaluate, print, write and track the figures; return 0.

    Raises:
        ValueError: an option is wrong, or the selection picks nothing.
        CharmNetError: data, model or a file to write are not usable.
    """
    if arguments.workers is not None and arguments.workers < 1:
        raise ValueError(f"--workers {arguments.workers}: expected 1 or more")
    selection, protocol = Selection(arguments.select), Protocol(arguments.protocol)
    for flag, uri in (("--json", arguments.json), ("--per-image", arguments.per_image)):
        if uri:
            _check_writable(flag, Location.of(uri))
    tracking = tracking_uri(arguments)
    if tracking:
        _send_unsent(tracking)
    dataset = Dataset.open(arguments.data)
    method = load_harmonization_model(arguments.model, tracking)
    from pipelines.evaluation.distributed import score_dataset  # Ray

    with progress("Evaluating", total=_image_count(dataset, selection)) as advance:
        results = []
        for result in score_dataset(method, dataset, selection, protocol, arguments.workers):
            results.append(result)
            advance(1)
    report = EvaluationReport.over(results)
    about = {
        "model": arguments.model,
        "data": str(dataset.location),
        "digest": dataset.manifest.digest,
        "select": arguments.select,
        "protocol": arguments.protocol,
    }
    figures = report.to_json()
    if arguments.json:
        Location.of(arguments.json).write_json({**figures, "about": about})
    if arguments.per_image:
        Location.of(arguments.per_image).write_bytes(per_image_parquet(results))
    Console(emoji=False).print(figures_table(figures))
    if tracking and not _track(tracking, arguments, about, report):
        console.print(
            f"the figures did not reach MLflow at {redact(tracking)} within {_TRACKING_SECONDS:.0f} s; "
            "the next command that is tracked there sends them",
            markup=False,
        )
    return 0


def _check_writable(flag: str, file: Location) -> None:
    """Check before the work that its result can be written, by writing a small file beside it."""
    probe = file.parent / f".{file.name}.{uuid.uuid4().hex}"
    try:
        if file.children():
            raise ValueError(f"{flag} {file} is a folder, expected a file's name in it")
        probe.write_bytes(b"")
        probe.delete()
    except StorageError as error:
        raise StorageError(f"{flag} {file} cannot be written: {error}") from error


def _send_unsent(tracking: str) -> None:
    """Send records that earlier commands could not send, or say that they cannot be sent yet."""
    spools = send_unsent(state_folder() / "spool", tracking, timeout_seconds=_TRACKING_SECONDS)
    if spools.kept:
        console.print(f"{len(spools.kept)} earlier runs have records that cannot be sent to MLflow yet")


def figures_table(figures: Mapping[str, Any]) -> Table:
    """Return a table of `EvaluationReport.to_json`: each figure of the composites beside the harmonized."""
    table = Table(box=rich.box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, collapse_padding=True)
    table.add_column("", overflow="fold")
    for heading in ("images", "MSE", "→", "fMSE", "→", "PSNR", "→"):
        table.add_column(heading, justify="right")
    table.add_row("all", *_cells(figures["all"]))
    for dimension in DIMENSIONS:
        unit = ", %" if dimension == "foreground_ratio" else ""
        table.add_row(f"[bold]{dimension.replace('_', ' ')}{unit}")
        for name, group in figures[dimension].items():
            table.add_row(f"  {escape(name)}", *_cells(group))
    return table


def _cells(group: Mapping[str, Any]) -> list[str]:
    def text(figure: str, value: float | None) -> str:
        return "-" if value is None else f"{value:.{2 if figure == 'psnr' else 1}f}"

    values = [text(figure, group[whose][figure]) for figure in FIGURES for whose in IMAGES]
    return [str(group["count"]), *values]


def _image_count(dataset: Dataset, selection: Selection) -> int | None:
    """Count the selected images; None for scenes, as lists may name a part of their pairs."""
    if dataset.manifest.kind is RowKind.SCENE:
        return None
    return per_mask(dataset.manifest) * sum(
        selected_counts(dataset.manifest, group, selection)[1] for _, _, group in dataset.manifest.groups()
    )


def _track(
    tracking: str, arguments: argparse.Namespace, about: Mapping[str, str], report: EvaluationReport
) -> bool:
    """Record the evaluation as an MLflow run; return whether it arrived there."""
    run_key = uuid.uuid4().hex
    name = arguments.run_name or f"evaluate {model_name(arguments.model)}"
    identity = RunIdentity(experiment=arguments.experiment, run_key=run_key, run_name=name)
    tracker = open_tracker(tracking, identity, state_folder() / "spool" / run_key)
    tracker.log_params({key: about[key] for key in ("model", "data", "select", "protocol")})
    name = Location.of(about["data"]).name
    tracker.log_dataset(about["data"], name=name, digest=about["digest"], context="evaluation")
    tracker.log_metrics(report.metrics(), 0)
    tracker.log_text(json.dumps(report.to_json(), indent=1), artifact_path="evaluation/figures.json")
    return tracker.close("FINISHED", _TRACKING_SECONDS)
