r"""Convert a released data set, or image archives, into parquet shards with a manifest.

  charmnet shard iharmony4 --source s3://bucket/iHarmony4 --list IHD_nonhuman_train.txt \
                           --list IHD_human_test.txt --dest s3://bucket/real
  charmnet shard rdharmony --source s3://bucket/RdHarmony --dest s3://bucket/rendered
  charmnet shard webdataset --source s3://bucket/tars --in-place

Every picture is checked; rejected ones are listed in rejected.jsonl and in the summary. An interrupted
command continues when it is started again; a finished one does nothing. Keys and endpoint of the store come
from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL).
"""

from __future__ import annotations

import argparse
from types import ModuleType

from charmnet.errors import StorageError
from charmnet.vocabulary import CaptureCondition, Domain
from pipelines.commands.dry_run import add_dry_run_option, show_rehearsal
from pipelines.conversion import iharmony4, rdharmony, webdataset
from pipelines.conversion.build import (
    DEFAULT_SHARD_SAMPLES,
    ArchiveTask,
    BuildPlan,
    DatasetBuild,
    EntriesTask,
    build_dataset,
)
from pipelines.conversion.entries import LayoutEntry, entries_in_shards, samples_of_entry
from pipelines.conversion.lists import read_categories, read_lists
from pipelines.conversion.rehearsal import rehearse_plan
from pipelines.conversion.report import show_finished, show_result
from pipelines.runtime.console import counted
from pipelines.runtime.storage import Location
from pipelines.shards.rejection import Rejection
from pipelines.shards.schema import FEW_SAMPLES, RowKind
from pipelines.shards.stratum import Stratum

