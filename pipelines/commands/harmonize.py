"""Apply a model to one picture, or to all pictures of a folder or bucket.

  charmnet harmonize --model s3://bucket/runs/NAME --composite in.jpg --mask mask.png --out out.png
  charmnet harmonize --model s3://bucket/runs/NAME --source s3://bucket/in --dest s3://bucket/out
  charmnet harmonize --model M --source in --masks masks --dest out --strength 0.7 --feather 4

Pictures may have any size. The network's change of colour is applied to the full picture without blurring
it, and the background stays as it is unless --background is given. In masks 128 and above is foreground. A
source holds NAME.jpg (.jpeg, .png, .webp, .tif, .avif, .heic) with NAME.mask.png beside it, or iHarmony4's
composite_images/ and masks/; --masks takes masks of other names from a folder of their own, and --mask one
for all pictures. Each result has the path of its composite. Few pictures are done in this process, without a
cluster, where RAY_ADDRESS names none. Started again, the command makes only what is missing.
Failures are listed with their reasons in the destination's failed.jsonl, and the exit code is 1.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import PurePosixPath

import torch

from charmnet.blending import Adjustment
from charmnet.errors import StorageError
from charmnet.methods import HarmonizationMethod
from charmnet.picture_formats import SUFFIXES
from charmnet.weights import weights_digest
from pipelines.commands.cli import EXIT_FAILED
from pipelines.commands.count_options import add_workers_option, check_counts
from pipelines.commands.dry_run import add_dry_run_option, show_rehearsal
from pipelines.harmonization.files import (
    FileResult,
    Folders,
    PictureFiles,
    find_pictures,
    harmonize_file,
    harmonized_pair,
    match_masks,
    only_pictures,
)
from pipelines.harmonization.harmonizer import FEW_PICTURES, Harmonizer
from pipelines.runs.models import load_harmonization_model
from pipelines.runtime.cluster import works_in_process
from pipelines.runtime.console import console, counted, progress
from pipelines.runtime.rehearsal import Rehearsal, place_of_work
from pipelines.runtime.storage import Location
from pipelines.runtime.user_files import is_litter, walk_user_files, warn_of_others

RECORD_NAME = "harmonize.json"
FAILED_NAME = "failed.jsonl"
_SHOWN = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--model", metavar="M", required=True, help="model, as for `charmnet evaluate`")
    parser.add_argument("--composite", metavar="FILE", help="one picture")
    parser.add_argument("--mask", metavar="FILE", help="mask of its foreground: 128 and above")
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="file for the result: .png, .webp, .tif (lossless), .jpg, .avif or .heic",
    )
    parser.add_argument("--source", metavar="URI", help="folder or bucket of many pictures")
    parser.add_argument("--dest", metavar="URI", help="folder or bucket for their results")
    parser.add_argument("--masks", metavar="URI", help="folder of masks whose names begin their pictures'")
    parser.add_argument(
        "--strength", metavar="S", type=float, default=1.0, help="share of the change, 0 to 1 (default: 1)"
    )
    parser.add_argument(
        "--feather",
        metavar="PIXELS",
        type=float,
        default=0.0,
        help="let the change fade out over so many pixels on each side of the mask's edge (default: 0)",
    )
    parser.add_argument("--background", action="store_true", help="change the background, too")
    add_workers_option(parser)
    add_dry_run_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Harmonize one picture or many; return the exit code.

    Raises:
        ValueError: the options do not fit together.
        CharmNetError: a picture, the model, the source or the destination is not usable.
    """
    check_counts(arguments, "workers")
    adjustment = Adjustment(arguments.background, arguments.strength, arguments.feather)
    one = (arguments.composite, arguments.out)
    many = (arguments.source, arguments.dest)
    if all((*one, arguments.mask)) and not any((*many, arguments.masks)):
        return _run_one(arguments, adjustment)
    if all(many) and not any(one) and not (arguments.mask and arguments.masks):
        return _run_many(arguments, adjustment)
    raise ValueError(
        "expected --composite, --mask and --out for one picture, or --source and --dest for many, with "
        "--masks or --mask where masks do not lie beside them"
    )


