"""How the samples of a stream are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from charmnet.augment import TRAINING_SIZE, AugmentationKind, MaskEdges
from charmnet.vocabulary import Domain

Decoding = Literal["exact", "fast"]
"""`exact` decodes every pixel. `fast` decodes a JPEG at a half, a quarter or an eighth of its size where the
crop still has the training size then; crop and flip are drawn alike."""


@dataclass(frozen=True)
class DecodeOptions:
    """How the samples of a stream are made.

    Attributes:
        seed: seed of the run.
        domain: domain of the stream.
        size: side of the training pictures in pixels.
        decoding: see `Decoding`.
        augmentation: see `charmnet.augment.AugmentationKind`.
        mask_edges: see `charmnet.augment.MaskEdges`.
        color_jitter: strength of `charmnet.color_jitter.ColorJitter`; 0 changes nothing.
    """

    seed: int
    domain: Domain
    size: int = TRAINING_SIZE
    decoding: Decoding = "exact"
    augmentation: AugmentationKind = "crop_flip"
    mask_edges: MaskEdges = "hard"
    color_jitter: float = 0.0
