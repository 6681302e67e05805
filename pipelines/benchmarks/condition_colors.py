"""Distance between the colours of two data sets of scenes, condition by condition.

  python -m pipelines.benchmarks.condition_colors s3://bucket/rendered s3://bucket/mini_rdharmony

Over all pixels of a condition: mean and standard deviation of L, a and b (CIE Lab, D65), the first data set's
beside the second's; the distance is that of the two means.
"""

from __future__ import annotations

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from charmnet.codecs import decode_rgb
from charmnet.vocabulary import NUM_CONDITIONS, CaptureCondition
from pipelines.benchmarks.options import benchmark_parser
from pipelines.shards.reading import Dataset
from pipelines.shards.schema import RowKind


def condition_colors(dataset: Dataset) -> np.ndarray:
    """Return float64 [conditions, 2, 3]: mean and standard deviation of L, a, b; all scenes count alike.

    Raises:
        SystemExit: the rows of the data set are not scenes.
    """
    if dataset.manifest.kind is not RowKind.SCENE:
        raise SystemExit(f"{dataset.location}: its rows are {dataset.manifest.kind}s; expected scenes")
    moments = np.zeros((NUM_CONDITIONS, 2, 3))
    count = 0
    for shard, group, _ in dataset.manifest.groups():
        for row in dataset.read_row_group(shard, group).to_pylist():
            count += 1
            for condition, data in enumerate(row["images"]):
                rgb = np.asarray(decode_rgb(data) / 255, np.float32)
                lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB).reshape(-1, 3)
                moments[condition] += lab.mean(0), np.square(lab).mean(0)
    mean, mean_square = (moments / count).transpose(1, 0, 2)
    return np.stack([mean, np.sqrt(mean_square - mean**2)], axis=1)


def main() -> None:
    """Print a row for each condition."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("datasets", nargs=2, metavar="URI")
    first, second = (condition_colors(Dataset.open(uri)) for uri in parser.parse_args().datasets)
    table = Table("condition", "mean L, a, b", "", "distance", "spread of L, a, b", "")
    for condition in CaptureCondition:
        cells = [
            "{:.0f}, {:.0f}, {:.0f}".format(*colors[condition, moment])
            for moment in (0, 1)
            for colors in (first, second)
        ]
        distance = np.linalg.norm(first[condition, 0] - second[condition, 0])
        name = condition.name.lower().replace("_", " ")
        table.add_row(name, *cells[:2], f"{distance:.1f}", *cells[2:])
    Console().print(table)


if __name__ == "__main__":
    main()
