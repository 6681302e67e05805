"""What the number of workers changes: batch norms that see a share of the batch, or all of it.

  python -m pipelines.benchmarks.worker_batch_norms --real URI --rendered URI --select "split == 'train'" --split test

The same global batches are learnt by one process and by several (gloo), from the same start. Everything but
the batch norms adds up to the same update (tests/distributed/test_ddp_update.py). Another seed shows how much
two runs differ that differ in nothing else.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from charmnet.losses import mean_over_workers
from charmnet.methods import Method
from charmnet.vocabulary import Domain
from pipelines.config.recipes import recipe
from pipelines.config.train_config import TrainConfig
from pipelines.ingest.window import read_window
from pipelines.runtime.blocks import Block
from pipelines.runtime.cluster import prepare_environment
from pipelines.shards.reading import Dataset
from pipelines.training.build import method_of, stream_specs
from pipelines.training.parallel import data_parallel
from pipelines.training.streams import to_batch
from pipelines.training.validation import Validation

CPU = torch.device("cpu")
_LAST = 0.25  # of the steps: whose loss is told


@dataclass(frozen=True)
class Variant:
    """How a run is made; `start` is the method's seed."""

    workers: int
    sync: bool = False
    seed: int = 0

    @property
    def name(self) -> str:
        return "over all workers" if self.sync else "a worker's own"


VARIANTS = (Variant(1), Variant(1, seed=1), Variant(2), Variant(4), Variant(4, sync=True))


def shares(config: TrainConfig, datasets: dict[Domain, Dataset], rank: int, workers: int) -> Iterator[dict]:
    """A worker's part of every global batch, by domain."""
    specs = stream_specs(config, datasets, frozenset(datasets))
    streams = {
        Domain(domain): read_window(spec, 0, config.steps or 0, spec.batch_size)
        for domain, spec in specs.items()
    }
    own = slice(rank * config.batch_size // workers, (rank + 1) * config.batch_size // workers)
    for _ in range(config.steps or 0):
        blocks: dict[Domain, Block] = {domain: next(stream) for domain, stream in streams.items()}
        yield {
            domain: to_batch({name: values[own] for name, values in block.items()}, CPU)
            for domain, block in blocks.items()
        }


def gradient(method: Method) -> torch.Tensor:
    """Of the generator, flat."""
    parameters = method.modules["generator"].parameters()
    return torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])


def learn(rank: int, variant: Variant, config: TrainConfig, uris: dict[Domain, str], folder: Path) -> None:
    torch.set_num_threads(max(1, 2 // variant.workers))
    if variant.workers > 1:
        rendezvous = f"file://{folder}/rendezvous"
        dist.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=variant.workers)
    datasets = {domain: Dataset.open(uri) for domain, uri in uris.items()}
    method = method_of(replace(config, seed=variant.seed))
    if variant.workers > 1:
        method.distribute(data_parallel)
    if variant.sync:
        method.normalize_over_workers()
    losses, seconds, first = [], [], torch.zeros(0)
    for batches in shares(config, datasets, rank, variant.workers):
        started = time.perf_counter()
        losses.append(method.update(batches)["total"])
        seconds.append(time.perf_counter() - started)
        if len(losses) == 1:
            first = gradient(method)
    method.synchronize_statistics()
    scores = Validation.of(config, datasets, rank, variant.workers).score(method, CPU)
    last = mean_over_workers(torch.stack(losses[-max(1, int(len(losses) * _LAST)) :]).mean())
    if rank == 0:
        torch.save((first, last.item(), scores, float(np.median(seconds))), folder / "result.pt")


def measured(variant: Variant, config: TrainConfig, uris: dict[Domain, str]) -> tuple:
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(learn, args=(variant, config, uris, Path(folder)), nprocs=variant.workers)
        return torch.load(Path(folder, "result.pt"))


def main() -> None:
    prepare_environment()  # before torch first needs memory: as `charmnet train` has it
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--real", required=True, metavar="URI")
    parser.add_argument("--rendered", required=True, metavar="URI")
    parser.add_argument("--select", default="", help="what of the real domain is learnt")
    parser.add_argument("--split", required=True, help="of the real domain, to validate on")
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--width", type=int, default=16)
    arguments = parser.parse_args()
    config = replace(
        recipe("small"),
        width=arguments.width,
        steps=arguments.steps,
        real_select=arguments.select,
        validate=(arguments.split,),
    )
    uris = {Domain.REAL: arguments.real, Domain.RENDERED: arguments.rendered}
    print("workers  batch norm        seed  first gradient differs by  loss   fMSE     s a step")
    alone = None
    for variant in VARIANTS:
        first, loss, scores, seconds = measured(variant, config, uris)
        alone = first if alone is None else alone
        differs = f"{((first - alone).norm() / alone.norm()).item():.2g}" if variant.seed == 0 else ""
        fmse = next(value for name, value in scores.items() if name.endswith("/fmse"))
        row = f"{variant.workers:<7}  {variant.name:16}  {variant.seed:<4}  {differs:25}"
        print(f"{row}  {loss:.3f}  {fmse:<7.1f}  {seconds:.2f}", flush=True)


if __name__ == "__main__":
    main()
