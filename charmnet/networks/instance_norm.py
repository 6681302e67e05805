"""Instance norm whose gradient is right for single samples, too."""

from __future__ import annotations

from torch import Tensor, nn


class InstanceNorm2d(nn.InstanceNorm2d):
    """Instance norm for networks whose tensors have their channels last.

    On CPUs torch's own (2.13) reads the gradient of a single sample as if its channels came first, and what
    it passes on is wrong without a word; of several samples it makes a copy that is in order.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Normalise each channel of each sample of [B,C,H,W]."""
        output = super().forward(features)
        if output.requires_grad and len(output) == 1:
            output.register_hook(_with_channels_first)
        return output


def _with_channels_first(gradient: Tensor) -> Tensor:
    return gradient.contiguous()
