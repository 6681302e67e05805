"""How far the colours of two data sets of scenes are apart, condition by condition.

  python -m pipelines.benchmarks.condition_colors s3://bucket/rendered s3://bucket/mini_rdharmony

Of all pixels of a condition: mean and standard deviation of L, a and b (CIE Lab, D65), the first data set's
beside the second's; the distance is that of the three means.
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from charmnet.codecs import decode_rgb
from charmnet.vocabulary import NUM_CONDITIONS, CaptureCondition
from pipelines.shards.reading import Dataset
from pipelines.shards.schema import RowKind


def condition_colors(dataset: Dataset) -> np.ndarray:
    """float64 [conditions, 2, 3]: mean and standard deviation of L, a, b; every scene counts alike.

    Raises:
        SystemExit: its rows are no scenes.
    """
    if dataset.manifest.kind is not RowKind.SCENE:
        raise SystemExit(f"{dataset.location}: its rows are {dataset.manifest.kind}s; expected scenes")
    moments = np.zeros((NUM_CONDITIONS, 2, 3))
    count = 0
    for shard, group, _ in dataset.manifest.groups():
        for row in dataset.read_row_group(shard, group).to_pylist():
            count += 1
            for condition, data in enumerate(row["images"]):
                lab = cv2.cvtColor(np.float32(decode_rgb(data) / 255), cv2.COLOR_RGB2LAB).reshape(-1, 3)
                moments[condition] += lab.mean(0), np.square(lab).mean(0)
    mean, of_squares = (moments / count).transpose(1, 0, 2)
    return np.stack([mean, np.sqrt(of_squares - mean**2)], axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", nargs=2, metavar="URI")
    first, second = (condition_colors(Dataset.open(uri)) for uri in parser.parse_args().datasets)
    table = Table("condition", "mean L, a, b", "", "distance", "spread of L, a, b", "")
    for condition in CaptureCondition:
        cells = [
            "{:.0f}, {:.0f}, {:.0f}".format(*one[condition, moment])
            for moment in (0, 1)
            for one in (first, second)
        ]
        distance = np.linalg.norm(first[condition, 0] - second[condition, 0])
        name = condition.name.lower().replace("_", " ")
        table.add_row(name, *cells[:2], f"{distance:.1f}", *cells[2:])
    Console().print(table)


if __name__ == "__main__":
    main()
