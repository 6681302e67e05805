"""Harmonizing images and measuring their errors: one batch in one process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from charmnet.arrays import UInt8Array
from charmnet.augment import TRAINING_SIZE
from charmnet.errors import WeightsError
from charmnet.full_size import foreground_vanishes, harmonize_full_size
from charmnet.methods import HarmonizationMethod
from charmnet.methods.base import evaluating
from charmnet.metrics import Protocol, image_errors, reference_uint8, to_uint8
from pipelines.evaluation.images import EvaluationImage
from pipelines.evaluation.report import ImageResult
from pipelines.evaluation.tricks import apply_tricks


@dataclass(frozen=True)
class Scoring:
    """Rules by which images are harmonized and scored.

    Attributes:
        protocol: see `charmnet.metrics.Protocol`.
        size: side of the square that images are resized to; None keeps their size. At 256 the network's
            output is scored; at any other size that of `harmonize_full_size`.
        paste: whether the background is the composite's; None leaves that to the method at 256, and is yes
            at any other size, as `charmnet harmonize` does it.
        ssim: measure the structural similarity, too.
        tricks: score `tricks.TRICKS`, too.

    Raises:
        ValueError: on construction, if the released protocol is asked for at another size than 256.
    """

    protocol: Protocol = Protocol.STANDARD
    size: int | None = TRAINING_SIZE
    paste: bool | None = None
    ssim: bool = True
    tricks: bool = True

    def __post_init__(self) -> None:
        if self.protocol is Protocol.RELEASED and self.size != TRAINING_SIZE:
            raise ValueError(
                f"--protocol released has only the size {TRAINING_SIZE}; expected standard or pct_net "
                "with another --size"
            )

    @property
    def by_network(self) -> bool:
        """Whether the network's own output is scored, of several images at a time."""
        return self.size == TRAINING_SIZE

    def pastes(self, method: HarmonizationMethod) -> bool:
        """Return whether the background of what is scored of a method is the composite's."""
        if self.paste is None or method.pastes_itself:
            return method.pastes_itself or method.requirements.pastes or not self.by_network
        return self.paste

    def check(self, method: HarmonizationMethod) -> None:
        """Check that a method can be scored by these rules.

        Raises:
            ValueError: its own background is asked for where only its pasted output is known.
        """
        if self.paste is False and method.pastes_itself:
            raise ValueError(
                f"--no-paste: the networks of this {method.name} (head=affine or paste=true) take the "
                "background from the composite, and have no other output; leave out --no-paste"
            )
        if self.paste is False and method.requirements.pastes and not self.by_network:
            raise ValueError(
                f"--no-paste: {method.name} pastes its output, and there is another only at --size "
                f"{TRAINING_SIZE}; leave out --no-paste"
            )


DEFAULT_SCORING = Scoring()


def evaluate_images(
    method: HarmonizationMethod,
    images: Sequence[EvaluationImage],
    scoring: Scoring = DEFAULT_SCORING,
    device: torch.device | str = "cpu",
) -> list[ImageResult]:
    """Harmonize a batch and measure its errors.

    Args:
        method: method to evaluate.
        images: one batch, all of one size.
        scoring: rules of the evaluation; `images` were made for them.
        device: device of the method.

    Raises:
        WeightsError: an output holds NaN or infinite values; names the images.
    """
    if scoring.by_network:
        harmonized = list(_network_outputs(method, images, scoring, device))
    else:
        harmonized = [_full_size_output(method, image, scoring, device) for image in images]
    return [_result(image, output, scoring) for image, output in zip(images, harmonized, strict=True)]


def network_inputs(
    method: HarmonizationMethod, images: Sequence[EvaluationImage], device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """Return composites [B,3,S,S] and foreground masks [B,1,S,S] as the method takes them, on a device."""
    composite = torch.from_numpy(np.stack([image.composite for image in images]))
    mask = torch.from_numpy(np.stack([image.foreground_mask for image in images]))
    return method.network_inputs(composite, mask, device)


def _network_outputs(
    method: HarmonizationMethod,
    images: Sequence[EvaluationImage],
    scoring: Scoring,
    device: torch.device | str,
) -> UInt8Array:
    """Return the network's outputs as they are scored, [B,S,S,3]."""
    composite, mask = network_inputs(method, images, device)
    output = _pasted_or_not(method, composite, mask, scoring.pastes(method))
    _require_finite(output, [image.id for image in images])
    return to_uint8(output, scoring.protocol, method.requirements.value_range)


@torch.no_grad()
def _pasted_or_not(method: HarmonizationMethod, composite: Tensor, mask: Tensor, paste: bool) -> Tensor:
    is_pasted = method.pastes_itself or method.requirements.pastes  # a soft edge would be blended twice
    if not paste and is_pasted:
        with evaluating(method.inference_modules()):
            return method.infer(composite, mask)[0]
    output = method.harmonize(composite, mask)
    return output * mask + composite * (1 - mask) if paste and not is_pasted else output


def _full_size_output(
    method: HarmonizationMethod, image: EvaluationImage, scoring: Scoring, device: torch.device | str
) -> UInt8Array:
    """Return the harmonized picture; the composite where the network would see nothing of the foreground."""
    if foreground_vanishes(method, image.foreground_mask):
        return image.composite
    background = not scoring.pastes(method)
    try:
        return harmonize_full_size(method, image.composite, image.foreground_mask, background, device)
    except WeightsError as error:
        raise WeightsError(f"{image.id}: {error}") from error


def _result(image: EvaluationImage, harmonized: UInt8Array, scoring: Scoring) -> ImageResult:
    protocol, mask = scoring.protocol, image.scoring_mask
    ground_truth = reference_uint8(image.ground_truth[None], protocol)[0]
    tricks = apply_tricks(image.composite, mask) if scoring.tricks else {}
    composite, *trick_pictures = (
        reference_uint8(picture[None], protocol)[0] for picture in (image.composite, *tricks.values())
    )
    return ImageResult(
        id=image.id,
        photograph=image.photograph,
        stratum=image.stratum,
        foreground_ratio=image.foreground_ratio,
        composite=image_errors(composite, ground_truth, mask, protocol, scoring.ssim),
        harmonized=image_errors(harmonized, ground_truth, mask, protocol, scoring.ssim),
        tricks={
            name: image_errors(picture, ground_truth, mask, protocol)
            for name, picture in zip(tricks, trick_pictures, strict=True)
        },
    )


def _require_finite(output: Tensor, ids: Sequence[str]) -> None:
    """Refuse NaN and infinite values, which rounding to uint8 would turn into ordinary black pixels."""
    smallest = output.amin((1, 2, 3))  # NaN if there is any
    largest = output.amax((1, 2, 3))
    finite = (smallest.isfinite() & largest.isfinite()).tolist()
    bad = [identity for identity, good in zip(ids, finite, strict=True) if not good]
    if bad:
        raise WeightsError(
            f"the model's output for {', '.join(bad)} holds NaN or infinite values: its weights are damaged, "
            "or its training diverged; choose another checkpoint"
        )
