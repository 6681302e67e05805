"""Picture of the sky with its clouds and sun, computed without noise."""

from __future__ import annotations

import numpy as np

from charmnet.arrays import Float64Array
from pipelines.rendering import sky
from pipelines.rendering.conditions import Lighting
from pipelines.rendering.light_mixing import Mix

SHADED_CLOUD = 0.5  # share of a sunlit cloud's brightness that is lost where the cloud is thickest


def sky_picture(rays: Float64Array, mix: Mix, lighting: Lighting) -> Float64Array:
    """Return the sky's radiance [H,W,3] along unit rays [H,W,3], in the unit of `sky`."""
    azimuth = np.radians(mix.sky.azimuth_degrees)
    clear = sky.look_up(mix.sky.clear.radiance(), rays, azimuth)
    behind = clear + mix.sun_kilolux * sky.sun_disc(rays, mix.sun_direction)
    hidden, thickness = (
        part[..., None] for part in sky.clouds(rays, lighting.cloud_cover, lighting.cloud_seed)
    )
    return behind + hidden * (_cloud(rays, thickness, mix, lighting) - behind)


def _cloud(rays: Float64Array, thickness: Float64Array, mix: Mix, lighting: Lighting) -> Float64Array:
    """Return the clouds' radiance: the light of the cover, and sunlight that comes between the clouds."""
    cover = sky.overcast(rays[..., 2:]) * lighting.cloud_kilolux * np.array(lighting.cloud_color)
    sun = (1 - lighting.cloud_cover) * mix.sky.clear.sun_kilolux()
    sunlit = sky.CLOUD_ALBEDO * sun * (1 - SHADED_CLOUD * thickness)
    texture = 1 + lighting.cloud_contrast * (0.5 - thickness)
    result: Float64Array = (cover + sunlit) * texture
    return result
