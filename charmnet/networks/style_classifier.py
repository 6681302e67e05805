"""Classifiers of the capture condition, CharmNet's SC1 and SC2."""

from __future__ import annotations

from torch import Tensor, nn

from charmnet.networks.batch_norm import BatchNorm2d
from charmnet.networks.blocks import initialize_normal
from charmnet.vocabulary import NUM_CONDITIONS


class StyleClassifier(nn.Module):
    """Classifier of the capture condition by features (SC1: before harmonization, SC2: after it).

    The last pooling reduces whatever size is left to 1x1: as released for 16x16 features, and fit for the
    sizes that come with more or fewer unshared layers.

    Args:
        channels: channels of the features (128 as released).
        width: channels of the first layer (64 as released).
    """

    def __init__(self, channels: int = 128, width: int = 64) -> None:
        super().__init__()
        self.net = nn.Sequential(
            *_stage(channels, width, nn.MaxPool2d(2)),
            *_stage(width, width // 2, nn.MaxPool2d(2)),
            *_stage(width // 2, width // 4, nn.AdaptiveMaxPool2d(1)),
            nn.Conv2d(width // 4, NUM_CONDITIONS, 3, padding=1),
        )
        initialize_normal(self)

    def forward(self, features: Tensor) -> Tensor:
        """Map [B,C,S,S] features to logits [B,10] in the order of `CaptureCondition`."""
        logits: Tensor = self.net(features)
        return logits.flatten(1)


def _stage(in_channels: int, out_channels: int, pool: nn.Module) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(in_channels, out_channels, 3, padding=1),
        BatchNorm2d(out_channels),
        nn.ReLU(),
        pool,
    )
