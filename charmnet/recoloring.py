"""Four published transfers of colour statistics from one foreground to another.

iHarmony4 (Cong et al., CVPR 2020) made its composites with these: a foreground takes the colours of another
foreground of its category. Every transfer maps colours alone, [N,3] to [N,3], RGB on the scale 0-1, without
regard to their positions in the picture. Results may lie outside of 0-1; `with_foreground_colors` clips.

Sums are numpy's own (einsum) and not a threaded library's, so that the same colours give the same bits
whatever the number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from charmnet.arrays import Float64Array, MaskArray, UInt8Array
from charmnet.srgb import linear_from_srgb, srgb_from_linear

FLAT_DEVIATION = 0.25 / 255
"""Least standard deviation of a direction of colour (RGB on 0-1) that is scaled; less is rounding."""

FLAT_LAB_DEVIATION = 0.1
"""Least standard deviation of a channel of CIE Lab (L in 0..100) that is scaled."""

PALETTE_COLORS = 1024
"""Most colours of a foreground that the iterative transfer fits its maps to."""

ITERATIONS = 12
"""Iterations of the iterative transfer; after them marginals differ by about one level of 255."""

_LEVELS = np.linspace(0, 1, 129)  # quantiles by which two distributions of one dimension are matched

# sRGB (IEC 61966-2-1) to CIE XYZ, by row, each divided by the white point D65.
_RGB_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_RGB_TO_XYZ /= _RGB_TO_XYZ.sum(axis=1, keepdims=True)
_XYZ_TO_RGB = np.linalg.inv(_RGB_TO_XYZ)
_LAB_JOINT = 6 / 29  # where Lab's cube root becomes a line


class ColorTransfer(StrEnum):
    """Published transfers of colour.

    Members:
        REINHARD: Reinhard et al., "Color Transfer between Images", IEEE CG&A 2001.
        XIAO: Xiao and Ma, "Color transfer in correlated color space", VRCIA 2006.
        MONGE_KANTOROVITCH: Pitié and Kokaram, "The linear Monge-Kantorovitch linear colour mapping for
            example-based colour transfer", CVMP 2007.
        ITERATIVE_DISTRIBUTION: Pitié, Kokaram and Dahyot, "N-dimensional probability density function
            transfer and its application to colour transfer", ICCV 2005.
    """

    REINHARD = "reinhard"
    XIAO = "xiao"
    MONGE_KANTOROVITCH = "monge_kantorovitch"
    ITERATIVE_DISTRIBUTION = "iterative_distribution"


@dataclass(frozen=True)
class ColorStatistics:
    """Statistics of a set of colours, as the three transfers in closed form use them.

    Attributes:
        lab_mean: [3], of L (0..100), a and b.
        lab_deviation: [3], standard deviations of L, a and b.
        mean: [3], of RGB on 0-1.
        covariance: [3,3], of RGB on 0-1.
    """

    lab_mean: Float64Array
    lab_deviation: Float64Array
    mean: Float64Array
    covariance: Float64Array

    @classmethod
    def of(cls, colors: Float64Array) -> ColorStatistics:
        """Compute the statistics of [N,3] RGB on 0-1.

        Raises:
            ValueError: there is no colour.
        """
        if not len(colors):
            raise ValueError("no colours: nothing of the mask is set")
        lab = lab_of_rgb(colors)
        mean, covariance = _moments(colors)
        return cls(lab.mean(axis=0), lab.std(axis=0), mean, covariance)


def foreground_colors(image: UInt8Array, foreground_mask: MaskArray) -> Float64Array:
    """Return the pixels where the [H,W] mask is set, row by row: [N,3] RGB on 0-1."""
    colors: Float64Array = image[foreground_mask != 0] / 255.0
    return colors


def with_foreground_colors(image: UInt8Array, foreground_mask: MaskArray, colors: Float64Array) -> UInt8Array:
    """Return the picture with other colours in its foreground; the background keeps every bit.

    Args:
        image: [H,W,3] uint8 RGB.
        foreground_mask: [H,W] uint8, 1 = foreground.
        colors: [N,3] RGB, in the order of `foreground_colors`; values outside of 0-1 are clipped.
    """
    result = image.copy()
    result[foreground_mask != 0] = np.rint(colors.clip(0, 1) * 255).astype(np.uint8)
    return result


def reinhard(colors: Float64Array, reference: ColorStatistics) -> Float64Array:
    """Give each channel of [N,3] colours in CIE Lab the mean and standard deviation of the reference's.

    The paper's own space is l-alpha-beta; CIE Lab decorrelates as well and does not stretch the dark end,
    as the logarithm of l-alpha-beta does. A flat channel takes the mean and stays flat.
    """
    lab = lab_of_rgb(colors)
    mean, deviation = lab.mean(axis=0), lab.std(axis=0)
    scale = np.where(
        deviation > FLAT_LAB_DEVIATION, reference.lab_deviation / np.maximum(deviation, 1e-12), 1
    )
    return rgb_of_lab((lab - mean) * scale + reference.lab_mean)


def xiao(colors: Float64Array, reference: ColorStatistics) -> Float64Array:
    """Turn the principal axes of [N,3] RGB colours into the reference's and scale them to its deviations.

    An axis has no direction of its own; the sign nearer to the source's is taken, so that colours are turned
    as little as possible. A flat axis is turned but not scaled.
    """
    mean, covariance = _moments(colors)
    variances, axes = np.linalg.eigh(covariance)
    reference_variances, reference_axes = np.linalg.eigh(reference.covariance)
    agreement = np.einsum("ci,ci->i", axes, reference_axes)
    reference_axes = reference_axes * np.where(agreement < 0, -1.0, 1.0)
    flat = variances < FLAT_DEVIATION**2
    scale = np.where(flat, 1.0, np.sqrt(reference_variances.clip(0) / np.where(flat, 1.0, variances)))
    matrix = np.einsum("ij,j,kj->ik", reference_axes, scale, axes)
    return _apply(matrix, colors - mean) + reference.mean


def monge_kantorovitch(colors: Float64Array, reference: ColorStatistics) -> Float64Array:
    """Map [N,3] RGB colours linearly to the reference's covariance, at the least mean squared distance.

    For covariances A and B the map is A^-1/2 (A^1/2 B A^1/2)^1/2 A^-1/2. Flat directions stay as they are.
    """
    mean, covariance = _moments(colors)
    matrix = monge_kantorovitch_matrix(covariance, reference.covariance)
    return _apply(matrix, colors - mean) + reference.mean


def monge_kantorovitch_matrix(covariance: Float64Array, reference_covariance: Float64Array) -> Float64Array:
    """Return the [3,3] matrix of `monge_kantorovitch`, of both covariances [3,3]."""
    variances, axes = np.linalg.eigh(covariance)
    flat = variances < FLAT_DEVIATION**2
    spread = np.sqrt(np.where(flat, 1.0, variances))
    root = np.einsum("ij,j,kj->ik", axes, np.where(flat, 0.0, spread), axes)
    inverse_root = np.einsum("ij,j,kj->ik", axes, np.where(flat, 0.0, 1 / spread), axes)
    middle = _square_root(root @ reference_covariance @ root)
    identity_where_flat = np.einsum("ij,j,kj->ik", axes, flat.astype(np.float64), axes)
    matrix: Float64Array = inverse_root @ middle @ inverse_root + identity_where_flat
    return matrix


def iterative_distribution(colors: Float64Array, reference_colors: Float64Array, seed: int) -> Float64Array:
    """Give [N,3] RGB colours the reference's whole distribution, matching it along random axes repeatedly.

    In every iteration both sets of colours are turned by the same random rotation, and along each axis the
    quantiles of the colours are moved to those of the reference. The maps are fitted to `PALETTE_COLORS` of
    each set at most; beyond the outermost quantiles a map is a shift.

    Args:
        colors: [N,3] RGB on 0-1.
        reference_colors: [M,3] RGB on 0-1.
        seed: of the rotations; the first is the identity.
    """
    fitted = palette(colors)
    count = len(fitted)
    moved = np.concatenate([fitted, colors if count < len(colors) else fitted[:0]]).T
    reference = palette(reference_colors).T
    rng = np.random.default_rng(seed)
    rotation = np.eye(3)
    for _ in range(ITERATIONS):
        turned = _turn(rotation, moved)
        for axis, reference_values in enumerate(_turn(rotation, reference)):
            positions, shifts = _quantile_shifts(turned[axis, :count], reference_values)
            turned[axis] += np.interp(turned[axis], positions, shifts)
        moved = _turn(rotation.T, turned)
        rotation = random_rotation(rng)
    return np.ascontiguousarray(moved[:, -len(colors) :].T)


def palette(colors: Float64Array, count: int = PALETTE_COLORS) -> Float64Array:
    """Return at most `count` of [N,3] colours, evenly spaced in their order."""
    chosen: Float64Array = colors[np.linspace(0, len(colors) - 1, min(len(colors), count)).astype(int)]
    return chosen


def lab_of_rgb(colors: Float64Array) -> Float64Array:
    """Convert [N,3] sRGB on 0-1 to CIE Lab (D65): L in 0..100, a, b."""
    xyz = _apply(_RGB_TO_XYZ, linear_from_srgb(colors))
    root = np.where(xyz > _LAB_JOINT**3, np.cbrt(xyz), xyz / (3 * _LAB_JOINT**2) + 4 / 29)
    x, y, z = root.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def rgb_of_lab(lab: Float64Array) -> Float64Array:
    """Convert [N,3] CIE Lab to sRGB on 0-1; colours that sRGB does not hold come out below 0 or above 1."""
    y = (lab[:, 0] + 16) / 116
    root = np.stack([y + lab[:, 1] / 500, y, y - lab[:, 2] / 200], axis=1)
    xyz = np.where(root > _LAB_JOINT, root**3, 3 * _LAB_JOINT**2 * (root - 4 / 29))
    return srgb_from_linear(_apply(_XYZ_TO_RGB, xyz))


def _moments(colors: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return the mean [3] and the covariance [3,3]."""
    mean = colors.mean(axis=0)
    centred = colors - mean
    return mean, np.einsum("ni,nj->ij", centred, centred) / len(colors)


