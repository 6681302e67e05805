"""Recolourings of a foreground that are drawn anew whenever its picture is read.

`compose-real` makes a foreground's composites once: each takes the colours of another foreground by one of
four transfers (`charmnet.recoloring`) and is kept if it looks natural enough (`charmnet.acceptance`). Here
reference, transfer and strength (the share of the transfer's change that is made) are drawn in each epoch.
A try is judged by the foreground's palette, which costs the arithmetic of a few hundred colours; what passes
is a `ColorPolynomial`, which is applied to the picture at the training size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from charmnet.acceptance import FOREGROUND_MSE, reason_by_colors, reason_by_grain
from charmnet.arrays import Float64Array, IndexArray, MaskArray, UInt8Array
from charmnet.color_polynomials import ColorPolynomial
from charmnet.recoloring import (
    ColorStatistics,
    ColorTransfer,
    lab_of_rgb,
    monge_kantorovitch,
    random_rotation,
    reinhard,
    xiao,
)

DRAWN_PALETTE_COLORS = 256
"""Colours that stand for a foreground's."""

TRIES = 32
"""Recolourings of a foreground that are tried before the one nearest to the rules is taken."""

WEAKEST_STRENGTH = 0.5
"""Least share of a transfer's change that is made, unless even less is too strong."""

_ITERATIONS = 6  # of the iterative transfer, whose map is smoothed by its fit anyway
_METHODS = tuple(ColorTransfer)
_LINEAR = (ColorTransfer.XIAO, ColorTransfer.MONGE_KANTOROVITCH)
_ROTATIONS = [random_rotation(np.random.default_rng(number)) for number in range(64)]


def color_palette(colors: UInt8Array) -> UInt8Array:
    """Return `DRAWN_PALETTE_COLORS` of [N,3] uint8 colours, evenly spaced; of fewer some several times."""
    chosen: UInt8Array = colors[np.linspace(0, len(colors) - 1, DRAWN_PALETTE_COLORS).astype(int)]
    return chosen


@dataclass(frozen=True)
class ColorTable:
    """What is known of the colours of F foregrounds.

    Attributes:
        lab_mean: [F,3], see `ColorStatistics`.
        lab_deviation: [F,3].
        mean: [F,3].
        covariance: [F,3,3].
        palettes: [F,`DRAWN_PALETTE_COLORS`,3] uint8 RGB.
    """

    lab_mean: Float64Array
    lab_deviation: Float64Array
    mean: Float64Array
    covariance: Float64Array
    palettes: UInt8Array

    @classmethod
    def of(cls, statistics: Sequence[ColorStatistics], palettes: Sequence[UInt8Array]) -> ColorTable:
        """Return the table of foregrounds that were measured one by one; at least one."""
        names = ("lab_mean", "lab_deviation", "mean", "covariance")
        columns = {name: np.stack([getattr(entry, name) for entry in statistics]) for name in names}
        return cls(**columns, palettes=np.stack(palettes))

    def __len__(self) -> int:
        """Return the number of foregrounds."""
        return len(self.mean)

    def take(self, indices: IndexArray | Sequence[int]) -> ColorTable:
        """Return the table of some foregrounds, in the order of their indices."""
        return ColorTable(**{name: values[indices] for name, values in vars(self).items()})

    def statistics(self, index: int) -> ColorStatistics:
        """Return the statistics of a foreground."""
        return ColorStatistics(
            self.lab_mean[index], self.lab_deviation[index], self.mean[index], self.covariance[index]
        )

    def palette(self, index: int) -> Float64Array:
        """Return a foreground's palette as RGB on 0-1."""
        colors: Float64Array = self.palettes[index] / 255.0
        return colors


@dataclass(frozen=True)
class Attempt:
    """A recolouring that was tried on a foreground's palette.

    Attributes:
        colors: [N,3] RGB on 0-1, the palette.
        changed: [N,3] what becomes of it, not clipped to the RGB cube.
        linear: whether the change is linear in RGB.
        reason: why it is refused by colours alone, or None.
    """

    colors: Float64Array
    changed: Float64Array
    linear: bool
    reason: str | None

    @property
    def distance(self) -> float:
        """Distance from the range of errors that the rules allow.

        0 within it, else the logarithm of the factor between the error and the range's nearer end.
        """
        error = float(np.square((self.changed.clip(0, 1) - self.colors) * 255).mean())
        low, high = FOREGROUND_MSE
        return float(np.log(max(low / max(error, 1e-9), error / high, 1.0)))

    def apply(self, image: UInt8Array, coverage: MaskArray) -> UInt8Array:
        """Return a picture that is recoloured so; see `ColorPolynomial.recolored`."""
        return ColorPolynomial.fit(self.colors, self.changed, linear=self.linear).recolored(image, coverage)


