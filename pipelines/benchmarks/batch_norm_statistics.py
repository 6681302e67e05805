"""What running statistics per domain are worth: the same weights scored with both kinds.

Running statistics have no part in training, so one run serves for both. Each kind gathers its own anew from
the training stream (rendered batch first, momentum 0.1, as in training), then the splits are scored.

python -m pipelines.benchmarks.batch_norm_statistics --run URI --real URI --rendered URI \\
    --select "split == 'IHD_nonhuman_train'" --split IHD_nonhuman_test --step 200 --step 400
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import torch

from charmnet.batch import HarmonizationBatch
from charmnet.methods import CharmNetMethod, Method
from charmnet.vocabulary import Domain
from pipelines.config.train_config import TrainConfig
from pipelines.ingest.stream import StreamSpec
from pipelines.ingest.window import read_window
from pipelines.runs.models import load_model
from pipelines.shards.reading import Dataset
from pipelines.shards.selection import Selection
from pipelines.training.streams import to_batch
from pipelines.training.validation import Validation

BATCHES = 50
BATCH_SIZE = 8
CPU = torch.device("cpu")


def batches(uri: str, select: str) -> Iterator[HarmonizationBatch]:
    spec = StreamSpec(Dataset.open(uri), BATCH_SIZE, selection=Selection(select))
    return (to_batch(block, CPU) for block in read_window(spec, 0, BATCHES, BATCH_SIZE))


def twin(method: Method, domain_statistics: bool) -> CharmNetMethod:
    """The same weights with statistics of the other kind."""
    made = CharmNetMethod(**{**method.options, "domain_statistics": domain_statistics})
    weights, own = method.modules["generator"].state_dict(), made.generator.state_dict()
    made.generator.load_state_dict({**own, **{key: weights[key] for key in own if key in weights}})
    return made


@torch.no_grad()
def gather(
    method: CharmNetMethod, rendered: Iterator[HarmonizationBatch], real: Iterator[HarmonizationBatch]
) -> None:
    method.generator.train()
    for of_rendered, of_real in zip(rendered, real, strict=True):
        method.generator(of_rendered.composite, of_rendered.foreground_mask, Domain.RENDERED)
        method.generator(of_real.composite, of_real.foreground_mask, Domain.REAL)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for flag in ("run", "real", "rendered", "select"):
        parser.add_argument(f"--{flag}", required=True)
    parser.add_argument("--split", action="append", required=True)
    parser.add_argument("--step", type=int, action="append", required=True)
    arguments = parser.parse_args()
    config = TrainConfig(validate=tuple(arguments.split))
    validation = Validation.of(config, {Domain.REAL: Dataset.open(arguments.real)}, 0, 1)
    print("step  statistics  " + "  ".join(f"{split} fMSE MSE" for split in arguments.split))
    for step in arguments.step:
        method = load_model(f"{arguments.run}/checkpoint-{step:09d}")
        for per_domain in (False, True):
            model = twin(method, per_domain)
            gather(model, batches(arguments.rendered, ""), batches(arguments.real, arguments.select))
            scores = validation.score(model, CPU)
            figures = [
                f"{scores[f'eval/{s}/fmse']:.0f} {scores[f'eval/{s}/mse']:.1f}" for s in arguments.split
            ]
            print(f"{step}  {'per domain' if per_domain else 'mixed'}  {'  '.join(figures)}", flush=True)


if __name__ == "__main__":
    main()
