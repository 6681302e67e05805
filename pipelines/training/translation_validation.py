"""Validation of translators, which have no ground truths: colours against the other domain's."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from charmnet.augment import TRAINING_SIZE
from charmnet.methods import TranslationMethod
from charmnet.metrics import to_uint8
from pipelines.evaluation.images import row_pictures
from pipelines.evaluation.report import metric_name
from pipelines.shards.selection import EVERYTHING
from pipelines.tracking.grids import sample_grid
from pipelines.training.split_reader import SplitReader, split_selection
from pipelines.training.validation import Validation

_BATCH_SIZE = 8
_MAX_TARGET_PICTURES = 64


class TranslationValidation(Validation):
    """Change of pictures by translation, and distance of their colours to those of the other domain.

    `eval/<split>/change` is the mean absolute change of a pixel value, `eval/<split>/color_distance` the
    Euclidean distance between the means and deviations of the three channels over all pictures; both on a
    scale of 0 to 255.

    Args:
        method: translator.
        splits: splits of its source domain.
        reader: reader of the source domain.
        target: reader of the other domain, whose first pictures are taken; None leaves the distance out.
        options: further arguments of `Validation`.
    """

    def __init__(
        self,
        method: TranslationMethod,
        splits: tuple[str, ...],
        reader: SplitReader | None,
        target: SplitReader | None,
        *,
        size: int = TRAINING_SIZE,
        **options: int,
    ) -> None:
        super().__init__(splits, reader, **options)
        self.method = method
        self.target = target
        self.size = size
        self._target_colors: Tensor | None = None
        self._samples: dict[str, list[np.ndarray]] = {}

    def score(self, device: torch.device) -> dict[str, float]:
        """Return `eval/<split>/change` and `eval/<split>/color_distance` over all workers."""
        scores: dict[str, float] = {}
        for split in self.splits:
            sums = torch.zeros(8, dtype=torch.float64, device=device)
            pictures = self._pictures(split, self.rank, self.num_workers)
            while batch := list(islice(pictures, _BATCH_SIZE)):
                translated = self._translated(batch, device)
                change = np.abs(np.stack(batch).astype(np.float64) - translated).mean((1, 2, 3)).sum()
                sums += torch.cat([_color_sums(translated), torch.tensor([change])]).to(device)
            total = self.sum_over_workers(sums).cpu()
            if total[0] > 0:
                scores[f"eval/{metric_name(split)}/change"] = (total[7] / total[0]).item()
                if self.target is not None:
                    distance = torch.linalg.vector_norm(_colors(total[:7]) - self._colors_of_target())
                    scores[f"eval/{metric_name(split)}/color_distance"] = distance.item()
        return scores

    def grids(self, device: torch.device) -> dict[str, np.ndarray]:
        """Return `samples/<split>`: pictures and their translations."""
        if not self.sample_rows:
            return {}
        grids = {}
        for split in self.splits:
            if split not in self._samples:
                self._samples[split] = list(islice(self._pictures(split), self.sample_rows))
            if pictures := self._samples[split]:
                pairs = zip(pictures, self._translated(pictures, device), strict=True)
                rows = [{"source": picture, "translated": translated} for picture, translated in pairs]
                grids[f"samples/{metric_name(split)}"] = sample_grid(rows)
        return grids

    def _pictures(self, split: str, worker: int = 0, num_workers: int = 1) -> Iterator[np.ndarray]:
        assert self.reader is not None
        decode = partial(row_pictures, size=self.size)
        return self.reader.read(split_selection(split), decode, worker, num_workers)

    def _translated(self, pictures: list[np.ndarray], device: torch.device) -> np.ndarray:
        """Return [B,S,S,3] uint8 of pictures [S,S,3] uint8."""
        inputs = self.method.network_inputs(torch.from_numpy(np.stack(pictures)), device)
        outputs = self.method.translate(inputs)
        return to_uint8(outputs, value_range=self.method.requirements.value_range)

    def _colors_of_target(self) -> Tensor:
        if self._target_colors is None:
            assert self.target is not None
            decode = partial(row_pictures, size=self.size)
            sums = torch.zeros(7, dtype=torch.float64)
            for picture in islice(self.target.read(EVERYTHING, decode), _MAX_TARGET_PICTURES):
                sums += _color_sums(picture[None])
            self._target_colors = _colors(sums)
        return self._target_colors


def _color_sums(pictures: np.ndarray) -> Tensor:
    """Return the count of [B,S,S,3] pictures, and sums over them of channel means and mean squares."""
    values = pictures.astype(np.float64)
    sums = [[len(values)], values.mean((1, 2)).sum(0), np.square(values).mean((1, 2)).sum(0)]
    return torch.from_numpy(np.concatenate(sums))


def _colors(sums: Tensor) -> Tensor:
    """Return means and deviations of the three channels from `_color_sums`."""
    means = sums[1:4] / sums[0]
    return torch.cat([means, (sums[4:7] / sums[0] - means.square()).clamp(min=0).sqrt()])
