"""What the decoders of a domain have in common, whatever head they end in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor, nn

from charmnet.networks.blocks import up_block
from charmnet.vocabulary import Domain


class Decoded(NamedTuple):
    """Output of a decoder.

    Attributes:
        harmonized: [B,3,S,S] ImageNet-normalised, not clipped.
        attention: [B,1,S,S] in 0..1, the share of the composite that is kept; None with colour maps.
        color_maps: [B,12,h,w], see `color_maps.apply_color_maps`; None without.
    """

    harmonized: Tensor
    attention: Tensor | None
    color_maps: Tensor | None = None


class Decoder(nn.Module, ABC):
    """Last layers of the generator, one set for each domain, and a head.

    Args:
        widths: channels of the features, then of the output of each layer.
    """

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.deconv_blocks = nn.ModuleList(up_block(narrow, wide) for narrow, wide in pairwise(widths))

    def forward(
        self,
        features: Tensor,
        skips: list[Tensor],
        composite: Tensor,
        foreground_mask: Tensor,
        domain: Domain,
    ) -> Decoded:
        """Harmonize a batch of the domain.

        Args:
            features: [B,C,h,w] after harmonization.
            skips: outputs of the domain's encoder in their order, without the last.
            composite: [B,3,S,S] ImageNet-normalised; S is the network's size.
            foreground_mask: [B,1,S,S], 1 = foreground.
            domain: whose decoder this is.
        """
        enlarged = features
        for number, block in enumerate(self.deconv_blocks, start=1):
            enlarged = block(enlarged, domain)
            if number <= len(skips):  # the pixel head's last layer has none
                enlarged = enlarged + skips[-number]
        return self.finish(features, enlarged, composite, foreground_mask)

    @abstractmethod
    def finish(
        self, features: Tensor, enlarged: Tensor, composite: Tensor, foreground_mask: Tensor
    ) -> Decoded:
        """Apply the head to the features, before and after the layers; arguments are `forward`'s."""
