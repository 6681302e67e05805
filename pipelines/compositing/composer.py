"""Composites of a foreground that take their colours from foregrounds of other photographs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial

import numpy as np

from charmnet.acceptance import reason_by_colors, reason_by_grain, reason_by_means
from charmnet.arrays import Float64Array, MaskArray, UInt8Array
from charmnet.codecs import encode_jpeg, encode_png
from charmnet.errors import DataError
from charmnet.recoloring import (
    ColorTransfer,
    foreground_colors,
    iterative_distribution,
    monge_kantorovitch,
    palette,
    reinhard,
    with_foreground_colors,
    xiao,
)
from charmnet.vocabulary import Domain
from pipelines.compositing.foregrounds import Folders, Foreground, MeasuredForeground
from pipelines.conversion.entries import prepare_row
from pipelines.runtime.randomness import seeded_rng
from pipelines.shards.foreground_colors import no_reference
from pipelines.shards.rejection import Rejection
from pipelines.shards.rows import Row, pair_row
from pipelines.shards.stratum import Stratum

TRIES_PER_COMPOSITE = 32
_SAMPLE_COLORS = 512
_PALETTES_KEPT = 1024
_SEEDS = 2**32

Transfer = Callable[[Float64Array], Float64Array]

_METHODS = tuple(ColorTransfer)
_CLOSED_FORMS = {
    ColorTransfer.REINHARD: reinhard,
    ColorTransfer.XIAO: xiao,
    ColorTransfer.MONGE_KANTOROVITCH: monge_kantorovitch,
}


class Composer:
    """Maker of each foreground's composites; the order of calls does not change what is made.

    Args:
        folders: photographs and masks.
        measured: all usable foregrounds; another order gives other composites.
        per_mask: composites of each foreground at most; fewer where `TRIES_PER_COMPOSITE` tries for each do
            not give as many.
        seed: seed of all draws.
        subset: subset of the rows.
    """

    def __init__(
        self, folders: Folders, measured: Sequence[MeasuredForeground], per_mask: int, seed: int, subset: str
    ) -> None:
        self._folders = folders
        self._per_mask = per_mask
        self._seed = seed
        self._subset = subset
        self._palette_of = lru_cache(_PALETTES_KEPT)(self._read_palette)
        self._by_category: dict[str | None, list[MeasuredForeground]] = {}
        for entry in measured:
            self._by_category.setdefault(entry.foreground.category, []).append(entry)

    def rows(self, foreground: Foreground) -> list[Row] | Rejection:
        """Return one to `per_mask` pair rows, or a rejection that says why there is none.

        Raises:
            StorageError: the store cannot be reached.
        """
        try:
            image, mask, _ = self._folders.read(foreground)
            reasons: Counter[str] = Counter()
            composites = self._composites(foreground, image, mask, reasons)
            rows = [
                self._row(foreground, variant, image, mask, composite)
                for variant, composite in enumerate(composites, start=1)
            ]
        except DataError as error:
            return Rejection(foreground.name, foreground.mask, str(error))
        return rows or Rejection(foreground.name, foreground.mask, _explain_none(foreground, reasons))

    def _composites(
        self, foreground: Foreground, image: UInt8Array, mask: MaskArray, reasons: Counter[str]
    ) -> Iterator[UInt8Array]:
        """Yield accepted composites, no two by the same reference and method; count refusals in `reasons`."""
        rng = seeded_rng("compose-real", self._seed, foreground.name)
        colors = foreground_colors(image, mask)
        mean = colors.mean(axis=0)
        for reference, method in self._candidates(foreground, rng):
            reason = reason_by_means(mean, reference.statistics.mean)
            if reason is None:
                transfer = self._transfer(method, reference, seed=int(rng.integers(_SEEDS)))
                composite, reason = _try(image, mask, colors, transfer)
                if composite is not None:
                    yield composite
            reasons[reason or ""] += 1
            if reasons[""] == self._per_mask or reasons.total() == self._per_mask * TRIES_PER_COMPOSITE:
                return

    def _candidates(
        self, foreground: Foreground, rng: np.random.Generator
    ) -> Iterator[tuple[MeasuredForeground, ColorTransfer]]:
        """Yield references of the category in other photographs, each with every method, in a drawn order."""
        same_category = self._by_category.get(foreground.category, [])
        for index in rng.permutation(len(same_category) * len(_METHODS)):
            reference = same_category[index // len(_METHODS)]
            if reference.foreground.photograph != foreground.photograph:
                yield reference, _METHODS[index % len(_METHODS)]

    def _transfer(self, method: ColorTransfer, reference: MeasuredForeground, seed: int) -> Transfer:
        if method is ColorTransfer.ITERATIVE_DISTRIBUTION:
            colors = self._palette_of(reference.foreground)
            return partial(iterative_distribution, reference_colors=colors, seed=seed)
        return partial(_CLOSED_FORMS[method], reference=reference.statistics)

    def _read_palette(self, foreground: Foreground) -> Float64Array:
        image, mask, _ = self._folders.read(foreground)
        return palette(foreground_colors(image, mask))

    def _row(
        self,
        foreground: Foreground,
        variant: int,
        image: UInt8Array,
        mask: MaskArray,
        composite: UInt8Array,
    ) -> Row:
        """Return a pair row whose composite and ground truth are both JPEG: their backgrounds stay equal."""
        stratum = Stratum(Domain.REAL, self._subset, foreground.category, (foreground.split,))
        pictures = {
            "composite": encode_jpeg(composite),
            "ground_truth": encode_jpeg(image),
            "foreground_mask": encode_png(mask * np.uint8(255)),
        }
        return prepare_row(pair_row(f"{self._subset}/{foreground.name}_{variant}", stratum, pictures), None)


def _try(
    image: UInt8Array, mask: MaskArray, colors: Float64Array, transfer: Transfer
) -> tuple[UInt8Array | None, str | None]:
    """Return a composite, or the reason against it; a sample of the colours shows most reasons."""
    sample = palette(colors, _SAMPLE_COLORS)
    if reason := reason_by_colors(sample, transfer(sample)):
        return None, reason
    changed = transfer(colors)
    composite = with_foreground_colors(image, mask, changed)
    reason = reason_by_colors(colors, changed) or reason_by_grain(image, composite, mask)
    return (None, reason) if reason else (composite, None)


def _explain_none(foreground: Foreground, reasons: Counter[str]) -> str:
    if not reasons:
        return no_reference(foreground.category)
    return explain_refusals(reasons)


def explain_refusals(reasons: Counter[str]) -> str:
    """Return why a foreground has no composite, from the number of refused tries by reason."""
    counts = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()) if count)
    return f"no acceptable composite: of {reasons.total()} tries {counts}"
