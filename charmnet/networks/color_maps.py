"""Head that harmonizes by colour maps: a 3x4 matrix for each cell of the picture and one for the foreground.

A map describes in 12 numbers a change of colour that varies slowly over the foreground (compare bilateral
learning, Gharbi et al., SIGGRAPH 2017, and PCT-Net, Guerreiro et al., CVPR 2023). Maps are predicted from a
small picture and applied to one of any size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from charmnet.batch import IMAGENET_MEAN, IMAGENET_STD
from charmnet.networks.blocks import same_block
from charmnet.networks.decoder import Decoded, Decoder

COEFFICIENTS = 12
"""Numbers of a map: for each channel of the change three slopes and a shift."""

STATISTICS = 12
"""Numbers of `region_statistics`."""

CELL_LAYERS = 3
"""Layers of the encoder whose output the cells lie on, if a domain has so many of its own: a cell is then of
8x8 pixels, with two unshared layers of 4x4."""

_LEAST_DEVIATION = 1e-2  # of a channel, ImageNet-normalised; the root's gradient has no bound at 0
_LEAST_AREA = 1e-3  # of a region, in pixels of the feature map


class ColorMapDecoder(Decoder):
    """Decoder that ends in colour maps.

    Args:
        widths: channels of the features, then of the output of each layer down to the cells.
        with_statistics: whether it gets the colours' means and deviations in foreground and background.
    """

    def __init__(self, widths: list[int], *, with_statistics: bool = True) -> None:
        super().__init__(widths)
        self.with_statistics = with_statistics
        features, cells = widths[0], widths[-1]
        hidden = 4 * cells
        inputs = 2 * features + (STATISTICS if with_statistics else 0)
        self.whole = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
        self.to_cells = nn.Linear(hidden, cells)
        self.refine = same_block(cells)
        self.whole_map = nn.Linear(hidden, COEFFICIENTS)
        self.cell_maps = nn.Conv2d(cells, COEFFICIENTS, 1)

    def start_at_identity(self) -> None:
        """Make every map the identity, whatever the features are."""
        for layer in (self.whole_map, self.cell_maps):
            nn.init.zeros_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def finish(
        self, features: Tensor, enlarged: Tensor, composite: Tensor, foreground_mask: Tensor
    ) -> Decoded:
        """Return the picture and its maps; `enlarged` has a pixel for each cell."""
        vectors = [*region_means(features, foreground_mask)]
        if self.with_statistics:
            vectors.append(region_statistics(composite, foreground_mask).to(features.dtype))
        whole = self.whole(torch.cat(vectors, dim=1))
        refined = self.refine(enlarged + self.to_cells(whole)[..., None, None])
        # In full precision: a coefficient in bfloat16 would be off by a grey level.
        with torch.autocast(features.device.type, enabled=False):
            cells = self.cell_maps(refined.to(composite.dtype))
            maps = cells + self.whole_map(whole.to(composite.dtype))[..., None, None]
            harmonized = apply_color_maps(maps, composite, foreground_mask)
        return Decoded(harmonized, None, maps)


def region_means(features: Tensor, foreground_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the means [B,C] of [B,C,h,w] features over the foreground and over the background."""
    mask = F.interpolate(foreground_mask, size=features.shape[-2:], mode="area").to(features.dtype)
    foreground, background = (
        (features * share).sum((2, 3)) / share.sum((2, 3)).clamp(min=_LEAST_AREA)
        for share in (mask, 1 - mask)
    )
    return foreground, background


def region_statistics(picture: Tensor, foreground_mask: Tensor) -> Tensor:
    """Return [B,12]: means and deviations of the foreground's channels, then of the background's.

    Args:
        picture: [B,3,H,W].
        foreground_mask: [B,1,H,W], 1 = foreground.
    """
    statistics = []
    for share in (foreground_mask, 1 - foreground_mask):
        area = share.sum((2, 3)).clamp(min=_LEAST_AREA)
        mean = (picture * share).sum((2, 3)) / area
        centred = picture - mean[..., None, None]
        variance = (centred.square() * share).sum((2, 3)) / area
        statistics += [mean, (variance + _LEAST_DEVIATION**2).sqrt()]
    return torch.cat(statistics, dim=1)


def apply_color_maps(maps: Tensor, composite: Tensor, foreground_mask: Tensor) -> Tensor:
    """Return the composite with its foreground's colours changed; the background stays as it is.

    The change of channel i at a pixel is the sum over j of coefficient 4i+j times the pixel's channel j,
    and coefficient 4i+3. Maps are enlarged bilinearly.

    Args:
        maps: [B,12,h,w].
        composite: [B,3,H,W] ImageNet-normalised.
        foreground_mask: [B,1,H,W], 1 = foreground.
    """
    height, width = composite.shape[-2:]
    enlarged = F.interpolate(maps, size=(height, width), mode="bilinear").unflatten(1, (3, 4))
    change = torch.stack([_change(enlarged[:, channel], composite) for channel in range(3)], dim=1)
    return composite + change * foreground_mask


def _change(row: Tensor, composite: Tensor) -> Tensor:
    """Return [B,H,W], the change of one channel by its [B,4,H,W] coefficients."""
    slopes, shift = row[:, :3], row[:, 3]
    return (slopes * composite).sum(1) + shift


def maps_of_unit_range(maps: Tensor) -> Tensor:
    """Return the same maps for colours in 0..1 instead of ImageNet-normalised ones."""
    mean, std = (torch.tensor(v, dtype=maps.dtype, device=maps.device) for v in (IMAGENET_MEAN, IMAGENET_STD))
    rows = maps.unflatten(1, (3, 4))
    slopes = rows[:, :, :3] * (std[:, None] / std[None, :])[None, :, :, None, None]
    of_mean = (slopes * mean[None, None, :, None, None]).sum(2)
    shifts = rows[:, :, 3] * std[None, :, None, None] - of_mean
    return torch.cat([slopes, shifts[:, :, None]], dim=2).flatten(1, 2)
