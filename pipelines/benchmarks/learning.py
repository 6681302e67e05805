r"""Scores of short runs with different settings: the small recipe from the same seeds in each.

  python -m pipelines.benchmarks.learning --real URI --rendered URI \
      --select "split == 'IHD_nonhuman_train'" --split IHD_nonhuman_test --split IHD_human_test \
      precision=float32 precision=bf16 decode=fast

Trains in this process on the stream that `charmnet train` would give one worker, then scores the splits.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import nullcontext

import torch

from charmnet.averaging import WeightAverage
from charmnet.batch import HarmonizationBatch
from charmnet.methods import Method, Requirements
from charmnet.methods.seeding import seed_update
from charmnet.vocabulary import Domain
from pipelines.benchmarks.options import benchmark_parser
from pipelines.config.recipes import recipe
from pipelines.config.train_config import TrainConfig
from pipelines.ingest.stream import StreamSpec
from pipelines.ingest.window import read_window
from pipelines.shards.reading import Dataset
from pipelines.training.build import configured_method, make_validation, resolve, stream_specs
from pipelines.training.parallel import make_update
from pipelines.training.streams import to_batch

METRICS = ("fmse", "mse")


def stream_batches(
    spec: StreamSpec, steps: int, device: torch.device, requirements: Requirements
) -> Iterator[HarmonizationBatch]:
    """Yield the batches of a stream's first steps."""
    for start, stop in spec.windows(0, steps):
        for block in read_window(spec, start, stop, spec.batch_size):
            yield to_batch(block, device, requirements)


def train(
    config: TrainConfig, datasets: Mapping[Domain, Dataset], device: torch.device
) -> tuple[Method, WeightAverage | None]:
    """Train a new method in this process; return it and its average, if the configuration has one."""
    method = configured_method(config).to(device)
    average = WeightAverage(method, config.ema_decay) if config.ema_decay else None
    update = make_update(method, device, num_workers=1)
    specs = stream_specs(config, datasets, method)
    plan = resolve(config, specs)
    streams = {
        Domain(domain): stream_batches(spec, plan.steps, device, method.requirements)
        for domain, spec in specs.items()
    }
    for step in range(plan.steps):
        method.scale_learning_rates(plan.schedule.factor(step))
        seed_update(config.seed, step, 0)
        update({domain: next(stream) for domain, stream in streams.items()})
        if average is not None:
            average.update(step)
    return method, average


def main() -> None:
    """Train with every setting from every seed; print each score, then means and standard deviations."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--real", required=True, metavar="URI")
    parser.add_argument("--rendered", required=True, metavar="URI")
    parser.add_argument("--select", default="", help="rows of the real domain to train on")
    parser.add_argument("--split", action="append", required=True, help="to score; repeat for several")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=16, help="pairs a step (default 16)")
    parser.add_argument("--seeds", type=int, default=3, help="how many (default 3)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("settings", nargs="+", metavar="field=value[,field=value]")
    arguments = parser.parse_args()
    datasets = {
        Domain.REAL: Dataset.open(arguments.real),
        Domain.RENDERED: Dataset.open(arguments.rendered),
    }
    base = recipe("small").replaced(
        steps=arguments.steps,
        batch_size=arguments.batch,
        real_select=arguments.select,
        validate_splits=tuple(arguments.split),
        sample_rows=0,
    )
    device = torch.device(arguments.device)
    scores_by_setting = defaultdict(list)
    for seed in range(arguments.seeds):
        for setting in arguments.settings:
            config = base.replaced(seed=seed).override(setting.split(","))
            trained, average = train(config, datasets, device)
            with average.applied() if average else nullcontext():
                scores = make_validation(trained, config, datasets).score(device)
            for split in arguments.split:
                for metric in METRICS:
                    score = scores[f"eval/{split}/{metric}"]
                    scores_by_setting[split, metric, setting].append(score)
                    print(seed, setting, split, metric, f"{score:.1f}", flush=True)
    for (split, metric, setting), values in scores_by_setting.items():
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        print(f"{split} {metric} {setting}: {statistics.mean(values):.1f} ± {spread:.1f}")


if __name__ == "__main__":
    main()