def _run_one(arguments: argparse.Namespace, adjustment: Adjustment) -> int:
    out = Location.of(arguments.out)
    if PurePosixPath(out.name).suffix.lower() not in SUFFIXES:
        raise ValueError(f"--out {arguments.out}: expected a name that ends in {', '.join(SUFFIXES)}")
    composite, mask = Location.of(arguments.composite), Location.of(arguments.mask)
    if out in (composite, mask):
        raise ValueError(f"--out {out} is also what is read; choose another name")
    method = _load_model(arguments)
    if arguments.dry_run:  # as much work as reading it, and all that would be refused is
        harmonized_pair(method, composite, mask, out.name, adjustment)
        reads = [f"{composite}, with the mask {mask}", f"the model {arguments.model}"]
        return show_rehearsal(Rehearsal(reads, {}, "harmonizing in this process", {out: "the result"}))
    warning = harmonize_file(method, composite, mask, out, adjustment)
    if warning:
        console.print(f"warning: {warning}", markup=False)
    console.print(f"{out}", markup=False)
    return 0


def _run_many(arguments: argparse.Namespace, adjustment: Adjustment) -> int:
    source, dest = Location.of(arguments.source), Location.of(arguments.dest)
    if f"{dest}/".startswith(f"{source}/"):
        raise ValueError(f"--dest {dest} lies in --source {source}: results would be taken for composites")
    masks, pictures = _find(arguments, source)
    if not pictures.pairs and not pictures.incomplete:
        raise StorageError(
            f"{source}: no picture there that could be harmonized; see `charmnet harmonize --help`"
        )
    method = _load_model(arguments)
    record = _record_of(method, arguments, adjustment)
    claimed = _check_claim(dest, record)
    finished = set(dest.walk_files())
    pairs = [pair for pair in pictures.pairs if pair[0] not in finished]
    if arguments.dry_run:
        return _rehearse_many(source, dest, pictures, pairs, arguments)
    if not claimed:
        (dest / RECORD_NAME).write_json(record)
    file_results = [FileResult(path, problem=reason) for path, reason in pictures.incomplete]
    with progress("Harmonizing", total=len(pairs)) as advance:
        for result in _harmonize(method, Folders(source, masks, dest), pairs, adjustment, arguments.workers):
            file_results.append(result)
            advance(1)
    return _report(dest, file_results, len(pictures.pairs) - len(pairs))


def _find(arguments: argparse.Namespace, source: Location) -> tuple[Location, PictureFiles]:
    """Return the folder that masks' paths are relative to, and the pictures with their masks."""
    paths = list(walk_user_files(source))
    warn_of_others(source, paths, SUFFIXES)
    if arguments.mask:
        mask = Location.of(arguments.mask)
        composites = [path for path in only_pictures(paths) if source / path != mask]
        return mask.parent, PictureFiles([(path, mask.name) for path in sorted(composites)], [])
    if arguments.masks:
        masks = Location.of(arguments.masks)
        if f"{source}/".startswith(f"{masks}/"):
            raise ValueError(
                f"--masks {masks} is or holds --source {source}: which of its pictures are masks is not known"
            )
        composites = [path for path in paths if not f"{source / path}".startswith(f"{masks}/")]
        return masks, match_masks(composites, walk_user_files(masks))
    return source, find_pictures(paths)


def _record_of(
    method: HarmonizationMethod, arguments: argparse.Namespace, adjustment: Adjustment
) -> dict[str, object]:
    """Return what results depend on; what is as by default is left out, as in records of earlier versions."""
    chosen = {
        "strength": adjustment.strength if adjustment.strength != 1 else None,
        "feather": adjustment.feather or None,
        "masks": str(Location.of(arguments.masks)) if arguments.masks else None,
        "mask": str(Location.of(arguments.mask)) if arguments.mask else None,
    }
    return {
        "weights_sha256": weights_digest(method),
        "background": adjustment.background,
        **{name: value for name, value in chosen.items() if value is not None},
    }


