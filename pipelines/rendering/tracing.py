"""Rendering by Mitsuba with results that do not depend on the number of threads."""

from __future__ import annotations

from typing import Any

import mitsuba as mi
import numpy as np

from charmnet.arrays import Float32Array

BLOCK_PIXELS = 32  # side of the block of pixels that a thread renders at a time


def trace(scene: Any, integrator: dict[str, Any], seed: int) -> Float32Array:
    """Render a loaded scene with one sensor; return float32 [H,W,channels].

    Each block of pixels has its own random numbers, and the default size of blocks depends on the number of
    threads, so the size is set here.
    """
    plugin = mi.load_dict({**integrator, "block_size": BLOCK_PIXELS})
    return np.asarray(mi.render(scene, integrator=plugin, seed=mi.UInt32(seed)), np.float32)
