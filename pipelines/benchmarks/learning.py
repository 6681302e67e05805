"""What different settings learn: the small recipe from the same seeds in each, and what they score.

Trains in this process on the stream that `charmnet train` would give one worker, then scores the splits.

python -m pipelines.benchmarks.learning --real URI --rendered URI --select "split == 'IHD_nonhuman_train'" \\
    --split IHD_nonhuman_test --split IHD_human_test precision=float32 precision=bf16 decode=fast
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
from pipelines.config.recipes import recipe
from pipelines.config.train_config import TrainConfig
from pipelines.ingest.stream import StreamSpec
from pipelines.ingest.window import read_window
from pipelines.shards.reading import Dataset
from pipelines.shards.selection import Selection
from pipelines.training.build import method_of
from pipelines.training.parallel import make_update
from pipelines.training.schedule import learning_rate_factor
from pipelines.training.streams import to_batch
from pipelines.training.validation import Validation

Datasets = dict[Domain, Dataset]


def batches(spec: StreamSpec, steps: int, device: torch.device) -> Iterator[HarmonizationBatch]:
    for start, stop in spec.windows(0, steps):
        for block in read_window(spec, start, stop, spec.batch_size):
            yield to_batch(block, device)


def trained(config: TrainConfig, datasets: Datasets, device: torch.device) -> Method:
    method, steps = method_of(config).to(device), config.steps or 0
    update = make_update(method, device, num_workers=1)
    streams = {}
    for domain, dataset in datasets.items():
        selection = Selection(config.real_select if domain is Domain.REAL else config.rendered_select)
        spec = StreamSpec(dataset, config.batch_size, config.seed, selection, decoding=config.decode)
        streams[domain] = batches(spec, steps, device)
    for step in range(steps):
        method.scale_learning_rates(learning_rate_factor(config.schedule, step, steps))
        update({domain: next(stream) for domain, stream in streams.items()})
    return method


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--real", required=True)
    parser.add_argument("--rendered", required=True)
    parser.add_argument("--select", default="")
    parser.add_argument("--split", action="append", required=True)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("settings", nargs="+", metavar="field=value[,field=value]")
    arguments = parser.parse_args()
    datasets = {
        Domain.REAL: Dataset.open(arguments.real),
        Domain.RENDERED: Dataset.open(arguments.rendered),
    }
    base = replace(
        recipe("small"),
        steps=arguments.steps,
        batch_size=arguments.batch,
        real_select=arguments.select,
        validate=tuple(arguments.split),
        sample_rows=0,
    )
    device = torch.device(arguments.device)
    validation = Validation.of(base, datasets, 0, 1)
    scored = defaultdict(list)
    for seed in range(arguments.seeds):
        for setting in arguments.settings:
            config = replace(base, seed=seed).override(setting.split(","))
            scores = validation.score(trained(config, datasets, device), device)
            for split in arguments.split:
                for metric in ("fmse", "mse"):
                    score = scores[f"eval/{split}/{metric}"]
                    scored[split, metric, setting].append(score)
                    print(seed, setting, split, metric, f"{score:.1f}", flush=True)
    for (split, metric, setting), values in scored.items():
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        print(f"{split} {metric} {setting}: {statistics.mean(values):.1f} ± {spread:.1f}")


if __name__ == "__main__":
    main()
