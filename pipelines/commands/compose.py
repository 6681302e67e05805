"""Exchange foregrounds between the capture conditions of rendered scenes and write the composites.

  charmnet compose --source s3://bucket/scenes --dest s3://bucket/pairs --pairs 10
  charmnet compose --source s3://bucket/scenes --dest ./RdHarmony --pairs all --layout released

Training does not need this: it makes composites from scene shards while it reads them. Written pairs are
fixed, can be viewed one by one and, in the released layout, read by other code. An interrupted command
continues when it is started again; a finished one does nothing.
"""

from __future__ import annotations

import argparse

from pipelines.compositing.scene_pairs import SceneCompositesTask, composite_tasks, write_released
from pipelines.conversion.build import BuildPlan, DatasetBuild, build_dataset
from pipelines.conversion.report import show_finished, show_result
from pipelines.runtime.console import counted, results
from pipelines.runtime.storage import Location
from pipelines.shards.reading import Dataset
from pipelines.shards.schema import PAIRS_PER_SCENE

LAYOUTS = ("shards", "released")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--source", required=True, metavar="URI", help="data set of scenes")
    parser.add_argument("--dest", required=True, metavar="URI", help="folder or bucket for the composites")
    parser.add_argument(
        "--pairs",
        required=True,
        metavar="K",
        help=f"composites of each 2D scene, drawn from its {PAIRS_PER_SCENE}, or `all` of them",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the drawn pairs (default 0)")
    parser.add_argument(
        "--layout",
        choices=LAYOUTS,
        default=LAYOUTS[0],
        help="shards: pair shards with a manifest; released: RdHarmony's folders and lists (default shards)",
    )
    parser.add_argument(
        "--quality", type=int, default=95, help="JPEG quality of the composites, 1 to 100 (default 95)"
    )


def run(args: argparse.Namespace) -> int:
    """Write the composites that are missing; return the exit code.

    Raises:
        DataError: the source holds no scenes, or the destination something else.
        ValueError: a number is out of range.
    """
    pairs = _pairs(args.pairs)
    if not 1 <= args.quality <= 100:
        raise ValueError(f"--quality is {args.quality}, expected 1-100")
    dataset = Dataset.open(args.source)
    tasks = composite_tasks(dataset, pairs, args.seed, args.quality)
    identity = {
        "command": "compose",
        "source": str(dataset.location),
        "source_digest": dataset.manifest.digest,
        "pairs": pairs,
        "seed": args.seed,
        "layout": args.layout,
        "quality": args.quality,
    }
    destination = DatasetBuild(Location.of(args.dest), identity)
    if args.layout == "released":
        return _released(destination, dataset, tasks)
    if (manifest := destination.manifest()) is not None:
        return show_finished(destination, manifest)
    plan = BuildPlan(tasks, title="Composing")
    return show_result(destination, build_dataset(destination, plan, max_rejected=0))


def _pairs(text: str) -> int:
    if text == "all":
        return PAIRS_PER_SCENE
    if not text.isdecimal() or not 1 <= int(text) <= PAIRS_PER_SCENE:
        raise ValueError(f"--pairs is {text!r}, expected 1-{PAIRS_PER_SCENE} or all")
    return int(text)


def _released(destination: DatasetBuild, dataset: Dataset, tasks: list[SceneCompositesTask]) -> int:
    subsets = sorted(dataset.manifest.totals()["subset"])
    composites = write_released(destination, subsets, tasks)
    if not composites:
        results.print(f"{destination.location} is finished")
        return 0
    lists = ", ".join(f"{subset}/{subset}_all_labeled.txt" for subset in subsets)
    results.print(f"{destination.location}: {counted(composites, 'composite')}, listed in {lists}")
    return 0
