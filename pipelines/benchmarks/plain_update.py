"""CharmNet's update in plain PyTorch: the baseline of this project's update.

The four networks, losses and steps of the paper's released code in plain modules: contiguous tensors, a pass
of its own for each domain and network, Adam as it comes. It shares no code with `charmnet`; state dicts are
in the released layout, so either can take the other's weights.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RENDERED, REAL = "render", "real"


class PlainBatch(NamedTuple):
    """Pictures of one domain.

    Attributes:
        composite: [B,3,H,W], ImageNet-normalised.
        ground_truth: [B,3,H,W], ImageNet-normalised.
        mask: [B,1,H,W], 1 = foreground.
    """

    composite: Tensor
    ground_truth: Tensor
    mask: Tensor


class Block(nn.Module):
    """A convolution, a batch norm where channels are given for it, and ELU."""

    def __init__(self, convolution: nn.Module, normed_channels: int = 0) -> None:
        super().__init__()
        norm = nn.BatchNorm2d(normed_channels) if normed_channels else nn.Identity()
        self.block = nn.Sequential(convolution, norm, nn.ELU())

    def forward(self, features: Tensor) -> Tensor:
        """Return [B,C',H',W'] of features [B,C,H,W]."""
        output: Tensor = self.block(features)
        return output


def down(in_channels: int, out_channels: int, padding: int = 1, *, norm: bool = True) -> Block:
    """Return a block that halves height and width."""
    return Block(nn.Conv2d(in_channels, out_channels, 4, 2, padding), out_channels if norm else 0)


def up(in_channels: int, out_channels: int, padding: int = 1) -> Block:
    """Return a block that doubles height and width."""
    return Block(nn.ConvTranspose2d(in_channels, out_channels, 4, 2, padding), out_channels)


class Encoder(nn.Module):
    """Encoder of one domain: composite and mask to features at four scales."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.block0 = down(4, width, norm=False)
        self.block1 = down(width, width, norm=False)
        self.blocks_connected = nn.ModuleDict(
            {"block2": down(width, 2 * width), "block3": down(2 * width, 2 * width)}
        )

    def forward(self, features: Tensor) -> list[Tensor]:
        """Return the features of each block, the largest first."""
        outputs = []
        for block in (self.block0, self.block1, *self.blocks_connected.values()):
            features = block(features)
            outputs.append(features)
        return outputs


class Decoder(nn.Module):
    """Decoder of one domain: features to the image, blended with the composite by an attention map."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.deconv_blocks = nn.ModuleList(
            [up(2 * width, 2 * width), up(2 * width, width), up(width, width), up(width, width // 2)]
        )
        self.conv_attention = nn.Conv2d(width // 2, 1, 1)
        self.to_rgb = nn.Conv2d(width // 2, 3, 1)

    def forward(self, features: Tensor, skips: list[Tensor], image: Tensor) -> Tensor:
        """Return [B,3,H,W]."""
        for block, skip in zip(self.deconv_blocks[:3], reversed(skips), strict=True):
            features = block(features) + skip
        features = self.deconv_blocks[3](features)
        attention = torch.sigmoid(3 * self.conv_attention(features))
        colors: Tensor = self.to_rgb(features)
        return attention * image + (1 - attention) * colors


class Generator(nn.Module):
    """Encoders and decoders of both domains around shared blocks."""

    def __init__(self, width: int) -> None:
        super().__init__()
        deepest = min(8 * width, 512)
        self.render_enc = Encoder(width)
        self.real_enc = Encoder(width)
        self.encoder_blocks = nn.ModuleDict(
            {
                "block4": down(2 * width, 4 * width),
                "block5": down(4 * width, 4 * width),
                "block6": down(4 * width, deepest, padding=0),
            }
        )
        self.deconv_blocks = nn.ModuleList(
            [up(deepest, 4 * width, padding=0), up(4 * width, 4 * width), up(4 * width, 2 * width)]
        )
        self.real_dec = Decoder(width)
        self.render_dec = Decoder(width)

    def forward(self, image: Tensor, mask: Tensor, domain: str) -> tuple[Tensor, Tensor, Tensor]:
        """Return features before and after harmonization, and the harmonized image."""
        encoder = self.render_enc if domain == RENDERED else self.real_enc
        decoder = self.render_dec if domain == RENDERED else self.real_dec
        *skips, before = encoder(torch.cat([image, mask], 1))
        fourth = self.encoder_blocks["block4"](before)
        fifth = self.encoder_blocks["block5"](fourth)
        features = self.deconv_blocks[0](self.encoder_blocks["block6"](fifth)) + fifth
        features = self.deconv_blocks[1](features) + fourth
        after = self.deconv_blocks[2](features) + before
        return before, after, decoder(after, skips, image)


class Discriminator(nn.Module):
    """Classifier of features by domain."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(2 * width, width, 3, 1, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, width // 2, 3, 1, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width // 2, 1, 3, 1, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return [B,1,H,W], positive for the real domain."""
        scores: Tensor = self.net(features)
        return scores


class StyleClassifier(nn.Module):
    """Classifier of features by capture condition."""

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 2 * width
        for out_channels, pool in ((width, 2), (width // 2, 2), (width // 4, 4)):
            layers += [
                nn.Conv2d(channels, out_channels, 3, 1, 1),
                nn.BatchNorm2d(out_channels),
                nn.ReLU(),
                nn.MaxPool2d(pool, pool),
            ]
            channels = out_channels
        self.net = nn.Sequential(*layers, nn.Conv2d(channels, 10, 3, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Return [B,10] log-probabilities."""
        return torch.log_softmax(self.net(features).flatten(1), 1)


def foreground_loss(output: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Return the squared error over the number of foreground pixels, 100 at least, mean of the batch."""
    error = ((output - truth) ** 2).sum((1, 2, 3))
    return (error / (3 * mask.sum((1, 2, 3)).clamp(min=100))).mean()


def cross_entropy(logs: Tensor, probabilities: Tensor) -> Tensor:
    """Return the cross entropy of [B,10] log-probabilities and target probabilities, mean of the batch."""
    return -(probabilities * logs).sum(1).mean()


class PlainUpdate:
    """Networks and optimizers at random starting weights.

    Attributes:
        networks: by their released names.
    """

    def __init__(self, width: int = 64, learning_rate: float = 1e-4, device: str = "cpu") -> None:
        self.generator = Generator(width).to(device)
        self.discriminator = Discriminator(width).to(device)
        self.before = StyleClassifier(width).to(device)
        self.after = StyleClassifier(width).to(device)
        self.networks: dict[str, nn.Module] = {
            "G": self.generator,
            "D": self.discriminator,
            "SC1": self.before,
            "SC2": self.after,
        }
        self.discriminator_optimizer = torch.optim.Adam(self.discriminator.parameters(), learning_rate)
        joint = [*self.generator.parameters(), *self.after.parameters(), *self.before.parameters()]
        self.joint_optimizer = torch.optim.Adam(joint, learning_rate)

    def update(
        self, rendered: PlainBatch, real: PlainBatch, styles: tuple[Tensor, Tensor]
    ) -> dict[str, Tensor]:
        """Make one step and return its losses.

        Args:
            rendered: batch of the rendered domain.
            real: batch of the real domain.
            styles: [B,10] probabilities of the rendered composites, [B] classes of their ground truths.
        """
        rendered_before, rendered_after, rendered_output = self.generator(
            rendered.composite, rendered.mask, RENDERED
        )
        real_before, real_after, real_output = self.generator(real.composite, real.mask, REAL)
        discriminator = self._step_discriminator(rendered_before.detach(), real_before.detach())

        self.discriminator.requires_grad_(requires_grad=False)
        adversarial = -self.discriminator(rendered_before).mean()
        rendered_logs = self.before(rendered_before), self.after(rendered_after)
        real_logs = self.before(real_before), self.after(real_after)
        losses = {
            "adversarial": adversarial,
            "foreground_mse_rendered": 10
            * foreground_loss(rendered_output, rendered.ground_truth, rendered.mask),
            "foreground_mse_real": 10 * foreground_loss(real_output, real.ground_truth, real.mask),
            "style": self._style_loss(rendered_logs, real_logs, styles),
        }
        total = torch.stack(list(losses.values())).sum()
        self.joint_optimizer.zero_grad()
        total.backward()
        self.joint_optimizer.step()
        return {"discriminator": discriminator, **losses, "total": total}

    def _step_discriminator(self, rendered: Tensor, real: Tensor) -> Tensor:
        self.discriminator.requires_grad_(requires_grad=True)
        loss = F.relu(1 + self.discriminator(rendered)).mean() + F.relu(1 - self.discriminator(real)).mean()
        self.discriminator_optimizer.zero_grad()
        loss.backward()
        self.discriminator_optimizer.step()
        return loss

    @staticmethod
    def _style_loss(
        rendered: tuple[Tensor, Tensor], real: tuple[Tensor, Tensor], styles: tuple[Tensor, Tensor]
    ) -> Tensor:
        labelled = cross_entropy(rendered[0], styles[0]) + F.nll_loss(rendered[1], styles[1])
        consistency = cross_entropy(real[1], real[0].exp())
        entropies = [cross_entropy(logs, logs.exp()) for logs in real]
        margin = F.relu(1 - entropies[0] + entropies[1])
        return labelled + 0.5 * consistency + 0.5 * margin
