"""Augmentation: one change for composite, ground truth and mask together.

CharmNet's released code uses albumentations' RandomResizedCrop(256, 256, scale=(0.5, 1.0)) with its defaults,
then HorizontalFlip(p=0.5), and draws again while the crop has no foreground: `crop_flip`. Other methods were
published with other augmentations (see `AugmentationKind`). Every draw comes from a generator that is handed
in, so that a sample's augmentation is a function of its seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from PIL import Image

from charmnet.arrays import MaskArray, UInt8Array
from charmnet.codecs import REDUCTIONS

TRAINING_SIZE = 256
"""Height and width of the pictures that the networks take as released, in pixels."""

AugmentationKind = Literal["crop_flip", "flip", "none", "resize_crop"]
"""Augmentation of training pictures, which all end at the training size S.

- `crop_flip`: a random crop that shows foreground, resized to SxS; mirrored with probability 1/2.
- `flip`: the whole picture, resized to SxS; mirrored with probability 1/2.
- `none`: the whole picture, resized to SxS.
- `resize_crop`: the whole picture, resized (bicubic) to 286/256 of S; a random crop of SxS; mirrored with
  probability 1/2. The usual augmentation of networks that translate between domains.
"""

MaskEdges = Literal["hard", "soft"]
"""Values of a training mask: `hard` is 0 or 1; `soft` is the coverage of each pixel, 0 to 255."""

_RESIZE_CROP_SCALE = 286 / 256
_AREA_SCALE = (0.5, 1.0)
_ASPECT_RATIO = (3 / 4, 4 / 3)  # width over height
_CROP_TRIES = 10
_FLIP_PROBABILITY = 0.5
_ACCEPT_ANY_PROBABILITY = 0.05
_MIN_FOREGROUND_PIXELS = 1.0  # the crop's resized mask has to sum to more
_MAX_DRAWS = 1000  # 0.95**1000 < 1e-22: reached by no mask in practice, it only makes the loop's end certain


@dataclass(frozen=True)
class ResizedCrop:
    """A square of the training size in a picture that is resized to a larger square.

    Attributes:
        side: side of the larger square in pixels.
        top: first row, in pixels of the larger square.
        left: first column, in pixels of the larger square.
    """

    side: int
    top: int
    left: int

    def apply(self, image: UInt8Array, size: int) -> UInt8Array:
        """Resize [H,W,3] or [H,W] uint8 bicubically (Pillow's) and return [size,size,...] of it."""
        # Of bytes Pillow rounds after each of the two directions, which a mask of 0 and 1 does not bear.
        source = image.astype(np.float32) if image.ndim == 2 else image
        large = np.asarray(Image.fromarray(source).resize((self.side, self.side), Image.Resampling.BICUBIC))
        crop = large[self.top : self.top + size, self.left : self.left + size]
        return np.rint(crop).clip(0, 255).astype(np.uint8) if image.ndim == 2 else crop.copy()


@dataclass(frozen=True)
class Augmentation:
    """A crop to be resized and, perhaps, mirrored.

    Attributes:
        top: first row, in pixels of the source.
        left: first column, in pixels of the source.
        height: rows, in pixels of the source.
        width: columns, in pixels of the source.
        flip: whether the resized crop is mirrored left to right.
        resized_crop: second crop, after resizing; None where the crop is resized to the training size.
    """

    top: int
    left: int
    height: int
    width: int
    flip: bool
    resized_crop: ResizedCrop | None = None

    def crop(self, image: UInt8Array) -> UInt8Array:
        """Return the crop of [H,W,...] as a view."""
        return image[self.top : self.top + self.height, self.left : self.left + self.width]

    def reduction(self, size: int) -> int:
        """Return the largest of 1, 2, 4 and 8 by which the sides can be divided and need no enlarging."""
        needed = self.resized_crop.side if self.resized_crop else size
        return next((r for r in REDUCTIONS if min(self.height, self.width) // r >= needed), 1)

    def reduced(self, reduction: int, height: int, width: int) -> Augmentation:
        """Return the same crop of a picture whose sides were divided, to the nearest pixel.

        Args:
            reduction: the divisor.
            height: rows of the reduced picture.
            width: columns of the reduced picture.
        """
        top, bottom = (min(round(y / reduction), height) for y in (self.top, self.top + self.height))
        left, right = (min(round(x / reduction), width) for x in (self.left, self.left + self.width))
        return replace(self, top=top, left=left, height=bottom - top, width=right - left)

    def enlarged(self, reduction: int) -> Augmentation:
        """Return the crop of the whole picture that this crop of a reduced one shows.

        It may end just outside of the whole picture.
        """
        top, left, height, width = (
            side * reduction for side in (self.top, self.left, self.height, self.width)
        )
        return replace(self, top=top, left=left, height=height, width=width)


def draw_augmentation(
    rng: np.random.Generator,
    foreground_mask: MaskArray,
    size: int = TRAINING_SIZE,
    kind: AugmentationKind = "crop_flip",
) -> Augmentation:
    """Draw the augmentation of one sample.

    With `crop_flip`, crop and flip are drawn until the crop shows foreground; with probability 5 % a draw is
    taken regardless.

    Args:
        rng: the source of all draws.
        foreground_mask: [H,W] uint8, 1 = foreground. It may be empty: some draw is taken regardless.
        size: side of the training picture in pixels; the foreground is counted there.
        kind: see `AugmentationKind`.
    """
    if kind == "crop_flip":
        return _draw_until_foreground(rng, foreground_mask, size)
    height, width = foreground_mask.shape
    resized_crop = _draw_resized_crop(rng, size) if kind == "resize_crop" else None
    flip = kind != "none" and bool(rng.random() < _FLIP_PROBABILITY)
    return Augmentation(0, 0, height, width, flip, resized_crop)


def _draw_resized_crop(rng: np.random.Generator, size: int) -> ResizedCrop:
    side = round(size * _RESIZE_CROP_SCALE)
    top, left = (int(rng.integers(0, side - size + 1)) for _ in range(2))
    return ResizedCrop(side, top, left)


def _draw_until_foreground(rng: np.random.Generator, foreground_mask: MaskArray, size: int) -> Augmentation:
    for _ in range(_MAX_DRAWS):
        augmentation = _draw(rng, *foreground_mask.shape)
        if rng.random() < _ACCEPT_ANY_PROBABILITY:
            break
        if resize(augmentation.crop(foreground_mask), size).sum() > _MIN_FOREGROUND_PIXELS:
            break
    return augmentation


def apply(augmentation: Augmentation, image: UInt8Array, size: int = TRAINING_SIZE) -> UInt8Array:
    """Crop, resize and mirror [H,W,3] or [H,W] uint8 to [size,size,...].

    A mask of 0 and 1 is interpolated like a picture and comes out as 0 and 1, as released: OpenCV's integer
    arithmetic makes a pixel foreground from half to three quarters of cover on, depending on where it lies.
    A mask of 0 and 255 comes out as the coverage of each pixel.
    """
    return finish(augmentation, augmentation.crop(image), size)


def finish(augmentation: Augmentation, crop: UInt8Array, size: int = TRAINING_SIZE) -> UInt8Array:
    """Resize and mirror a crop that is made already: the rest of `apply`."""
    if augmentation.resized_crop is None:
        resized = resize(crop, size)
    else:
        resized = augmentation.resized_crop.apply(crop, size)
    # OpenCV mirrors 256x256 RGB in 0.01 ms; copying NumPy's reversed view takes 0.3 ms.
    return cv2.flip(resized, 1).astype(np.uint8, copy=False) if augmentation.flip else resized


def resize(image: UInt8Array, size: int = TRAINING_SIZE) -> UInt8Array:
    """Resize [H,W,3] or [H,W] uint8 to [size,size,...]: the test-time preprocessing.

    To 256x256 bilinearly (OpenCV's), as released; to other sizes by the means of areas, which keeps small
    pictures from aliasing, but bilinearly where a side grows.
    """
    by_areas = size != TRAINING_SIZE and min(image.shape[:2]) >= size
    interpolation = cv2.INTER_AREA if by_areas else cv2.INTER_LINEAR
    return cv2.resize(image, (size, size), interpolation=interpolation).astype(np.uint8, copy=False)


def resize_mask(mask: MaskArray, size: int = TRAINING_SIZE, edges: MaskEdges = "hard") -> MaskArray:
    """Resize a mask of 0 and 1 for a network: [H,W] uint8 to [size,size] uint8 as `edges` says."""
    return resize(mask * np.uint8(255) if edges == "soft" else mask, size)


def _draw(rng: np.random.Generator, image_height: int, image_width: int) -> Augmentation:
    for _ in range(_CROP_TRIES):
        area = rng.uniform(*_AREA_SCALE) * image_height * image_width
        ratio = math.exp(rng.uniform(math.log(_ASPECT_RATIO[0]), math.log(_ASPECT_RATIO[1])))
        width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < width <= image_width and 0 < height <= image_height:
            top = int(rng.integers(0, image_height - height + 1))
            left = int(rng.integers(0, image_width - width + 1))
            break
    else:
        top, left, height, width = _central_crop(image_height, image_width)
    return Augmentation(top, left, height, width, flip=bool(rng.random() < _FLIP_PROBABILITY))


def _central_crop(image_height: int, image_width: int) -> tuple[int, int, int, int]:
    """Return (top, left, height, width) of the largest central crop whose aspect ratio is allowed."""
    narrowest, widest = _ASPECT_RATIO
    height, width = image_height, image_width
    if image_width / image_height < narrowest:
        height = round(image_width / narrowest)
    elif image_width / image_height > widest:
        width = round(image_height * widest)
    return (image_height - height) // 2, (image_width - width) // 2, height, width
