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
from charmnet.color_jitter import ColorJitter
from charmnet.composition import exchange_foreground
from charmnet.drawn_recoloring import recolor
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


Crops = tuple[UInt8Array, UInt8Array, MaskArray]
"""Composite, ground truth and mask."""


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
    try:
        _check_labels(sample)
        mask = (decode_mask if sample.foreground is None else _scene_mask)(sample.foreground_mask)
        rng = seeded_rng("augment", options.seed, str(options.domain), epoch, sample.id)
        augmentation = draw_augmentation(rng, mask, options.size, options.augmentation)
        crops = _crops(sample, mask, augmentation, options)
    except (DataError, ValueError) as error:
        raise SampleError(sample.id, options.domain, str(error)) from error
    composite, ground_truth, mask = _finished(sample, crops, augmentation, options)
    if options.color_jitter:
        rng = seeded_rng("color jitter", options.seed, str(options.domain), epoch, sample.id)
        jitter = ColorJitter.draw(rng, options.color_jitter)
        composite, ground_truth = jitter.apply(composite), jitter.apply(ground_truth)
    return Sample(
        id=sample.id,
        composite=composite,
        ground_truth=ground_truth,
        foreground_mask=mask,
        composite_style=sample.composite_style,
        ground_truth_style=sample.ground_truth_style,
    )


def _finished(
    sample: EncodedSample, crops: Crops, augmentation: Augmentation, options: DecodeOptions
) -> Crops:
    """Return composite, ground truth and mask at the training size; a recolouring is made there."""
    size, soft = options.size, options.mask_edges == "soft"
    composite, ground_truth, mask = crops
    ground_truth = finish(augmentation, ground_truth, size)
    finished_mask = finish(augmentation, mask * np.uint8(255) if soft else mask, size)
    if sample.recoloring is None:
        return finish(augmentation, composite, size), ground_truth, finished_mask
    coverage = finished_mask if soft else finish(augmentation, mask * np.uint8(255), size)
    return recolor(ground_truth, coverage, sample.recoloring), ground_truth, finished_mask


def _crops(
    sample: EncodedSample, mask: MaskArray, augmentation: Augmentation, options: DecodeOptions
) -> Crops:
    """Return composite, ground truth and mask in the crop, still to be resized; the mask is never reduced.

    Where the composite is a recoloured ground truth, both are the ground truth.
    """
    other = sample.composite if sample.foreground is None else sample.foreground
    pictures = (sample.ground_truth,) if other is None else (other, sample.ground_truth)
    reducible = options.decoding == "fast" and all(map(is_jpeg, pictures))
    reduction = augmentation.reduction(options.size) if reducible else 1
    decoded = [decode_rgb(picture, reduction=reduction) for picture in pictures]
    height, width = (-(-side // reduction) for side in mask.shape)
    if any(picture.shape[:2] != (height, width) for picture in decoded):
        raise DataError(f"sizes differ: {', '.join(str(p.shape) for p in decoded)}, {mask.shape}")
    crop = augmentation.reduced(reduction, height, width)
    composite, ground_truth = crop.crop(decoded[0]), crop.crop(decoded[-1])
    mask = crop.enlarged(reduction).crop(mask)
    if sample.foreground is not None:
        # The exchange moves no pixel, so it is made in the crop alone.
        fitting = cv2.resize(mask, (crop.width, crop.height), interpolation=cv2.INTER_NEAREST)
        exchange_foreground(composite, ground_truth, fitting.astype(np.uint8, copy=False), in_place=True)
    return composite, ground_truth, mask


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
