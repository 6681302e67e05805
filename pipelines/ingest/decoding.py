"""From an encoded sample to pictures at the training size.

Every random number of a sample is drawn from (seed, domain, epoch, sample id): the result does not depend on
the process that makes the sample, on the time, or on how often it is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from charmnet.arrays import Float32Array, MaskArray, UInt8Array
from charmnet.augment import Augmentation, draw_augmentation, finish
from charmnet.codecs import decode_mask, decode_rgb
from charmnet.composition import exchange_foreground
from charmnet.errors import DataError
from charmnet.jpeg import is_jpeg
from charmnet.vocabulary import NUM_CONDITIONS, Domain
from pipelines.ingest.decode_options import DecodeOptions
from pipelines.ingest.samples import EncodedSample
from pipelines.runtime.randomness import seeded_rng


@dataclass(frozen=True)
class Sample:
    """One sample at the training size S.

    Attributes:
        id: see `EncodedSample`.
        composite: [S,S,3] uint8.
        ground_truth: [S,S,3] uint8.
        foreground_mask: [S,S] uint8: 0 and 1 = foreground, or with soft edges its coverage, 0 to 255.
        composite_style: [10] probabilities of the capture conditions; None in the real domain.
        ground_truth_style: capture condition 0-9; None in the real domain.
    """

    id: str
    composite: UInt8Array
    ground_truth: UInt8Array
    foreground_mask: MaskArray
    composite_style: Float32Array | None
    ground_truth_style: int | None


class SampleError(DataError):
    """A sample cannot be decoded.

    Attributes:
        reason: the cause, without the sample's name.
    """

    def __init__(self, sample_id: str, domain: Domain, reason: str) -> None:
        super().__init__(f"sample {sample_id!r} ({domain} domain): {reason}")
        self.reason = reason


def decode(sample: EncodedSample, epoch: int, options: DecodeOptions) -> Sample:
    """Decode, compose and augment one sample.

    Raises:
        SampleError: a picture is broken, sizes differ or a label is invalid; names the sample.
    """
    size = options.size
    try:
        _check_labels(sample)
        mask = (_scene_mask if sample.composite is None else decode_mask)(sample.foreground_mask)
        rng = seeded_rng("augment", options.seed, str(options.domain), epoch, sample.id)
        augmentation = draw_augmentation(rng, mask, size, options.augmentation)
        composite, ground_truth, mask = _crops(sample, mask, augmentation, options)
    except (DataError, ValueError) as error:
        raise SampleError(sample.id, options.domain, str(error)) from error
    if options.mask_edges == "soft":
        mask = mask * np.uint8(255)
    return Sample(
        id=sample.id,
        composite=finish(augmentation, composite, size),
        ground_truth=finish(augmentation, ground_truth, size),
        foreground_mask=finish(augmentation, mask, size),
        composite_style=sample.composite_style,
        ground_truth_style=sample.ground_truth_style,
    )


def _crops(
    sample: EncodedSample, mask: MaskArray, augmentation: Augmentation, options: DecodeOptions
) -> tuple[UInt8Array, UInt8Array, MaskArray]:
    """Return composite, ground truth and mask in the crop, still to be resized; the mask is never reduced."""
    pictures = sample.composite or sample.foreground or b"", sample.ground_truth
    reducible = options.decoding == "fast" and all(map(is_jpeg, pictures))
    reduction = augmentation.reduction(options.size) if reducible else 1
    other, ground_truth = (decode_rgb(picture, reduction=reduction) for picture in pictures)
    height, width = (-(-side // reduction) for side in mask.shape)
    if not other.shape[:2] == ground_truth.shape[:2] == (height, width):
        raise DataError(f"sizes differ: {other.shape}, {ground_truth.shape}, {mask.shape}")
    crop = augmentation.reduced(reduction, height, width)
    other, ground_truth = crop.crop(other), crop.crop(ground_truth)
    mask = crop.enlarged(reduction).crop(mask)
    if sample.composite is not None:
        return other, ground_truth, mask
    # The exchange moves no pixel, so it is made in the crop alone.
    fitting = cv2.resize(mask, (crop.width, crop.height), interpolation=cv2.INTER_NEAREST)
    exchange_foreground(other, ground_truth, fitting.astype(np.uint8, copy=False), in_place=True)
    return other, ground_truth, mask


def _scene_mask(data: bytes) -> MaskArray:
    """Decode a scene's mask; a task mostly needs it for several of the scene's ten samples."""
    (height, width), bits = _packed_mask(data)
    return np.unpackbits(bits, count=height * width).reshape(height, width)


@lru_cache(maxsize=32)
def _packed_mask(data: bytes) -> tuple[tuple[int, int], UInt8Array]:
    """Return a mask's (height, width), and its pixels as bits."""
    mask = decode_mask(data)
    return mask.shape, np.packbits(mask)


def _check_labels(sample: EncodedSample) -> None:
    style, condition = sample.composite_style, sample.ground_truth_style
    if style is not None and not (style.shape == (NUM_CONDITIONS,) and np.isfinite(style).all()):
        raise DataError(f"composite_style is {style}, expected {NUM_CONDITIONS} numbers")
    if condition is not None and not 0 <= condition < NUM_CONDITIONS:
        raise DataError(f"ground_truth_style is {condition}, expected 0 to {NUM_CONDITIONS - 1}")
