"""Images to evaluate on, of a whole data set in one process."""

from __future__ import annotations

from collections.abc import Iterator

from charmnet.augment import TRAINING_SIZE
from charmnet.metrics import Protocol
from pipelines.evaluation.images import EvaluationImage, row_images, selected_rows
from pipelines.shards.reading import Dataset
from pipelines.shards.selection import Selection


def evaluation_images(
    dataset: Dataset,
    selection: Selection,
    size: int | None = TRAINING_SIZE,
    protocol: Protocol = Protocol.STANDARD,
) -> Iterator[EvaluationImage]:
    """Yield the images that a selection picks, in file order; see `row_images`."""
    for shard, group, _ in dataset.manifest.groups():
        for row in selected_rows(dataset, selection, shard, group):
            yield from row_images(row, size, protocol=protocol)