@dataclass(frozen=True)
class Recoloring:
    """Recolourings of one foreground, to be tried in turn until the rules accept one.

    Attributes:
        colors: T+1 foregrounds: the one to recolour, then the reference of each try.
        methods: [T] indices of `ColorTransfer`'s members.
        shares: [T] where the strength lies between the weakest and the strongest that may be accepted, 0 to
            1.
        seeds: [T] of the iterative transfer, see `matched`.
    """

    colors: ColorTable
    methods: IndexArray
    shares: Float64Array
    seeds: IndexArray

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        colors: ColorTable,
        own: int,
        candidates: IndexArray,
        left_out: IndexArray | None = None,
    ) -> Recoloring:
        """Draw `TRIES` references, transfers and strengths.

        Args:
            rng: source of all draws.
            colors: table of all foregrounds.
            own: index of the foreground to recolour.
            candidates: [C] indices of the references.
            left_out: [L] places in `candidates`, ascending and fewer than C, of those that are none.
        """
        places = _places(rng, len(candidates), left_out)
        methods = rng.integers(len(_METHODS), size=TRIES)
        shares = rng.random(TRIES)
        seeds = rng.integers(len(_ROTATIONS), size=TRIES)
        taken = colors.take(np.concatenate([[own], candidates[places]]))
        return cls(taken, methods, shares, seeds)

    def attempts(self) -> Iterator[Attempt]:
        """Yield what the tries make of the palette, in their order."""
        colors = self.colors.palette(0)
        lab = lab_of_rgb(colors)
        for number in range(len(self.methods)):
            method = _METHODS[self.methods[number]]
            change = self._transferred(colors, number, method) - colors
            changed = colors + _strength(change, float(self.shares[number])) * change
            reason = reason_by_colors(colors, changed, lab)
            yield Attempt(colors, changed, method in _LINEAR, reason)

    def _transferred(self, colors: Float64Array, number: int, method: ColorTransfer) -> Float64Array:
        if method is ColorTransfer.ITERATIVE_DISTRIBUTION:
            return matched(colors, self.colors.palette(number + 1), int(self.seeds[number]))
        statistics = self.colors.statistics(number + 1)
        if method is ColorTransfer.REINHARD:
            return reinhard(colors, statistics)
        return (xiao if method is ColorTransfer.XIAO else monge_kantorovitch)(colors, statistics)


def matched(colors: Float64Array, reference: Float64Array, seed: int) -> Float64Array:
    """Give [N,3] colours the distribution of as many others: `iterative_distribution` for sets of one size.

    Along every axis the colour of each rank gets the value that has this rank in the reference.

    Args:
        colors: [N,3] RGB on 0-1.
        reference: [N,3] RGB on 0-1.
        seed: chooses the rotations.
    """
    moved, reference = colors.T, reference.T
    for iteration in range(_ITERATIONS):
        rotation = _ROTATIONS[(seed + iteration) % len(_ROTATIONS)]
        turned = np.einsum("ij,jn->in", rotation, moved)
        ordered = np.sort(np.einsum("ij,jn->in", rotation, reference), axis=1)
        np.put_along_axis(turned, np.argsort(turned, axis=1, kind="stable"), ordered, axis=1)
        moved = np.einsum("ji,jn->in", rotation, turned)
    return np.ascontiguousarray(moved.T)


def recolor(image: UInt8Array, coverage: MaskArray, recoloring: Recoloring) -> UInt8Array:
    """Return a composite: the picture with the first recolouring that all rules accept.

    Where none is accepted, of all tries the one whose error is nearest to the allowed range is taken, the
    earliest of several.

    Args:
        image: [H,W,3] uint8 RGB.
        coverage: [H,W] uint8, 0 to 255: how far each pixel is foreground.
        recoloring: what to try.

    Returns:
        [H,W,3] uint8, a new array; pixels of coverage 0 keep every bit.
    """
    foreground = (coverage >= 128).astype(np.uint8)
    nearest: Attempt | None = None
    for attempt in recoloring.attempts():
        if attempt.reason is None:
            composite = attempt.apply(image, coverage)
            if reason_by_grain(image, composite, foreground) is None:
                return composite
        if nearest is None or attempt.distance < nearest.distance:
            nearest = attempt
    return image.copy() if nearest is None else nearest.apply(image, coverage)


def _places(rng: np.random.Generator, count: int, left_out: IndexArray | None) -> IndexArray:
    """Draw `TRIES` of the places 0..count-1 but for some, at a cost that does not grow with the count."""
    if left_out is None:
        return rng.integers(count, size=TRIES)
    places = rng.integers(count - len(left_out), size=TRIES)
    return places + np.searchsorted(left_out - np.arange(len(left_out)), places, side="right")


def _strength(change: Float64Array, share: float) -> float:
    """Return the strength at a share of the way from the weakest to the strongest that may be accepted."""
    root = float(np.sqrt(np.square(change * 255).mean()))
    low, high = (np.sqrt(error) / max(root, 1e-9) for error in FOREGROUND_MSE)
    strongest = min(1.0, high)
    weakest = min(max(WEAKEST_STRENGTH, low), strongest)
    return float(weakest + share * (strongest - weakest))
