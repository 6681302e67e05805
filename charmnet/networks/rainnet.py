"""Generator of RainNet (CVPR 2021): a gated U-Net whose norms give the foreground the background's style."""

from __future__ import annotations

from charmnet.networks.blocks import initialize_normal
from charmnet.networks.instance_norm import InstanceNorm2d
from charmnet.networks.region_norm import RegionAwareNorm
from charmnet.networks.unet import LEVELS, UNet


class RainNet(UNet):
    """Generator that takes the picture alone; its norms on the way up see the mask.

    Args:
        width: channels of the first level (64 as published).
        dropout: see `UNet`.
    """

    def __init__(self, width: int = 64, dropout: float = 0.5) -> None:
        super().__init__(
            width, (InstanceNorm2d, RegionAwareNorm), sees_mask=False, bias=False, dropout=dropout
        )
        initialize_normal(self)


def generator_names() -> dict[str, str]:
    """Return the released generator's module names, each with this module's."""
    names = {"model_layer0": "down.0", "model_out.1": "to_image"}
    for level in (2, 3, 4):
        names[f"model_layer{level - 1}.1"] = f"down.{level - 1}"
        released = f"model_layer{15 - level}"
        names[f"{released}.1"] = f"up.{LEVELS - level}"
        names[f"{released}norm"] = f"up_norms.{LEVELS - level}"
        names[f"{released}att.0"] = f"gates.{4 - level}"
    block = "unet_block"
    for level in range(5, LEVELS + 1):
        last, up = level == LEVELS, LEVELS - level
        names[f"{block}.{'up' if last else 'down'}.1"] = f"down.{level - 1}"
        names[f"{block}.up.{3 if last else 1}"] = f"up.{up}"
        names[f"{block}.upnorm"] = f"up_norms.{up}"
        block = f"{block}.submodule"
    return names
