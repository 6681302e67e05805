"""Validation within training: scores and sample grids of named splits, shared among the workers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import islice

import numpy as np
import torch

from charmnet.augment import TRAINING_SIZE
from charmnet.methods import HarmonizationMethod, Method, TranslationMethod
from charmnet.metrics import ErrorSums, to_uint8
from charmnet.vocabulary import Domain
from pipelines.config.train_config import TrainConfig
from pipelines.evaluation.images import EvaluationImage, row_images
from pipelines.evaluation.report import EvaluationReport, metric_name
from pipelines.evaluation.scoring import Scoring, evaluate_images, network_inputs
from pipelines.ingest.union import DatasetUnion
from pipelines.shards.reading import Dataset
from pipelines.tracking.grids import sample_grid
from pipelines.training.split_reader import SplitReader, split_selection

_BATCH_SIZE = 8
_SCORING = Scoring(ssim=False, tricks=False)  # training waits for it


class Validation(ABC):
    """Validation of one method on the splits of a data set.

    Args:
        splits: names of the splits; none validates nothing.
        reader: reader of the data set that holds them; None where the run has no such data set.
        sample_rows: pictures of a sample grid; 0 is none.
        rank: rank of this worker.
        num_workers: number of workers.
    """

    def __init__(
        self,
        splits: tuple[str, ...],
        reader: SplitReader | None,
        *,
        sample_rows: int = 3,
        rank: int = 0,
        num_workers: int = 1,
    ) -> None:
        self.splits = splits
        self.reader = reader
        self.sample_rows = sample_rows
        self.rank = rank
        self.num_workers = num_workers

    @abstractmethod
    def score(self, device: torch.device) -> dict[str, float]:
        """Return `eval/<split>/...`, each picture counted once; all workers call it at once."""

    @abstractmethod
    def grids(self, device: torch.device) -> dict[str, np.ndarray]:
        """Return `samples/<split>` with a picture of the split's first pictures: inputs beside outputs."""

    def sum_over_workers(self, value: torch.Tensor) -> torch.Tensor:
        """Return the sum over all workers."""
        if self.num_workers > 1:
            torch.distributed.all_reduce(value)
        return value


