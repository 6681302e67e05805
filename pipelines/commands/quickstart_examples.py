"""Pictures of the quickstart's sheet: composites of the test splits, as they were evaluated."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from charmnet.codecs import encode_png
from pipelines.evaluation.images import EvaluationImage, row_images, selected_rows
from pipelines.quickstart.data import Examples
from pipelines.runtime.randomness import hash_order
from pipelines.shards.reading import Dataset
from pipelines.shards.selection import Selection

EXAMPLES = 10


def write_examples(dataset_uri: str, select: str, per_image: Path, folder: Path) -> Examples:
    """Write the first pictures of an evaluation in an order by the hash of their ids, full-size.

    The order knows nothing of the results: what the sheet shows is not chosen.

    Args:
        dataset_uri: the evaluated data set.
        select: expression of the evaluated splits.
        per_image: file that `charmnet evaluate --per-image` wrote.
        folder: where the files go; nothing is done where it exists.
    """
    examples = Examples(folder)
    if folder.exists():
        return examples
    ids = pq.read_table(per_image, columns=["id"])["id"].to_pylist()
    numbers: dict[str, int] = {
        ids[index]: number for number, index in enumerate(islice(hash_order(ids), EXAMPLES))
    }
    # Ids of what is evaluated of a photograph's mask are its sample's with :1, :2 and so on behind.
    samples = {name for id_ in numbers for name in (id_, id_.rpartition(":")[0])}
    partial = Examples(folder.with_name(f"{folder.name}.partial"))
    shutil.rmtree(partial.folder, ignore_errors=True)
    for part in (partial.inputs, partial.ground_truths):
        part.mkdir(parents=True)
    dataset, selection = Dataset.open(dataset_uri), Selection(select)
    for shard, group, _ in dataset.manifest.groups():
        for row in selected_rows(dataset, selection, shard, group):
            if samples.isdisjoint([row["id"], *row.get("foreground_ids", ())]):
                continue
            _write(row_images(row, size=None), numbers, partial)
    partial.folder.rename(folder)
    return examples


def _write(images: Iterable[EvaluationImage], numbers: dict[str, int], examples: Examples) -> None:
    for image in images:
        if image.id in numbers:
            name = f"{numbers[image.id]:02d}"
            mask = image.foreground_mask * np.uint8(255)
            (examples.inputs / f"{name}.png").write_bytes(encode_png(image.composite))
            (examples.inputs / f"{name}.mask.png").write_bytes(encode_png(mask))
            (examples.ground_truths / f"{name}.png").write_bytes(encode_png(image.ground_truth))