def _rehearse_many(
    source: Location,
    dest: Location,
    pictures: PictureFiles,
    pairs: list[tuple[str, str]],
    arguments: argparse.Namespace,
) -> int:
    """Print what would be done with a folder's pictures; return 1 where some have no mask."""
    for path, reason in pictures.incomplete[:_SHOWN]:
        console.print(f"failed: {path}: {reason}", markup=False)
    failed = f", {len(pictures.incomplete):,} without a mask" if pictures.incomplete else ""
    reads = [f"{source}: {counted(len(pictures.pairs), 'picture')}{failed}", f"the model {arguments.model}"]
    written = f"{counted(len(pairs), 'result')}, {len(pictures.pairs) - len(pairs):,} are there"
    runs = f"harmonizing {place_of_work(_are_few(pairs, arguments.workers))}"
    status = show_rehearsal(Rehearsal(reads, {dest: written}, runs))
    return EXIT_FAILED if pictures.incomplete else status


def _load_model(arguments: argparse.Namespace) -> HarmonizationMethod:
    """Return the model.

    Raises:
        ValueError: it cannot change the background, which is asked for.
    """
    method = load_harmonization_model(arguments.model)
    if arguments.background and method.pastes_itself:
        raise ValueError(
            f"--background: the networks of {arguments.model} (head=affine or paste=true) take the "
            "background from the composite and cannot change it; leave out --background"
        )
    return method


def _harmonize(
    method: HarmonizationMethod,
    folders: Folders,
    pairs: list[tuple[str, str]],
    adjustment: Adjustment,
    workers: int | None,
) -> Iterator[FileResult]:
    """Harmonize in this process where there are few pictures and no cluster to join, else on a cluster."""
    if works_in_process(_are_few(pairs, workers)):
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return Harmonizer(method, folders, adjustment, device=device).harmonize(pairs)
    from pipelines.harmonization.distributed import harmonize_pictures  # Ray

    return harmonize_pictures(method, folders, pairs, adjustment, workers=workers)


def _are_few(pairs: list[tuple[str, str]], workers: int | None) -> bool:
    """Tell whether pictures are done in this process: few, sooner than a cluster starts, or without Ray."""
    return workers is None and (len(pairs) <= FEW_PICTURES or find_spec("ray") is None)


def _check_claim(dest: Location, record: dict[str, object]) -> bool:
    """Return whether a destination has the record of what its results depend on; it never mixes two models.

    Raises:
        StorageError: it holds results that depend on something else, or other files.
    """
    file = dest / RECORD_NAME
    if file.exists():
        if file.read_json() != record:
            raise StorageError(
                f"{dest} holds results of other weights, masks or options (see {file}); choose another --dest"
            )
        return True
    if any(not is_litter(child.name) for child in dest.children()):
        raise StorageError(f"{dest} holds something else (there is no {RECORD_NAME}); choose another --dest")
    return False


def _report(dest: Location, file_results: Sequence[FileResult], already: int) -> int:
    """Report on the terminal and in failed.jsonl; return the exit code."""
    failed = [result for result in file_results if result.problem]
    warned = [result for result in file_results if result.warning]
    file = dest / FAILED_NAME
    if failed:
        file.write_jsonl({"path": result.path, "reason": result.problem} for result in failed)
    elif file.exists():
        file.delete()  # an earlier run's, whose pictures have been corrected
    for kind, listed in (("failed", failed), ("warning", warned)):
        for result in listed[:_SHOWN]:
            console.print(f"{kind}: {result.path}: {result.problem or result.warning}", markup=False)
        if len(listed) > _SHOWN:
            console.print(f"{kind}: and {len(listed) - _SHOWN} more")
    harmonized = len(file_results) - len(failed)
    console.print(
        f"{dest}: {harmonized} harmonized, {already} were there, {len(failed)} failed", markup=False
    )
    return EXIT_FAILED if failed else 0
