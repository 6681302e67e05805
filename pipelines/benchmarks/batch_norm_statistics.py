r"""Running statistics per domain against mixed ones: the same weights scored with both kinds.

  python -m pipelines.benchmarks.batch_norm_statistics --run URI --real URI --rendered URI \
      --select "split == 'IHD_nonhuman_train'" --split IHD_nonhuman_test --step 200 --step 400

Running statistics have no part in training, so one run serves for both. Each kind is gathered anew from the
training stream (rendered batch first, momentum 0.1, as in training), then the splits are scored.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from charmnet.batch import HarmonizationBatch
from charmnet.methods import CharmNetMethod, Method
from charmnet.vocabulary import Domain
from pipelines.benchmarks.options import benchmark_parser
from pipelines.config.train_config import TrainConfig
from pipelines.ingest.stream import StreamSpec
from pipelines.ingest.window import read_window
from pipelines.runs.models import load_model
from pipelines.runs.run_folder import checkpoint_name
from pipelines.shards.reading import Dataset
from pipelines.shards.selection import Selection
from pipelines.training.build import make_validation
from pipelines.training.streams import to_batch

BATCHES = 50
BATCH_SIZE = 8
CPU = torch.device("cpu")


def stream_batches(method: Method, uri: str, select: str) -> Iterator[HarmonizationBatch]:
    """Yield the first `BATCHES` batches of a data set's training stream as a method takes them."""
    spec = StreamSpec(
        Dataset.open(uri),
        BATCH_SIZE,
        selection=Selection(select),
        size=method.size,
        mask_edges=method.requirements.mask_edges,
    )
    return (to_batch(block, CPU, method.requirements) for block in read_window(spec, 0, BATCHES, BATCH_SIZE))


def with_statistics(method: Method, domain_statistics: bool) -> CharmNetMethod:
    """Return a method with the same weights and running statistics of the given kind, not yet gathered."""
    twin = CharmNetMethod(**{**method.arguments, "domain_statistics": domain_statistics})
    weights = method.modules["generator"].state_dict()
    state = twin.generator.state_dict()
    twin.generator.load_state_dict({**state, **{key: weights[key] for key in state if key in weights}})
    return twin


@torch.no_grad()
def gather_statistics(
    method: CharmNetMethod, rendered: Iterator[HarmonizationBatch], real: Iterator[HarmonizationBatch]
) -> None:
    """Update running statistics with batches of both domains in turns."""
    method.generator.train()
    for rendered_batch, real_batch in zip(rendered, real, strict=True):
        method.generator(rendered_batch.composite, rendered_batch.foreground_mask, Domain.RENDERED)
        method.generator(real_batch.composite, real_batch.foreground_mask, Domain.REAL)


def main() -> None:
    """Score checkpoints of a run with both kinds of statistics and print a line for each."""
    parser = benchmark_parser(__doc__)
    for flag in ("run", "real", "rendered", "select"):
        parser.add_argument(f"--{flag}", required=True)
    parser.add_argument("--split", action="append", required=True)
    parser.add_argument("--step", type=int, action="append", required=True)
    arguments = parser.parse_args()
    config = TrainConfig(validate_splits=tuple(arguments.split))
    datasets = {Domain.REAL: Dataset.open(arguments.real)}
    print("step  statistics  " + "  ".join(f"{split} fMSE MSE" for split in arguments.split))
    for step in arguments.step:
        method = load_model(f"{arguments.run}/{checkpoint_name(step)}")
        for per_domain in (False, True):
            model = with_statistics(method, per_domain)
            rendered = stream_batches(model, arguments.rendered, "")
            gather_statistics(model, rendered, stream_batches(model, arguments.real, arguments.select))
            scores = make_validation(model, config, datasets).score(CPU)
            figures = [
                f"{scores[f'eval/{split}/fmse']:.0f} {scores[f'eval/{split}/mse']:.1f}"
                for split in arguments.split
            ]
            print(f"{step}  {'per domain' if per_domain else 'mixed'}  {'  '.join(figures)}", flush=True)


if __name__ == "__main__":
    main()