class HarmonizationValidation(Validation):
    """Errors of harmonized composites against ground truths: `eval/<split>/{mse,fmse,psnr}`.

    Args:
        method: method that harmonizes.
        splits: see `Validation`.
        reader: see `Validation`.
        options: further arguments of `Validation`.
    """

    def __init__(
        self,
        method: HarmonizationMethod,
        splits: tuple[str, ...],
        reader: SplitReader | None,
        *,
        size: int = TRAINING_SIZE,
        **options: int,
    ) -> None:
        super().__init__(splits, reader, **options)
        self.method = method
        self.size = size
        self._samples: dict[str, list[EvaluationImage]] = {}

    def score(self, device: torch.device) -> dict[str, float]:
        """Return `eval/<split>/{mse,fmse,psnr}` and the composites' own, over all workers.

        Where a split has several subsets, also by subset: `eval/<split>/<subset>/...`; where images were left
        out, `eval/<split>/left_out`.
        """
        scores: dict[str, float] = {}
        for split in self.splits:
            assert self.reader is not None
            report = EvaluationReport()
            self.reader.left_out = 0
            images = self.split_images(split, self.rank, self.num_workers)
            while batch := list(islice(images, _BATCH_SIZE)):
                report.merge(EvaluationReport.over(evaluate_images(self.method, batch, _SCORING, device)))
            groups = self._groups(split)
            for (kind, name), sums in zip(groups, self._merged(report, groups, device), strict=True):
                scores |= _named([split, name] if kind == "subset" else [split], sums)
            left_out = torch.tensor(float(self.reader.left_out), device=device)
            if total := self.sum_over_workers(left_out).item():
                scores[f"eval/{metric_name(split)}/left_out"] = total
        return scores

    def grids(self, device: torch.device) -> dict[str, np.ndarray]:
        """Return `samples/<split>`: composite, mask, harmonized, ground truth and attention."""
        if not self.sample_rows:
            return {}
        for split in self.splits:
            if split not in self._samples:
                self._samples[split] = list(islice(self.split_images(split), self.sample_rows))
        return {
            f"samples/{metric_name(split)}": sample_grid(self._grid_rows(images, device))
            for split, images in self._samples.items()
            if images
        }

    def split_images(self, split: str, worker: int = 0, num_workers: int = 1) -> Iterator[EvaluationImage]:
        """Yield a worker's share of the split's images, in file order."""
        assert self.reader is not None
        mask_edges = self.method.requirements.mask_edges
        decode = partial(row_images, size=self.size, mask_edges=mask_edges)
        return self.reader.read(split_selection(split), decode, worker, num_workers)

    def _groups(self, split: str) -> list[tuple[str, str]]:
        """Return all images, and each subset where there are several: the same on every worker."""
        assert self.reader is not None
        strata = self.reader.dataset.manifest.strata
        subsets = {stratum.subset for stratum in strata if split in stratum.splits}
        return [("all", ""), *(("subset", name) for name in sorted(subsets) if len(subsets) > 1)]

    def _merged(
        self, report: EvaluationReport, groups: list[tuple[str, str]], device: torch.device
    ) -> list[dict[str, ErrorSums]]:
        """Return each group's sums over all workers."""
        names = ("composite", "harmonized")
        local = [[report.sums.get(g, {}).get(n, ErrorSums()).to_list() for n in names] for g in groups]
        total = torch.tensor(local, dtype=torch.float64, device=device)
        return [
            dict(zip(names, map(ErrorSums.from_list, group), strict=True))
            for group in self.sum_over_workers(total).tolist()
        ]

    def _grid_rows(self, images: list[EvaluationImage], device: torch.device) -> list[dict[str, np.ndarray]]:
        composite, mask = network_inputs(self.method, images, device)
        harmonized, attention = self.method.harmonize_with_attention(composite, mask)
        pixels = to_uint8(harmonized, value_range=self.method.requirements.value_range)
        soft = self.method.requirements.mask_edges == "soft"
        rows = []
        for index, (image, output) in enumerate(zip(images, pixels, strict=True)):
            row = {
                "composite": image.composite,
                "mask": image.foreground_mask * (1 if soft else 255),
                "harmonized": output,
                "ground_truth": image.ground_truth,
            }
            if attention is not None:
                row["attention"] = attention[index, 0].float().mul(255).round().byte().cpu().numpy()
            rows.append(row)
        return rows


def _named(groups: list[str], sums: Mapping[str, ErrorSums]) -> dict[str, float]:
    group = "/".join(map(metric_name, groups))
    return {
        f"eval/{group}/{prefix}{figure}": value
        for source, prefix in (("harmonized", ""), ("composite", "composite_"))
        for figure, value in sums[source].means().items()
        if value is not None
    }


def validated_domain(method: Method) -> Domain:
    """Return the domain whose splits a method is validated on."""
    return method.source if isinstance(method, TranslationMethod) else Domain.REAL


def judged_by(method: Method, config: TrainConfig) -> tuple[str, float]:
    """Return the metric by which a model is the best, and the sign that makes less better."""
    if isinstance(method, TranslationMethod):
        return "color_distance", 1.0
    return config.best_metric, -1.0 if config.best_metric == "psnr" else 1.0


def validated_dataset(dataset: Dataset | DatasetUnion, domain: Domain) -> Dataset:
    """Return the data set to validate on: of a union the first member of the domain."""
    members = DatasetUnion.of(dataset).members
    return next((member for member in members if member.manifest.domain is domain), members[0])


def check_validation(
    method: Method, config: TrainConfig, datasets: Mapping[Domain, Dataset | DatasetUnion]
) -> None:
    """Check that the splits to validate on are in the data set that is to hold them.

    Raises:
        ValueError: one is not; lists those that are.
    """
    domain = validated_domain(method)
    if config.validate_splits and domain not in datasets:
        raise ValueError(
            f"validate_splits={','.join(config.validate_splits)}: the splits are those of --{domain}, "
            "which is missing"
        )
    dataset = validated_dataset(datasets[domain], domain) if domain in datasets else None
    splits = dataset.manifest.totals()["split"] if dataset else {}
    unknown = sorted(set(config.validate_splits) - set(splits))
    if unknown:
        raise ValueError(
            f"validate_splits={','.join(unknown)}: --{domain} has no such split; it has {', '.join(splits)}"
        )
