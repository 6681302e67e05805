"""MSE, fMSE, PSNR and SSIM of harmonized images, and sums of them that can be added in any grouping.

Three protocols, which differ in what is rounded and which pixels count:

``standard``: the prediction rounded to uint8, the ground truth as resized, PSNR with a range of 255.
``released``: as CharmNet's test script has it, to compare with published numbers. Prediction and ground truth
are truncated to uint8 after a float32 round trip through normalisation, which lowers about a fifth of the
ground truth's grey levels by one, and PSNR's range is the prediction's own maximum minus its minimum.
``pct_net``: as the evaluation of PCT-Net (Guerreiro et al., CVPR 2023) has it, whose tables give every
picture. An error counts by the mask's grey value / 255, outside of it nothing; MSE is the mean of these over
all pixels, PSNR is 10 log10(255^2 / (MSE + 1e-6)), and SSIM sees the ground truth outside of the mask.

In the first two, fMSE counts the foreground of a mask resized to the nearest pixel; the network's own is
bilinear.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from charmnet.arrays import MaskArray, UInt8Array
from charmnet.augment import TRAINING_SIZE, resize
from charmnet.batch import ValueRange, denormalize, image_from_uint8
from charmnet.codecs import decode_rgb
from charmnet.errors import DataError
from charmnet.image_limits import open_header
from charmnet.ssim import structural_similarity

_PCT_NET_EPSILON = 1e-6
_RATIO_BINS = (("0-5", 0.05), ("5-15", 0.15), ("15-100", math.inf))


class Protocol(StrEnum):
    """Rules by which a prediction is turned into whole numbers and scored; see the module's text."""

    STANDARD = "standard"
    RELEASED = "released"
    PCT_NET = "pct_net"


@dataclass(frozen=True)
class ImageErrors:
    """Errors of one image against its ground truth, on the 0-255 scale.

    Attributes:
        mse: mean squared error over all pixels and channels.
        fmse: mean squared error over the foreground's pixels; None where the mask has none.
        psnr: peak signal-to-noise ratio in dB; None where it is not finite, because there is no error or
            (released) no range.
        ssim: structural similarity; None where it was not measured, or the image is smaller than its window.
    """

    mse: float
    fmse: float | None
    psnr: float | None
    ssim: float | None = None


@dataclass(frozen=True)
class ErrorSums:
    """Sums over images in float64, to be added in any grouping: shards, workers, ranks.

    Attributes:
        count: number of images.
        mse: sum over all images.
        fmse: sum over the images that have one.
        fmse_count: number of images that have an fMSE.
        psnr: sum over the images that have one, in dB.
        psnr_count: number of images that have a PSNR.
        ssim: sum over the images that have one.
        ssim_count: number of images that have an SSIM.
    """

    count: int = 0
    mse: float = 0.0
    fmse: float = 0.0
    fmse_count: int = 0
    psnr: float = 0.0
    psnr_count: int = 0
    ssim: float = 0.0
    ssim_count: int = 0

    @classmethod
    def of(cls, errors: ImageErrors) -> ErrorSums:
        """Return the sums of one image."""
        return cls(
            count=1,
            mse=errors.mse,
            fmse=errors.fmse or 0.0,
            fmse_count=int(errors.fmse is not None),
            psnr=errors.psnr or 0.0,
            psnr_count=int(errors.psnr is not None),
            ssim=errors.ssim or 0.0,
            ssim_count=int(errors.ssim is not None),
        )

    @classmethod
    def over(cls, errors: Iterable[ImageErrors]) -> ErrorSums:
        """Return the sums over several images."""
        return sum(map(cls.of, errors), cls())

    def __add__(self, other: ErrorSums) -> ErrorSums:
        pairs = zip(self.to_list(), other.to_list(), strict=True)
        return ErrorSums.from_list(first + second for first, second in pairs)

    def to_list(self) -> list[float]:
        """Return the fields in their order as plain numbers, for an all_reduce."""
        return [getattr(self, field.name) for field in fields(self)]

    @classmethod
    def from_list(cls, values: Iterable[float]) -> ErrorSums:
        """Return the sums whose `to_list` these values are."""
        named = zip((field.name for field in fields(cls)), values, strict=True)
        whole: dict[str, Any] = {n: int(v) if n.endswith("count") else v for n, v in named}
        return cls(**whole)

    def means(self) -> dict[str, float | None]:
        """Return the plain means of "mse", "fmse" and "psnr" over the images that have one, or None.

        "ssim" is among them where it was measured.
        """
        means = {
            "mse": _mean(self.mse, self.count),
            "fmse": _mean(self.fmse, self.fmse_count),
            "psnr": _mean(self.psnr, self.psnr_count),
        }
        return {**means, "ssim": self.ssim / self.ssim_count} if self.ssim_count else means

    def undefined(self) -> dict[str, int]:
        """Return the numbers of images without "fmse" (no foreground is left) and "psnr" (no error)."""
        return {"fmse": self.count - self.fmse_count, "psnr": self.count - self.psnr_count}


