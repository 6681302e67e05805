"""Denoising of rendered light by Open Image Denoise."""

from __future__ import annotations

from functools import cache

import numpy as np
import pyoidn

from charmnet.arrays import Float32Array


def denoise(light: Float32Array, albedo: Float32Array, normals: Float32Array) -> Float32Array:
    """Remove the noise of rendered light.

    On one type of processor the result is the same bytes for any number of threads.

    Args:
        light: float32 [H,W,3] in any unit.
        albedo: float32 [H,W,3], 0..1, without noise.
        normals: float32 [H,W,3], -1..1, without noise.

    Returns:
        float32 [H,W,3] in the unit of `light`.

    Raises:
        RuntimeError: the library reports an error.
    """
    device = _device()
    images = {"color": light, "albedo": albedo, "normal": normals, "output": np.zeros_like(light)}
    images = {name: np.ascontiguousarray(image, np.float32) for name, image in images.items()}
    denoiser = pyoidn.Filter(device, "RT")
    try:
        for name, image in images.items():
            denoiser.set_image(name, image, pyoidn.OIDN_FORMAT_FLOAT3)
        denoiser.set_bool("hdr", True)  # noqa: FBT003 - the library takes positions alone
        denoiser.set_bool("cleanAux", True)  # noqa: FBT003 - as above
        denoiser.commit()
        denoiser.execute()
        fault = device.get_error()
    finally:
        denoiser.release()
    if fault:
        raise RuntimeError(f"Open Image Denoise: {fault}")
    return images["output"]


@cache
def _device() -> pyoidn.Device:
    device = pyoidn.Device(pyoidn.OIDN_DEVICE_TYPE_CPU)
    device.set_int("numThreads", 1)  # a view is one task on one core; other tasks render on the others
    device.set_bool("setAffinity", False)  # noqa: FBT003 - the library takes positions alone
    device.commit()
    return device
