r"""Measure a model on a data set: MSE, fMSE, PSNR and SSIM beside those of the composites.

  charmnet evaluate --model s3://bucket/runs/NAME --data s3://bucket/real \
      --select "split == 'IHD_human_test'" --json figures.json --per-image figures.parquet

Every image is counted once. The figures are given over all images and by split, subset, category and the
share of the picture that the foreground covers, beside those of the composites and of three corrections that
need no learning, with 95 % intervals over photographs. --protocol standard (the default) rounds and takes
255 as PSNR's range; --protocol released repeats the published test script, and --protocol pct_net PCT-Net's
evaluation, for comparison with published numbers. --size 1024 and --size full measure what
`charmnet harmonize` makes of larger pictures. Up to 64 images are done in this process, without a cluster,
where RAY_ADDRESS names none and --workers is not given.
"""

from __future__ import annotations

import argparse
import json
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rich.console import Console

from charmnet.augment import TRAINING_SIZE
from charmnet.errors import StorageError
from charmnet.methods import HarmonizationMethod
from charmnet.metrics import Protocol
from pipelines.commands.count_options import add_workers_option, check_counts
from pipelines.commands.dry_run import add_dry_run_option, show_rehearsal
from pipelines.commands.evaluation_tables import tables
from pipelines.commands.tracking_options import add_tracking_options, tracking_uri
from pipelines.evaluation.datasets import are_few, score_dataset
from pipelines.evaluation.evaluation import Evaluation
from pipelines.evaluation.images import selected_groups, selected_image_count
from pipelines.evaluation.per_image import per_image_parquet
from pipelines.evaluation.report import ImageResult
from pipelines.evaluation.scoring import Scoring
from pipelines.runs.models import load_with_provenance, model_name
from pipelines.runtime.console import console, counted, progress
from pipelines.runtime.paths import state_folder
from pipelines.runtime.redaction import redact
from pipelines.runtime.rehearsal import Rehearsal, place_of_work
from pipelines.runtime.storage import Location
from pipelines.shards.reading import Dataset
from pipelines.shards.selection import Selection
from pipelines.tracking import RunIdentity, open_tracker, send_unsent
from pipelines.tracking.server_check import ServerCheck

_SIZES = {"256": TRAINING_SIZE, "1024": 1024, "full": None}
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
    parser.add_argument("--compare", metavar="M", help="another model, to be compared image by image")
    parser.add_argument("--data", metavar="URI", required=True, help="data set, from `charmnet shard`")
    parser.add_argument("--select", metavar="EXPR", default="", help="such as \"split == 'IHD_human_test'\"")
    parser.add_argument("--protocol", choices=[p.value for p in Protocol], default=Protocol.STANDARD.value)
    parser.add_argument(
        "--size",
        choices=_SIZES,
        default="256",
        help="side of the square that pictures are resized to, or full: their own size (default: 256)",
    )
    parser.add_argument(
        "--paste",
        action=argparse.BooleanOptionalAction,
        help="take the background from the composite, or from the model (default: as the method gives it at "
        "--size 256, else from the composite)",
    )
    parser.add_argument(
        "--no-tricks", action="store_true", help="leave out the corrections that need no learning"
    )
    parser.add_argument("--json", metavar="FILE", help="write the figures to this file")
    parser.add_argument(
        "--per-image", metavar="URI", help="write every image's figures to this file, as parquet"
    )
    add_workers_option(parser)
    add_dry_run_option(parser)
    add_tracking_options(parser)
    parser.add_argument("--run-name", metavar="NAME", help="name of the MLflow run (default: evaluate MODEL)")


def run(arguments: argparse.Namespace) -> int:
    """Evaluate, print, write and track the figures; return 0.

    Raises:
        ValueError: an option is wrong, or the selection picks nothing.
        CharmNetError: data, model or a file to write are not usable.
    """
    Selection(arguments.select)  # refused here if it is none
    check_counts(arguments, "workers")
    scoring = Scoring(
        Protocol(arguments.protocol),
        _SIZES[arguments.size],
        arguments.paste,
        tricks=not arguments.no_tricks,
    )
    for flag, uri in (("--json", arguments.json), ("--per-image", arguments.per_image)):
        if uri:
            _check_writable(flag, Location.of(uri))
    tracking = _checked_tracking(arguments)
    dataset = Dataset.open(arguments.data)
    models = [arguments.model] if arguments.compare is None else [arguments.model, arguments.compare]
    loaded = [load_with_provenance(model, tracking) for model in models]
    if arguments.dry_run:
        return _rehearse(arguments, dataset, scoring, [method for method, _ in loaded], tracking)
    rules = [scoring, replace(scoring, ssim=False, tricks=False)]
    results, *others = (
        _score(method, dataset, rule, arguments) for (method, _), rule in zip(loaded, rules, strict=False)
    )
    strata = [result.stratum for result in results]
    notes = [
        f"{model}: {note}"
        for model, (_, provenance) in zip(models, loaded, strict=True)
        for note in provenance.notes(dataset.manifest.digest, strata)
    ]
    about = _about(arguments, dataset) | {"paste": scoring.pastes(loaded[0][0]), "notes": notes}
    evaluation = Evaluation(results, about, *others)
    if arguments.json:
        Location.of(arguments.json).write_json({**evaluation.figures, "about": evaluation.about})
    if arguments.per_image:
        Location.of(arguments.per_image).write_bytes(per_image_parquet(results))
    output = Console(emoji=False)
    for table in tables(evaluation):
        output.print(table)
    for note in notes:
        output.print(f"Note: {note}", markup=False)
    if tracking and not _track(tracking, arguments, evaluation):
        console.print(
            f"the figures did not reach MLflow at {redact(tracking)} within {_TRACKING_SECONDS:.0f} s; "
            "the next command that is tracked there sends them",
            markup=False,
        )
    return 0


