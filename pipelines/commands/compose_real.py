r"""Make composites of your own photographs and masks, as iHarmony4 was made (real domain).

  charmnet compose-real --photos s3://bucket/photos --masks s3://bucket/masks --per-mask 3 --dest s3://bucket/real
  charmnet compose-real --photos ./photos --masks ./masks --categories categories.tsv --per-mask 3 \
                        --layout released --dest ./Own
  charmnet compose-real --photos ./photos --masks auto --per-mask 4 --layout photographs --dest ./own

The masks of NAME.jpg are NAME.png or NAME_1.png, NAME_2.png, ...; white is foreground. A foreground gets the
colours of a foreground of the same category in another photograph, by one of four colour transfers; the
photograph itself is the ground truth. Composites that look unnatural are left out. An interrupted command
continues when it is started again; a finished one does nothing. The same seed gives the same bytes.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from charmnet.errors import DataError
from pipelines.commands.dry_run import add_dry_run_option, show_rehearsal
from pipelines.compositing.foregrounds import (
    MASK_SUFFIX,
    PHOTO_SUFFIXES,
    Folders,
    SplitFractions,
    find,
    is_photograph,
)
from pipelines.compositing.measuring import Request
from pipelines.compositing.real_pairs import is_released, make_photographs, make_released, make_shards
from pipelines.compositing.regions import FEW_PHOTOGRAPHS, FoundRegions, check_installed, find_regions
from pipelines.conversion.build import DEFAULT_SHARD_SAMPLES, REJECTED_NAME, BuildResult, DatasetBuild
from pipelines.conversion.lists import Categories, names_digest, read_categories
from pipelines.conversion.rehearsal import rehearse_build
from pipelines.conversion.report import show_finished, show_result
from pipelines.runtime.console import console, counted, results
from pipelines.runtime.rehearsal import place_of_work
from pipelines.runtime.storage import Location
from pipelines.runtime.user_files import walk_user_files, warn_of_others
from pipelines.shards.rejection import Rejection

_MAKERS = {"shards": make_shards, "photographs": make_photographs, "released": make_released}
AUTO = "auto"
BY_COLOR = "color"
LAYOUTS = tuple(_MAKERS)
_LEAST_TRAINED = 3
MAX_REJECTED = 0.1
"""Share of the masks that may give no composite, unless another is asked for."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("--photos", required=True, metavar="URI", help="folder or bucket with photographs")
    add(
        "--masks",
        required=True,
        metavar="URI",
        help=f"folder or bucket with their masks, PNG; or `{AUTO}`: regions found by segmentation",
    )
    add(
        "--categories",
        metavar="FILE",
        help="file with lines of a mask's or photograph's path, a tab and a category; or "
        f"`{BY_COLOR}`: groups of like colours, for masks that nobody gave categories",
    )
    add(
        "--views",
        action="store_true",
        help="NAME-0.jpg, NAME-1.jpg, ... are views of one photograph: in one split, and no references of "
        "each other",
    )
    add("--per-mask", required=True, type=int, metavar="K", help="at most K composites of each foreground")
    add("--dest", required=True, metavar="URI", help="folder or bucket for the composites")
    add("--seed", type=int, default=0, help="seed of every random choice (default 0)")
    add(
        "--layout",
        choices=LAYOUTS,
        default=LAYOUTS[0],
        help="shards: pair shards with a manifest; photographs: photographs and masks, whose composites are "
        "drawn anew in each epoch; released: iHarmony4's folders and lists (default shards)",
    )
    for split, fraction in (("validation", 0.1), ("test", 0.2)):
        add(
            f"--{split}-fraction",
            type=float,
            default=fraction,
            metavar="F",
            help=f"fraction of the photographs in the split `{split}` (default {fraction})",
        )
    _add_limits(parser)
    add_dry_run_option(parser)
    add(
        "--subset", metavar="NAME", help="subset of the composites (default: name of the photographs' folder)"
    )
    add(
        "--retry-rejected",
        action="store_true",
        help="start an unfinished data set again, after files were corrected",
    )
    add(
        "--shard-samples",
        type=int,
        default=DEFAULT_SHARD_SAMPLES,
        metavar="N",
        help="about this many composites in a shard, with `--layout photographs` foregrounds "
        f"(default {DEFAULT_SHARD_SAMPLES})",
    )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--max-size",
        type=int,
        default=1024,
        metavar="N",
        help="shrink photographs to at most N pixels on the longer side (default 1024)",
    )
    add(
        "--foreground-ratio",
        type=float,
        nargs=2,
        default=(0.01, 0.8),
        metavar=("LOW", "HIGH"),
        help="share of the picture that a foreground may cover (default 0.01 0.8)",
    )
    add(
        "--max-rejected",
        type=float,
        metavar="SHARE",
        help="fail if more than this share of the masks gives no composite "
        f"(default {MAX_REJECTED}, or those of one of few photographs)",
    )