_FEW_ARCHIVES, _SMALL_BYTES = 16, 64 << 20
PROJECT_ORDER = ",".join(condition.name for condition in CaptureCondition)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a sub-command for each layout."""
    layouts = parser.add_subparsers(dest="released_layout", required=True, metavar="LAYOUT")

    def layout(name: str, module: ModuleType, summary: str) -> argparse.ArgumentParser:
        return layouts.add_parser(
            name,
            help=summary,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    real = layout("iharmony4", iharmony4, "iHarmony4's sub-sets and lists (real domain)")
    _add_common(real)
    _add_lists(real, required=True)
    real.add_argument(
        "--validation-fraction",
        type=float,
        default=0.0,
        metavar="F",
        help="fraction of the photographs that leave the lists of training, by a hash of their names: what "
        "IHD_train lists of them is in the split IHD_validation instead (default 0)",
    )
    real.add_argument(
        "--keep-masks",
        action="store_true",
        help="store the masks' files as they are: with grey values, which some protocols of evaluation count",
    )
    real.set_defaults(make=_shard_iharmony4)

    rendered = layout("rdharmony", rdharmony, "RdHarmony's scenes and labelled lists (rendered domain)")
    _add_common(rendered)
    _add_lists(rendered, required=False)
    _add_rendered(rendered)
    rendered.set_defaults(make=_shard_rdharmony)

    archives = layout("webdataset", webdataset, "image archives (.tar) in the WebDataset convention")
    _add_common(archives, dest_required=False)
    _add_archives(archives)
    archives.set_defaults(make=_shard_webdataset)


def _add_rendered(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--layout",
        choices=[str(layout) for layout in rdharmony.Layout],
        help="scenes: store ten pictures and a mask once and make composites when they are read; "
        "pairs: store the composites (default: scenes without --list or where the lists hold whole scenes)",
    )
    parser.add_argument(
        "--condition-order",
        metavar="A,B,...",
        help="condition of each released number 1-10, by name or by the project's number 1-10 "
        "(default: the project's order, sunrise_sunset_clear to night)",
    )


def _add_archives(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--in-place", action="store_true", help="write only a manifest beside the archives")
    parser.add_argument(
        "--domain",
        choices=[str(domain) for domain in Domain],
        default=str(Domain.REAL),
        help="domain of all samples (default real)",
    )
    parser.add_argument(
        "--subset", help="subset of samples whose JSON names none (default: name of the source)"
    )
    parser.add_argument("--category", help="category of samples whose JSON names none")
    parser.add_argument(
        "--split",
        action="append",
        default=[],
        help="split of samples whose JSON names none; repeat for several",
    )


def run(args: argparse.Namespace) -> int:
    """Convert what is missing; return 0 when the data set is complete.

    Raises:
        ValueError: an option is out of range.
        DataError: too many rows were rejected, or the destination holds something else.
        StorageError: a file cannot be read or written.
    """
    if args.max_size is not None and args.max_size < 1:
        raise ValueError(f"--max-size is {args.max_size}, expected at least 1")
    if not 0 <= args.max_rejected <= 1:
        raise ValueError(f"--max-rejected is {args.max_rejected}, expected a share in 0..1")
    result: int = args.make(args)
    return result


def _add_common(parser: argparse.ArgumentParser, dest_required: bool = True) -> None:
    parser.add_argument(
        "--source", required=True, metavar="URI", help="folder or bucket with the released files"
    )
    parser.add_argument(
        "--dest", required=dest_required, metavar="URI", help="folder or bucket for the shards"
    )
    parser.add_argument(
        "--max-size",
        type=int,
        metavar="N",
        help="shrink pictures to at most N pixels on the longer side",
    )
    parser.add_argument(
        "--max-rejected",
        type=float,
        default=0.01,
        metavar="SHARE",
        help="fail if more than this share is rejected (default 0.01)",
    )
    parser.add_argument(
        "--retry-rejected", action="store_true", help="look again at files that an earlier run rejected"
    )
    add_dry_run_option(parser)


def _add_lists(parser: argparse.ArgumentParser, required: bool) -> None:
    parser.add_argument(
        "--list",
        action="append",
        required=required,
        default=[],
        metavar="[SPLIT=]FILE",
        help="a released list, beneath the source or elsewhere; repeat for several splits",
    )
    parser.add_argument(
        "--shard-samples",
        type=int,
        default=DEFAULT_SHARD_SAMPLES,
        metavar="N",
        help=f"samples in a shard; a scene is ten (default {DEFAULT_SHARD_SAMPLES})",
    )
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--category", metavar="NAME", help="category of every picture")
    group.add_argument("--categories", metavar="FILE", help="file with lines of path, tab, category")


def _shard_iharmony4(args: argparse.Namespace) -> int:
    if not 0 <= args.validation_fraction < 1:
        raise ValueError(f"--validation-fraction is {args.validation_fraction}, expected 0 or more, below 1")
    source = Location.of(args.source)
    data = iharmony4.IHarmony4(
        source,
        read_lists(args.list, source),
        read_categories(args.categories, args.category, source),
        args.validation_fraction,
    )
    return _shard_entries(args, data, RowKind.PAIR, Domain.REAL)


def _shard_rdharmony(args: argparse.Namespace) -> int:
    source = Location.of(args.source)
    data = rdharmony.RdHarmony(
        source,
        read_lists(args.list, source),
        read_categories(args.categories, args.category, source),
        rdharmony.parse_condition_order(args.condition_order or PROJECT_ORDER),
        None if args.layout is None else rdharmony.Layout(args.layout),
    )
    return _shard_entries(args, data, data.kind, Domain.RENDERED)


def _shard_entries(
    args: argparse.Namespace, data: iharmony4.IHarmony4 | rdharmony.RdHarmony, kind: RowKind, domain: Domain
) -> int:
    if args.shard_samples < 1:
        raise ValueError(f"--shard-samples is {args.shard_samples}, expected at least 1")
    keep_masks = getattr(args, "keep_masks", False)
    if keep_masks and args.max_size is not None:
        raise ValueError("--keep-masks and --max-size: masks that are shrunk cannot be kept; choose one")
    kept = {"keep_masks": True} if keep_masks else {}
    identity = {**data.identity(), "max_size": args.max_size, "shard_samples": args.shard_samples, **kept}
    destination = DatasetBuild(Location.of(args.dest), identity)
    if (manifest := destination.manifest()) is not None:
        return show_finished(destination, manifest, clean=not args.dry_run)
    _require_folder(data.source)
    entries, rejected = data.entries()
    tasks = [
        EntriesTask(data.source, kind, domain, shard, args.max_size, keep_masks)
        for shard in entries_in_shards(entries, kind, args.shard_samples)
    ]
    small = len(entries) * samples_of_entry(kind) <= FEW_SAMPLES
    plan = BuildPlan(tasks, rejected, _items(entries, rejected), small=small)
    return _build(args, destination, plan, f"{data.source}: {counted(len(entries), kind.value)} of the lists")


def _build(args: argparse.Namespace, destination: DatasetBuild, plan: BuildPlan, source: str) -> int:
    if args.dry_run:
        made = counted(len(plan.tasks), "shard")
        return show_rehearsal(rehearse_plan(destination, plan, args.max_rejected, source, made))
    return show_result(destination, build_dataset(destination, plan, args.max_rejected, args.retry_rejected))


def _require_folder(source: Location) -> None:
    """Refuse a source that does not exist, before every file of its lists is rejected one by one."""
    if source.scheme in ("file", "s3") and not source.exists():  # web servers know no folders
        raise StorageError(f"--source {source}: no such folder; expected one with the released files")


def _items(entries: list[LayoutEntry], rejected: list[Rejection]) -> int:
    return sum(entry.items for entry in entries) + sum(rejection.items for rejection in rejected)


def _shard_webdataset(args: argparse.Namespace) -> int:
    if args.in_place and (args.dest or args.max_size):
        raise ValueError(
            "--in-place leaves the archives as they are: neither --dest nor --max-size goes with it"
        )
    if not args.in_place and not args.dest:
        raise ValueError("--dest is missing (or --in-place, to write only a manifest beside the archives)")
    source = Location.of(args.source)
    subset = args.subset or source.name
    data = webdataset.WebDataset(
        source, Stratum(Domain(args.domain), subset, args.category, tuple(args.split))
    )
    identity = {**data.identity(), "in_place": args.in_place, "max_size": args.max_size}
    destination = DatasetBuild(Location.of(args.dest or args.source), identity, among_files=args.in_place)
    if (manifest := destination.manifest()) is not None:
        return show_finished(destination, manifest, clean=not args.dry_run)
    tasks = [
        ArchiveTask(source, archive, data.defaults, args.max_size, args.in_place) for archive in data.archives
    ]
    plan = BuildPlan(tasks, small=_are_small(source, data.archives))
    return _build(args, destination, plan, f"{source}: {counted(len(tasks), 'archive')}")


def _are_small(source: Location, archives: list[str]) -> bool:
    """Tell whether all archives together are read in this process sooner than a cluster starts."""
    few = len(archives) <= _FEW_ARCHIVES
    return few and sum((source / archive).size_bytes() for archive in archives) <= _SMALL_BYTES