def _checked_tracking(arguments: argparse.Namespace) -> str | None:
    """Return where the figures are recorded, once it is known to take them, and send what waits for it."""
    tracking = tracking_uri(arguments, create=not arguments.dry_run)
    if tracking:
        ServerCheck(tracking, arguments.experiment).raise_refusal()
        if not arguments.dry_run:
            _send_unsent(tracking)
    return tracking


def _rehearse(
    arguments: argparse.Namespace,
    dataset: Dataset,
    scoring: Scoring,
    methods: Sequence[HarmonizationMethod],
    tracking: str | None,
) -> int:
    """Print what would be done, once the rules and the selection are known to fit; return 0."""
    for method in methods:
        scoring.check(method)
    selection = Selection(arguments.select)
    groups = selected_groups(dataset, selection)
    images = selected_image_count(dataset, selection)
    held = counted(len(groups), "row group") if images is None else counted(images, "image")
    models = filter(None, (arguments.model, arguments.compare))
    reads = [f"{dataset.location}: {held}", *(f"the model {model}" for model in models)]
    named = {"figures": arguments.json, "figures of every image": arguments.per_image}
    files = {Location.of(uri): text for text, uri in named.items() if uri}
    few = are_few(dataset, selection, arguments.workers)
    show_rehearsal(Rehearsal(reads, {}, f"evaluating {place_of_work(few)}", files))
    print(f"records in MLflow at {redact(tracking)}" if tracking else "records nothing")
    return 0


def _score(
    method: HarmonizationMethod, dataset: Dataset, scoring: Scoring, arguments: argparse.Namespace
) -> list[ImageResult]:
    selection = Selection(arguments.select)
    with progress("Evaluating", total=selected_image_count(dataset, selection)) as advance:
        results = []
        for result in score_dataset(method, dataset, selection, scoring, arguments.workers):
            results.append(result)
            advance(1)
    return results


def _about(arguments: argparse.Namespace, dataset: Dataset) -> dict[str, Any]:
    return {
        "model": arguments.model,
        "compare": arguments.compare,
        "data": str(dataset.location),
        "digest": dataset.manifest.digest,
        "select": arguments.select,
        "protocol": arguments.protocol,
        "size": arguments.size,
    }


def _check_writable(flag: str, file: Location) -> None:
    """Check before the work that its result can be written."""
    try:
        if file.children():
            raise ValueError(f"{flag} {file} is a folder, expected a file's name in it")
        file.parent.check_writable()
    except StorageError as error:
        raise StorageError(f"{flag} {file} cannot be written: {error}") from error


def _send_unsent(tracking: str) -> None:
    """Send records that earlier commands could not send, or say that they cannot be sent yet."""
    spools = send_unsent(
        state_folder() / "spool", tracking, timeout_seconds=_TRACKING_SECONDS, wait_for_files=False
    )
    if spools.message:
        console.print(spools.message, markup=False)


def _track(tracking: str, arguments: argparse.Namespace, evaluation: Evaluation) -> bool:
    """Record the evaluation as an MLflow run and say where it is seen; return whether it arrived there."""
    run_key = uuid.uuid4().hex
    name = arguments.run_name or f"evaluate {model_name(arguments.model)}"
    identity = RunIdentity(experiment=arguments.experiment, run_key=run_key, run_name=name)
    tracker = open_tracker(tracking, identity, state_folder() / "spool" / run_key)
    about = evaluation.about
    parameters = ("model", "compare", "data", "select", "protocol", "size", "paste")
    tracker.log_params({key: about[key] for key in parameters if about[key] is not None})
    if about["notes"]:
        tracker.set_tags({"notes": " ".join(about["notes"])})
    name = Location.of(about["data"]).name
    tracker.log_dataset(about["data"], name=name, digest=about["digest"], context="evaluation")
    tracker.log_metrics(evaluation.metrics(), 0)
    tracker.log_text(json.dumps(evaluation.figures, indent=1), artifact_path="evaluation/figures.json")
    arrived = tracker.close("FINISHED", _TRACKING_SECONDS)
    if tracker.page:
        print(f"MLflow: {tracker.page}")
    return arrived
