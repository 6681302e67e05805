"""Harmonization of many pictures with one model, in this process or in an actor of a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch

from charmnet.methods import HarmonizationMethod
from pipelines.harmonization.files import FileResult, try_file
from pipelines.runtime.storage import Location

FEW_PICTURES = 16
"""Up to so many pictures are done sooner in one process than a cluster starts."""

_THREADS = 2  # one waits for the store while the other computes


class Harmonizer:
    """A model that harmonizes pictures of a folder into another.

    Args:
        method: method that harmonizes.
        source: folder of the pictures.
        dest: folder to write to, each picture at the path that its composite has in `source`.
        background: let the background change as well; otherwise its pixels stay.
        device: device to work on.
        threads: pictures at a time.
    """

    def __init__(
        self,
        method: HarmonizationMethod,
        source: Location,
        dest: Location,
        *,
        background: bool = False,
        device: torch.device | str = "cpu",
        threads: int = _THREADS,
    ) -> None:
        self._method = method.to(device)
        for module in self._method.modules.values():
            module.eval()  # else a thread would put it back to training while another uses it
        self._source = source
        self._dest = dest
        self._background = background
        self._device = device
        self._threads = threads

    def harmonize(self, pairs: Iterable[tuple[str, str]]) -> Iterator[FileResult]:
        """Harmonize (composite, mask), paths relative to the source; yield the results in their order."""
        with ThreadPoolExecutor(self._threads) as pool:
            yield from pool.map(self._try_pair, pairs)

    def _try_pair(self, pair: tuple[str, str]) -> FileResult:
        return try_file(
            self._method, self._source, self._dest, pair, background=self._background, device=self._device
        )
