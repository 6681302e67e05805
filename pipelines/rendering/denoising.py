"""Open Image Denoise for rendered light."""

from __future__ import annotations

from functools import cache

import numpy as np
import pyoidn

from charmnet.arrays import Float32Array


def denoise(light: Float32Array, albedo: Float32Array, normals: Float32Array) -> Float32Array:
    """Light, float32 [H,W,3] in any unit, without its noise; albedo (0..1) and normals (-1..1) guide it.

    On one processor type the result is the same bytes whatever the number of threads.

    Raises:
        RuntimeError: the library reports a fault.
    """
    device = _device()
    images = {"color": light, "albedo": albedo, "normal": normals, "output": np.zeros_like(light)}
    images = {name: np.ascontiguousarray(image, np.float32) for name, image in images.items()}
    work = pyoidn.Filter(device, "RT")
    try:
        for name, image in images.items():
            work.set_image(name, image, pyoidn.OIDN_FORMAT_FLOAT3)
        work.set_bool("hdr", True)
        work.set_bool("cleanAux", True)
        work.commit()
        work.execute()
        fault = device.get_error()
    finally:
        work.release()
    if fault:
        raise RuntimeError(f"Open Image Denoise: {fault}")
    return images["output"]


@cache
def _device() -> pyoidn.Device:
    device = pyoidn.Device(pyoidn.OIDN_DEVICE_TYPE_CPU)
    device.set_int("numThreads", 1)  # a view is one task on one core; others render beside it
    device.set_bool("setAffinity", False)
    device.commit()
    return device