def _apply(matrix: Float64Array, colors: Float64Array) -> Float64Array:
    mapped: Float64Array = np.einsum("ij,nj->ni", matrix, colors)
    return mapped


def _turn(rotation: Float64Array, colors: Float64Array) -> Float64Array:
    """Do as `_apply` for [3,N]: channels that lie together are faster to work on one by one."""
    turned: Float64Array = np.einsum("ij,jn->in", rotation, colors)
    return turned


def _square_root(matrix: Float64Array) -> Float64Array:
    """Return the square root of a symmetric matrix without negative eigenvalues (but for rounding)."""
    values, axes = np.linalg.eigh((matrix + matrix.T) / 2)
    root: Float64Array = np.einsum("ij,j,kj->ik", axes, np.sqrt(values.clip(0)), axes)
    return root


def _quantile_shifts(values: Float64Array, reference: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return positions, ascending, and the shift of a value there; equal quantiles share their mean shift."""
    quantiles = _quantiles(values)
    positions, index, counts = np.unique(quantiles, return_inverse=True, return_counts=True)
    shifts = np.bincount(index, weights=_quantiles(reference) - quantiles)
    return positions, shifts / counts


def _quantiles(values: Float64Array) -> Float64Array:
    """Return the quantiles at `_LEVELS`, linear between the sorted values."""
    ranks = _LEVELS * (len(values) - 1)
    below = ranks.astype(int)
    ordered = np.append(np.sort(values), values[:1])  # the last rank has nothing above it, and weight 0
    between: Float64Array = ordered[below] + (ranks - below) * (ordered[below + 1] - ordered[below])
    return between


def random_rotation(rng: np.random.Generator) -> Float64Array:
    """Draw uniformly over all orientations: the axes of a Gaussian matrix, by QR with its signs undone."""
    axes, upper = np.linalg.qr(rng.standard_normal((3, 3)))
    return axes * np.sign(np.diag(upper))
