"""Pictures of Mitsuba that are the same whatever the number of its threads."""

from __future__ import annotations

from typing import Any

import mitsuba as mi
import numpy as np

from charmnet.arrays import Float32Array

BLOCK_PIXELS = 32  # along either side of what a thread renders at a time


def traced(scene: Any, integrator: dict[str, Any], seed: int) -> Float32Array:
    """float32 [H,W,channels] of a loaded scene with one sensor.

    Blocks have random numbers of their own, and left to itself Mitsuba cuts them by the number of threads.
    """
    plugin = mi.load_dict({**integrator, "block_size": BLOCK_PIXELS})
    return np.asarray(mi.render(scene, integrator=plugin, seed=mi.UInt32(seed)), np.float32)
