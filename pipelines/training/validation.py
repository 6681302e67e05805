"""Validation within training: named splits of the real data set, shared among the workers.

A store that does not answer is waited for. An image that cannot be decoded is left out, named and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

import numpy as np
import torch

from charmnet.augment import TRAINING_SIZE
from charmnet.errors import DataError
from charmnet.methods import Method
from charmnet.metrics import ErrorSums, to_uint8
from charmnet.vocabulary import Domain
from pipelines.config.train_config import TrainConfig
from pipelines.evaluation.images import (
    EvaluationImage,
    evaluate_images,
    network_inputs,
    row_images,
    selected_rows,
)
from pipelines.evaluation.report import EvaluationReport, metric_name
from pipelines.runtime.retry import retry_storage
from pipelines.shards.reading import Dataset, selected_counts
from pipelines.shards.rows import Row
from pipelines.shards.selection import Selection
from pipelines.tracking.grids import sample_grid

_BATCH_SIZE = 8


@dataclass
class Validation:
    """
    Attributes:
        splits: their names; empty validates nothing.
        dataset: that holds them; None where a method trains without the real domain.
        images: at most so many of a split are measured; 0 is all. sample_rows: of a sample grid.
        timeout_seconds: how long the store is waited for.
        notify: called with messages about waiting and about images that are left out.
    """

    splits: tuple[str, ...]
    dataset: Dataset | None
    images: int
    sample_rows: int
    size: int
    rank: int
    num_workers: int
    timeout_seconds: float
    notify: Callable[[str], object] | None
    _left_out: int = 0  # of the split that is being read
    _announced: set[str] = field(default_factory=set)
    _samples: dict[str, list[EvaluationImage]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        config: TrainConfig,
        datasets: Mapping[Domain, Dataset],
        rank: int,
        num_workers: int,
        notify: Callable[[str], object] | None = None,
    ) -> Validation:
        dataset = datasets.get(Domain.REAL)
        shown = (config.validate_images, config.sample_rows, TRAINING_SIZE)
        timeout = config.storage_timeout_seconds
        return cls(config.validate, dataset, *shown, rank, num_workers, timeout, notify)

    def score(self, method: Method, device: torch.device) -> dict[str, float]:
        """`eval/<split>/{mse,fmse,psnr}` and the composites' own, each image counted once over all workers.

        Where a split has several subsets, also by subset: `eval/<split>/<subset>/...`; where images were left
        out, `eval/<split>/left_out`. Every worker has to call it.
        """
        scores: dict[str, float] = {}
        for split in self.splits:
            report, self._left_out = EvaluationReport(), 0
            images = self.split_images(split, self.rank, self.num_workers)
            while batch := list(islice(images, _BATCH_SIZE)):
                report.merge(EvaluationReport.over(evaluate_images(method, batch, device=device)))
            groups = self._groups(split)
            for (kind, name), sums in zip(groups, self._merged(report, groups, device), strict=True):
                scores |= _named([split, name] if kind == "subset" else [split], sums)
            if left_out := self._sum(torch.tensor(float(self._left_out), device=device)).item():
                scores[f"eval/{metric_name(split)}/left_out"] = left_out
        return scores

    def grids(self, method: Method, device: torch.device) -> dict[str, np.ndarray]:
        """`samples/<split>` to a picture of the split's first images: what went in, what came out."""
        if not self.sample_rows:
            return {}
        for split in self.splits:
            if split not in self._samples:
                self._samples[split] = list(islice(self.split_images(split, 0, 1), self.sample_rows))
        return {
            f"samples/{metric_name(split)}": sample_grid(_grid_rows(method, images, device))
            for split, images in self._samples.items()
            if images
        }

    def split_images(self, split: str, worker: int, num_workers: int) -> Iterator[EvaluationImage]:
        """A worker's share of the split's images, consecutive in file order: it reads no one else's."""
        assert self.dataset is not None
        selection = Selection(f"split == {split!r}")
        groups = [
            (shard, group, selected_counts(self.dataset.manifest, row_group, selection)[0])
            for shard, group, row_group in self.dataset.manifest.groups()
        ]
        images = sum(count for _, _, count in groups)
        images = min(images, self.images) if self.images else images
        start, stop = (images * (worker + end) // num_workers for end in (0, 1))
        for shard, group, count in groups:
            if count and start < count and stop > 0:
                yield from self._group_images(selection, shard, group, max(start, 0), min(stop, count))
            start, stop = start - count, stop - count

    def _group_images(
        self, selection: Selection, shard: int, group: int, start: int, stop: int
    ) -> Iterator[EvaluationImage]:
        """Those of some of the rows that a selection picks from a row group."""
        assert self.dataset is not None
        read = partial(selected_rows, self.dataset, selection, shard, group)
        try:
            rows = retry_storage(read, self.timeout_seconds, self.notify)
        except DataError as error:
            self._leave_out(stop - start, error)
            return
        for row in islice(rows, start, stop):
            yield from self._row_images(row)

    def _row_images(self, row: Row) -> Iterator[EvaluationImage]:
        try:
            yield from row_images(row, self.size)
        except DataError as error:
            self._leave_out(1, error)

    def _leave_out(self, images: int, reason: DataError) -> None:
        self._left_out += images
        if self.notify is not None and str(reason) not in self._announced:
            self._announced.add(str(reason))
            self.notify(f"left out of validation: {reason}")

    def _groups(self, split: str) -> list[tuple[str, str]]:
        """All images, and each subset where there are several: the same on every worker."""
        assert self.dataset is not None
        subsets = {stratum.subset for stratum in self.dataset.manifest.strata if split in stratum.splits}
        return [("all", ""), *(("subset", name) for name in sorted(subsets) if len(subsets) > 1)]

    def _merged(
        self, report: EvaluationReport, groups: list[tuple[str, str]], device: torch.device
    ) -> list[dict[str, ErrorSums]]:
        """Each group's sums over all workers."""
        names = ("composite", "harmonized")
        local = [[report.sums.get(g, {}).get(n, ErrorSums()).to_list() for n in names] for g in groups]
        total = torch.tensor(local, dtype=torch.float64, device=device)
        return [
            dict(zip(names, map(ErrorSums.from_list, group), strict=True))
            for group in self._sum(total).tolist()
        ]

    def _sum(self, value: torch.Tensor) -> torch.Tensor:
        """Over all workers."""
        if self.num_workers > 1:
            torch.distributed.all_reduce(value)
        return value


def _named(groups: list[str], sums: Mapping[str, ErrorSums]) -> dict[str, float]:
    group = "/".join(map(metric_name, groups))
    return {
        f"eval/{group}/{prefix}{figure}": value
        for whose, prefix in (("harmonized", ""), ("composite", "composite_"))
        for figure, value in sums[whose].means().items()
        if value is not None
    }


def _grid_rows(
    method: Method, images: list[EvaluationImage], device: torch.device
) -> list[dict[str, np.ndarray]]:
    composite, mask = network_inputs(images, device)
    harmonized, attention = method.harmonize_with_attention(composite, mask)
    rows = []
    for index, (image, output) in enumerate(zip(images, to_uint8(harmonized), strict=True)):
        row = {
            "composite": image.composite,
            "mask": image.foreground_mask * 255,
            "harmonized": output,
            "ground_truth": image.ground_truth,
        }
        if attention is not None:
            row["attention"] = attention[index, 0].float().mul(255).round().byte().cpu().numpy()
        rows.append(row)
    return rows
