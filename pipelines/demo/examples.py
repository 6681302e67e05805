"""Drawn pictures to try a page with: a ball that was lit by another light than the scene it lies in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from charmnet.arrays import Float32Array, MaskArray, UInt8Array
from charmnet.codecs import encode_mask, encode_png

_HEIGHT, _WIDTH = 360, 480
_HORIZON = 200  # row


@dataclass(frozen=True)
class _Scene:
    """Colours (RGB, 0 to 1) of a scene, and those that the light of another one gives the ball.

    Attributes:
        sky: at the top and at the horizon.
        ground: at the horizon and at the bottom.
        ball: the ball under white light.
        light: factor of each channel by which the ball's light differs from white.
        center: row and column of the ball.
        radius: of the ball, in pixels.
    """

    sky: tuple[tuple[float, float, float], tuple[float, float, float]]
    ground: tuple[tuple[float, float, float], tuple[float, float, float]]
    ball: tuple[float, float, float]
    light: tuple[float, float, float]
    center: tuple[int, int]
    radius: int


_SCENES = {
    "dusk": _Scene(
        ((0.16, 0.18, 0.36), (0.86, 0.5, 0.35)),
        ((0.32, 0.22, 0.22), (0.16, 0.12, 0.15)),
        (0.8, 0.3, 0.25),
        (1.05, 1.15, 1.35),
        (235, 300),
        70,
    ),
    "noon": _Scene(
        ((0.35, 0.6, 0.95), (0.8, 0.9, 1.0)),
        ((0.5, 0.65, 0.3), (0.36, 0.52, 0.2)),
        (0.85, 0.75, 0.3),
        (0.8, 0.55, 0.4),
        (240, 170),
        60,
    ),
}


def write_examples(folder: Path) -> list[tuple[Path, Path]]:
    """Write the examples as NAME.png and NAME.mask.png; return (composite, mask) of each."""
    written = []
    for name, scene in _SCENES.items():
        composite, mask = _draw(scene)
        paths = folder / f"{name}.png", folder / f"{name}.mask.png"
        paths[0].write_bytes(encode_png(composite))
        paths[1].write_bytes(encode_mask(mask))
        written.append(paths)
    return written


def _draw(scene: _Scene) -> tuple[UInt8Array, MaskArray]:
    rows, columns = np.mgrid[:_HEIGHT, :_WIDTH].astype(np.float32)
    above = _gradient(scene.sky, rows / _HORIZON)
    below = _gradient(scene.ground, (rows - _HORIZON) / (_HEIGHT - _HORIZON))
    picture = np.where((rows < _HORIZON + 12 * np.sin(columns / 60))[..., None], above, below)

    height = (rows - scene.center[0]) / scene.radius
    width = (columns - scene.center[1]) / scene.radius
    depth = np.sqrt(np.clip(1 - height**2 - width**2, 0, None))
    shade = np.clip(0.35 + 0.75 * (0.5 * depth - 0.6 * height - 0.4 * width), 0.15, 1.2)
    mask = (height**2 + width**2 <= 1).astype(np.uint8)
    shadow = cv2.GaussianBlur(((height - 0.9) ** 2 * 12 + width**2 < 1).astype(np.float32), (0, 0), 9)
    picture = picture * (1 - 0.45 * shadow[..., None])
    ball = shade[..., None] * np.array(scene.ball, np.float32) * np.array(scene.light, np.float32)
    picture = np.where(mask[..., None] != 0, ball, picture)
    grain = np.random.default_rng(0).normal(0, 0.012, picture.shape)
    return np.rint(255 * np.clip(picture + grain, 0, 1)).astype(np.uint8), mask


def _gradient(colors: tuple[tuple[float, ...], tuple[float, ...]], share: Float32Array) -> Float32Array:
    """Return colours between two, [H,W,3], by a share of 0 to 1."""
    part = np.clip(share, 0, 1)[..., None]
    first, last = (np.array(color, np.float32) for color in colors)
    return np.asarray((1 - part) * first + part * last, np.float32)
