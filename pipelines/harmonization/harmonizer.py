"""Harmonization of many pictures with one model, in this process or in an actor of a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch

from charmnet.blending import Adjustment
from charmnet.methods import HarmonizationMethod
from pipelines.harmonization.files import FileResult, Folders, try_file

FEW_PICTURES = 16
"""Up to so many pictures are done sooner in one process than a cluster starts."""

_THREADS = 2  # one waits for the store while the other computes


class Harmonizer:
    """A model that harmonizes pictures of a folder into another.

    Args:
        method: method that harmonizes.
        folders: where pictures are read and written.
        adjustment: what is chosen about the results.
        device: device to work on.
        threads: pictures at a time.
    """

    def __init__(
        self,
        method: HarmonizationMethod,
        folders: Folders,
        adjustment: Adjustment,
        *,
        device: torch.device | str = "cpu",
        threads: int = _THREADS,
    ) -> None:
        self._method = method.for_inference(device)
        self._folders = folders
        self._adjustment = adjustment
        self._device = device
        self._threads = threads

    def harmonize(self, pairs: Iterable[tuple[str, str]]) -> Iterator[FileResult]:
        """Harmonize (composite, mask), relative paths; yield the results in their order."""
        with ThreadPoolExecutor(self._threads) as pool:
            yield from pool.map(self._try_pair, pairs)

    def _try_pair(self, pair: tuple[str, str]) -> FileResult:
        return try_file(self._method, self._folders, pair, self._adjustment, device=self._device)
