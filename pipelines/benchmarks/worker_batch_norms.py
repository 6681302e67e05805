r"""Effect of the number of workers on training: batch norms see a worker's share of the batch, or all of it.

  python -m pipelines.benchmarks.worker_batch_norms --real URI --rendered URI --select "split == 'train'" \
      --split test

One process and several (gloo) learn from the same global batches and the same start. Everything but the batch
norms adds up to the same update (tests/distributed/test_ddp_update.py). Another seed shows how much two runs
differ that differ in nothing else.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch.multiprocessing.spawn import spawn

from charmnet.batch import HarmonizationBatch
from charmnet.losses import mean_over_workers
from charmnet.methods import Method
from charmnet.vocabulary import Domain
from pipelines.benchmarks.options import benchmark_parser
from pipelines.config.recipes import recipe
from pipelines.config.train_config import TrainConfig
from pipelines.ingest.window import read_window
from pipelines.runtime.blocks import Block
from pipelines.runtime.cluster import prepare_environment
from pipelines.shards.reading import Dataset
from pipelines.training.build import configured_method, make_validation, stream_specs
from pipelines.training.parallel import data_parallel
from pipelines.training.streams import to_batch

CPU = torch.device("cpu")
_CORES = 2
_RESULT_NAME = "result.safetensors"
_LAST_SHARE = 0.25  # of the steps, whose mean loss is reported


@dataclass(frozen=True)
class Variant:
    """Settings of a run.

    Attributes:
        workers: number of processes.
        sync_batch_norm: batch norms take their statistics over all workers.
        seed: of the networks' start.
    """

    workers: int
    sync_batch_norm: bool = False
    seed: int = 0

    @property
    def statistics(self) -> str:
        """The samples over which batch norms take their statistics."""
        return "over all workers" if self.sync_batch_norm else "a worker's own"


class Learned(NamedTuple):
    """Results of a run.

    Attributes:
        first_gradient: of the generator after the first step, flat.
        loss: total loss, mean of the last quarter of the steps.
        fmse: on the split.
        step_seconds: median.
    """

    first_gradient: torch.Tensor
    loss: float
    fmse: float
    step_seconds: float


VARIANTS = (
    Variant(workers=1),
    Variant(workers=1, seed=1),
    Variant(workers=2),
    Variant(workers=4),
    Variant(workers=4, sync_batch_norm=True),
)


def worker_batches(
    config: TrainConfig, datasets: dict[Domain, Dataset], method: Method, rank: int, workers: int
) -> Iterator[dict[Domain, HarmonizationBatch]]:
    """Yield a worker's share of every global batch, by domain."""
    specs = stream_specs(config, datasets, method)
    steps = config.steps or 0
    streams = {Domain(domain): read_window(spec, 0, steps, spec.batch_size) for domain, spec in specs.items()}
    share = slice(rank * config.batch_size // workers, (rank + 1) * config.batch_size // workers)
    for _ in range(steps):
        blocks: dict[Domain, Block] = {domain: next(stream) for domain, stream in streams.items()}
        yield {
            domain: to_batch(
                {name: values[share] for name, values in block.items()}, CPU, method.requirements
            )
            for domain, block in blocks.items()
        }


def generator_gradient(method: Method) -> torch.Tensor:
    """Return the gradient of all parameters of the generator, flat."""
    parameters = method.modules["generator"].parameters()
    return torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])


def learn(rank: int, variant: Variant, config: TrainConfig, uris: dict[Domain, str], folder: Path) -> None:
    """Train as one of the workers; the first of them writes the result into the folder."""
    torch.set_num_threads(max(1, _CORES // variant.workers))
    if variant.workers > 1:
        rendezvous = f"file://{folder}/rendezvous"
        dist.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=variant.workers)
    datasets = {domain: Dataset.open(uri) for domain, uri in uris.items()}
    method = configured_method(config.replaced(seed=variant.seed))
    if variant.workers > 1:
        method.distribute(data_parallel)
    if variant.sync_batch_norm:
        method.normalize_over_workers()
    losses = []
    step_seconds = []
    first_gradient = torch.zeros(0)
    for batches in worker_batches(config, datasets, method, rank, variant.workers):
        started = time.perf_counter()
        losses.append(method.update(batches)["total"])
        step_seconds.append(time.perf_counter() - started)
        if len(losses) == 1:
            first_gradient = generator_gradient(method)
    method.synchronize_statistics()
    scores = make_validation(method, config, datasets, rank=rank, num_workers=variant.workers).score(CPU)
    last_losses = losses[-max(1, int(len(losses) * _LAST_SHARE)) :]
    loss = mean_over_workers(torch.stack(last_losses).mean()).item()
    if rank == 0:
        fmse = next(value for name, value in scores.items() if name.endswith("/fmse"))
        figures = torch.tensor([loss, fmse, float(np.median(step_seconds))], dtype=torch.float64)
        save_file({"first_gradient": first_gradient, "figures": figures}, folder / _RESULT_NAME)


def learn_in_workers(variant: Variant, config: TrainConfig, uris: dict[Domain, str]) -> Learned:
    """Train in as many processes as the variant has workers."""
    with tempfile.TemporaryDirectory() as folder:
        spawn(learn, args=(variant, config, uris, Path(folder)), nprocs=variant.workers)
        tensors = load_file(Path(folder, _RESULT_NAME))
    return Learned(tensors["first_gradient"], *tensors["figures"].tolist())


def main() -> None:
    """Train every variant and print a line for each."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--real", required=True, metavar="URI")
    parser.add_argument("--rendered", required=True, metavar="URI")
    parser.add_argument("--select", default="", help="rows of the real domain to train on")
    parser.add_argument("--split", required=True, help="of the real domain, to validate on")
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--width", type=int, default=16)
    arguments = parser.parse_args()
    prepare_environment()  # before torch first needs memory, as in `charmnet train`
    config = (
        recipe("small")
        .override([f"width={arguments.width}"])
        .replaced(
            steps=arguments.steps,
            real_select=arguments.select,
            validate_splits=(arguments.split,),
        )
    )
    uris = {Domain.REAL: arguments.real, Domain.RENDERED: arguments.rendered}
    print("workers  batch norm        seed  first gradient differs by  loss   fMSE     s a step")
    alone = None
    for variant in VARIANTS:
        learned = learn_in_workers(variant, config, uris)
        alone = learned.first_gradient if alone is None else alone
        difference = ((learned.first_gradient - alone).norm() / alone.norm()).item()
        differs = f"{difference:.2g}" if variant.seed == 0 else ""
        row = f"{variant.workers:<7}  {variant.statistics:16}  {variant.seed:<4}  {differs:25}"
        print(f"{row}  {learned.loss:.3f}  {learned.fmse:<7.1f}  {learned.step_seconds:.2f}", flush=True)


if __name__ == "__main__":
    main()