def run(args: argparse.Namespace) -> int:
    """Make the composites that are missing; return 0 when the data set is complete.

    Raises:
        ValueError: an option is out of range.
        DataError: there are no masks, too many were rejected, or the destination holds something else.
    """
    _check(args)
    photos, masks = Location.of(args.photos), None if args.masks == AUTO else Location.of(args.masks)
    if photos == masks:
        raise ValueError(f"--photos and --masks are both {photos}; expected a folder for each")
    by_color = args.categories == BY_COLOR
    categories = read_categories(None if by_color else args.categories, None, masks or photos)
    names = {"photos": walk_user_files(photos), "masks": [] if masks is None else walk_user_files(masks)}
    warn_of_others(photos, names["photos"], PHOTO_SUFFIXES)
    if masks is not None and masks != photos:
        warn_of_others(masks, names["masks"], (MASK_SUFFIX,))
    subset = args.subset or photos.name
    identity = {**_options(args, subset, categories), "photos": str(photos), "masks": str(masks or AUTO)}
    identity |= {f"names_of_{folder}": names_digest(files) for folder, files in names.items()}
    destination = DatasetBuild(Location.of(args.dest), identity)
    if args.layout == "released" and is_released(destination):
        results.print(f"{destination.location} is finished")
        return 0
    if (manifest := destination.manifest()) is not None:
        return show_finished(destination, manifest, clean=not args.dry_run)
    if args.dry_run and masks is None:
        return _rehearse_regions(destination, photos, names["photos"])
    if args.retry_rejected and not args.dry_run:
        destination.parts.delete()
    without_region: list[Rejection] = []
    if masks is None:
        masks = destination.parts / "masks"
        regions = _find_regions(destination, photos, names["photos"], masks)
        names["masks"], without_region = regions.masks, regions.rejected
    # Photographs that are trained on take their colours from one another alone, and one may be unfit.
    least_trained = _LEAST_TRAINED if args.layout == "photographs" else 1
    fractions = SplitFractions(args.validation_fraction, args.test_fraction, least_trained)
    foregrounds, rejected = find(
        names["photos"], names["masks"], categories, fractions, args.seed, views=args.views
    )
    rejected = [*without_region, *rejected]
    if not foregrounds and not rejected:
        raise DataError(f"{masks}: no mask there; expected NAME.png or NAME_1.png, ... for NAME.jpg")
    given = args.masks != AUTO
    folders = Folders(photos, masks, args.max_size, tuple(args.foreground_ratio), by_color, given)
    request = Request(folders, foregrounds, rejected, args.per_mask, args.seed, subset, args.shard_samples)
    return _make(args, destination, request)


def _rehearse_regions(destination: DatasetBuild, photos: Location, names: Sequence[str]) -> int:
    """Print what would be done where masks are yet to be found."""
    _require_photographs(photos, names)
    pictures = sum(map(is_photograph, names))
    reads = f"{photos}: {counted(pictures, 'photograph')}, whose regions are found first"
    runs = f"finding regions {place_of_work(pictures <= FEW_PHOTOGRAPHS)}, then composing"
    return show_rehearsal(rehearse_build(destination, reads, "composites of the regions", runs))


def _require_photographs(photos: Location, names: Sequence[str]) -> None:
    if not any(map(is_photograph, names)):
        raise DataError(f"{photos}: no photograph there; expected JPEG, PNG, WebP or BMP files")