def image_errors(
    image: UInt8Array,
    ground_truth: UInt8Array,
    scoring_mask: MaskArray,
    protocol: Protocol = Protocol.STANDARD,
    ssim: bool = False,
) -> ImageErrors:
    """Measure an image against its ground truth.

    Args:
        image: [H,W,3] uint8 from `to_uint8` or, for a composite, `reference_uint8`.
        ground_truth: [H,W,3] uint8 from `reference_uint8` of the same protocol.
        scoring_mask: [H,W] uint8 from `scoring_mask` of the same protocol.
        protocol: the rules to score by.
        ssim: measure the structural similarity, too.
    """
    if protocol is Protocol.PCT_NET:
        return _pct_net_errors(image, ground_truth, scoring_mask, ssim)
    mse = _squared_error(image, ground_truth) / image.size
    foreground = cv2.countNonZero(scoring_mask)
    foreground_error = _squared_error(image, ground_truth, scoring_mask)
    value_range = 255 if protocol is Protocol.STANDARD else int(image.max()) - int(image.min())
    return ImageErrors(
        mse,
        foreground_error / (3 * foreground) if foreground else None,
        10 * math.log10(value_range**2 / mse) if mse and value_range else None,
        structural_similarity(image, ground_truth) if ssim else None,
    )


def _pct_net_errors(image: UInt8Array, ground_truth: UInt8Array, mask: MaskArray, ssim: bool) -> ImageErrors:
    """Return the errors under `pct_net`, of a mask of 0 to 255."""
    inside = mask != 0
    weights = mask[inside] / 255.0
    difference = image[inside].astype(np.float64) - ground_truth[inside]
    error = float(np.einsum("i,ij,ij->", weights, difference, difference))  # BLAS sums by its threads
    mse, area = error / image.size, float(weights.sum())
    similarity = None
    if ssim:
        pasted = np.array(ground_truth, np.float64)
        pasted[inside] += weights[:, None] * difference
        similarity = structural_similarity(pasted.round().astype(np.uint8), ground_truth)
    fmse = error / (3 * area + _PCT_NET_EPSILON) if area else None
    return ImageErrors(mse, fmse, 10 * math.log10(255**2 / (mse + _PCT_NET_EPSILON)), similarity)


def _squared_error(image: UInt8Array, other: UInt8Array, mask: MaskArray | None = None) -> int:
    """Return the sum over the mask's pixels, or over all.

    OpenCV squares a root, which is off by less than a rounding.
    """
    return round(cv2.norm(image, other, cv2.NORM_L2SQR, mask))


def to_uint8(
    normalized: Tensor, protocol: Protocol = Protocol.STANDARD, value_range: ValueRange = "imagenet"
) -> UInt8Array:
    """Convert a network's output, [B,3,H,W] in a value range, to [B,H,W,3] uint8 as it is scored."""
    values = denormalize(normalized.float(), value_range).mul(255.0).clamp(0.0, 255.0)
    if protocol is not Protocol.RELEASED:
        values = values.round()
    return values.to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def reference_uint8(images: UInt8Array, protocol: Protocol = Protocol.STANDARD) -> UInt8Array:
    """Convert ground truths or composites, [B,H,W,3] uint8, to the same as they are scored."""
    if protocol is not Protocol.RELEASED:
        return images
    return to_uint8(image_from_uint8(torch.from_numpy(images)), protocol)


def scoring_mask(
    mask_data: bytes, size: int | None = TRAINING_SIZE, protocol: Protocol = Protocol.STANDARD
) -> MaskArray:
    """Decode the mask that errors are counted on.

    Args:
        mask_data: the mask's encoded file; values other than 0 and 255 are dithered by Pillow, as released.
        size: side of the result in pixels; None leaves the mask as large as it is.
        protocol: the rules to score by; `pct_net` takes the first channel's grey values.

    Returns:
        [H,W] uint8 of 0 and 1, resized to the nearest pixel; of `pct_net` 0 to 255, resized bilinearly.

    Raises:
        DataError: the mask cannot be decoded.
    """
    if protocol is Protocol.PCT_NET:
        grey = np.ascontiguousarray(decode_rgb(mask_data)[..., 2])  # the first channel of OpenCV, which is B
        return grey if size is None else resize(grey, size)
    try:
        with open_header(mask_data) as mask:
            binary = mask.convert("1")
            if size is not None:
                binary = binary.resize((size, size), Image.Resampling.NEAREST)
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"a mask that cannot be decoded: {error}") from error
    return np.asarray(binary).astype(np.uint8)


def foreground_ratio_bin(foreground_ratio: float) -> str:
    """Return the bin of a share of the area in 0..1: "0-5", "5-15" or "15-100" %, upper ends excluded."""
    return next(name for name, limit in _RATIO_BINS if foreground_ratio < limit)


def _mean(total: float, count: int) -> float | None:
    return total / count if count else None
