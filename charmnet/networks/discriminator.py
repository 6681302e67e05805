"""Feature discriminator of CharmNet."""

from __future__ import annotations

from torch import Tensor, nn

from charmnet.networks.blocks import initialize_normal


class FeatureDiscriminator(nn.Module):
    """Classifier of the domain at every position of the features before harmonization.

    Args:
        channels: channels of the features (128 as released).
        width: channels of the first layer (the released ndf).
    """

    def __init__(self, channels: int = 128, width: int = 64) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, width // 2, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width // 2, 1, 3, padding=1),
        )
        initialize_normal(self)

    def forward(self, features: Tensor) -> Tensor:
        """Map [B,C,S,S] features to logits [B,1,S,S]: above 0 for real, below 0 for rendered."""
        logits: Tensor = self.net(features)
        return logits