def _find_regions(
    destination: DatasetBuild, photos: Location, names: Sequence[str], folder: Location
) -> FoundRegions:
    """Write the masks of regions into a folder of the destination; see `find_regions`.

    Raises:
        DataError: there are no photographs, or there is a region in none of them.
    """
    _require_photographs(photos, names)
    destination.start()
    regions = find_regions(photos, names, folder)
    if not regions.masks:
        destination.write_rejected(regions.rejected)
        raise DataError(
            f"{photos}: no region found, in none of {len(regions.rejected)} photographs; expected objects "
            "that stand out by their colours, or --masks with a folder of masks"
        )
    return regions


def _make(args: argparse.Namespace, destination: DatasetBuild, request: Request) -> int:
    max_rejected = args.max_rejected
    if max_rejected is None:
        masks_of = Counter(foreground.photograph for foreground in request.foregrounds)
        max_rejected = rejected_share(request.items, max(masks_of.values(), default=1))
    if args.dry_run:
        request.check_names(max_rejected)
        reads = f"{request.folders.photos} and {request.folders.masks}: {counted(request.items, 'mask')}"
        made = f"at most {counted(len(request.foregrounds) * request.per_mask, 'composite')}"
        runs = f"measuring and composing {place_of_work(request.is_small)}"
        return show_rehearsal(rehearse_build(destination, reads, made, runs, request.lost))
    result, warnings = _MAKERS[args.layout](destination, request, max_rejected)
    show = _show_released if args.layout == "released" else show_result
    show(destination, result)
    _show_warnings(warnings)
    return 0


def rejected_share(masks: int, of_one: int = 1) -> float:
    """Return the share of masks that may give no composite by default: those of one of few photographs may.

    Args:
        masks: number of masks.
        of_one: most masks that a photograph has.
    """
    few = math.nextafter(of_one / masks, 1) if masks else 0.0  # as a share times `masks` is compared
    return MAX_REJECTED if masks <= of_one else max(MAX_REJECTED, few)


def _check(args: argparse.Namespace) -> None:
    if args.masks == AUTO:
        check_installed()
    for name in ("per_mask", "max_size", "shard_samples"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')} is {getattr(args, name)}, expected at least 1")
    for name in ("validation_fraction", "test_fraction"):
        if not 0 <= getattr(args, name) < 1:
            flag = f"--{name.replace('_', '-')}"
            raise ValueError(f"{flag} is {getattr(args, name)}, expected 0 or above and below 1")
    if args.validation_fraction + args.test_fraction >= 1:
        raise ValueError("--validation-fraction and --test-fraction leave nothing to train on")
    if args.max_rejected is not None and not 0 <= args.max_rejected <= 1:
        raise ValueError(f"--max-rejected is {args.max_rejected}, expected a share in 0..1")
    low, high = args.foreground_ratio
    if not 0 < low < high <= 1:
        raise ValueError(f"--foreground-ratio is {low:g} {high:g}, expected 0 < LOW < HIGH <= 1")


def _options(args: argparse.Namespace, subset: str, categories: Categories) -> dict[str, Any]:
    names = ("layout", "per_mask", "seed", "max_size", "foreground_ratio", "shard_samples")
    fractions = ("validation_fraction", "test_fraction")
    options = {name: getattr(args, name) for name in (*names, *fractions)}
    options |= {"views": True} if args.views else {}
    options |= {"group_by_color": True} if args.categories == BY_COLOR else {}
    return {"command": "compose-real", "subset": subset, **options, "categories": categories.sha256}


def _show_released(destination: DatasetBuild, result: BuildResult) -> None:
    splits = result.manifest.totals()["split"]
    lists = ", ".join(f"{rows:,} in {split}.txt" for split, rows in splits.items())
    results.print(f"{destination.location}: {counted(result.manifest.rows, 'composite')}, {lists}")
    if result.rejected:
        results.print(f"{len(result.rejected)} rejected, each in {destination.location / REJECTED_NAME}")


def _show_warnings(warnings: Sequence[str]) -> None:
    if warnings:
        console.print(f"accepted although unusual: {len(warnings):,}, such as {warnings[0]}", markup=False)
