"""Whether bf16 learns as well as float32: the small recipe from the same seeds in both, and what each scores.

Trains in this process on the stream that `charmnet train` would give one worker, then scores the splits.

python -m tests.benchmarks.precision --real URI --rendered URI --select "split == 'IHD_nonhuman_train'" \\
    --split IHD_nonhuman_test --split IHD_human_test
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

import torch

from charmnet.batch import HarmonizationBatch
from charmnet.methods import Method
from charmnet.vocabulary import Domain
from pipelines.config import TrainConfig
from pipelines.ingest.window import StreamSpec, read_window
from pipelines.recipes import recipe
from pipelines.shards.reading import Dataset
from pipelines.shards.selection import Selection
from pipelines.training.job import method_of
from pipelines.training.loop import to_batch
from pipelines.training.validation import Validation

CPU = torch.device("cpu")
PRECISIONS = ("float32", "bf16")


def batches(spec: StreamSpec) -> Iterator[HarmonizationBatch]:
    first = 0
    while True:
        for block in read_window(spec, first, first + spec.window_steps, spec.batch_size):
            yield to_batch(block, CPU)
        first += spec.window_steps


def trained(config: TrainConfig, datasets: dict[Domain, Dataset], select: str) -> Method:
    method = method_of(config)
    selections = {Domain.REAL: Selection(select), Domain.RENDERED: Selection()}
    streams = {
        domain: batches(StreamSpec(dataset, config.batch_size, config.seed, selections[domain]))
        for domain, dataset in datasets.items()
    }
    for _ in range(config.steps or 0):
        method.update({domain: next(stream) for domain, stream in streams.items()})
    return method


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for flag in ("real", "rendered", "select"):
        parser.add_argument(f"--{flag}", required=True)
    parser.add_argument("--split", action="append", required=True)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    datasets = {
        Domain.REAL: Dataset.open(arguments.real),
        Domain.RENDERED: Dataset.open(arguments.rendered),
    }
    config = replace(recipe("small"), steps=arguments.steps, batch_size=arguments.batch)
    config = replace(config, validate=tuple(arguments.split), sample_rows=0)
    validation = Validation.of(config, datasets, 0, 1)
    scored = defaultdict(list)
    for seed in range(arguments.seeds):
        for precision in PRECISIONS:
            method = trained(replace(config, seed=seed, precision=precision), datasets, arguments.select)
            scores = validation.score(method, CPU)
            for split in arguments.split:
                for metric in ("fmse", "mse"):
                    scored[split, metric, precision].append(scores[f"eval/{split}/{metric}"])
                    print(
                        seed,
                        precision,
                        split,
                        metric,
                        f"{scored[split, metric, precision][-1]:.1f}",
                        flush=True,
                    )
    for (split, metric, precision), values in scored.items():
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        print(f"{split} {metric} {precision}: {statistics.mean(values):.1f} ± {spread:.1f}")


if __name__ == "__main__":
    main()
