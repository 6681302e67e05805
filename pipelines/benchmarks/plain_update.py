"""CharmNet's update as one writes it down at first: what this project's is measured against.

The four networks, losses and steps of the paper's released code in plain modules: contiguous tensors, a pass
of its own for each domain and network, Adam as it comes. It shares no code with `charmnet`; state dicts are
in the released layout, so either can take the other's weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RENDERED, REAL = "render", "real"


class Block(nn.Module):
    def __init__(self, convolution: nn.Module, normed_channels: int = 0) -> None:
        super().__init__()
        norm = nn.BatchNorm2d(normed_channels) if normed_channels else nn.Identity()
        self.block = nn.Sequential(convolution, norm, nn.ELU())

    def forward(self, features: Tensor) -> Tensor:
        return self.block(features)


def down(in_channels: int, out_channels: int, padding: int = 1, norm: bool = True) -> Block:
    return Block(nn.Conv2d(in_channels, out_channels, 4, 2, padding), out_channels if norm else 0)


def up(in_channels: int, out_channels: int, padding: int = 1) -> Block:
    return Block(nn.ConvTranspose2d(in_channels, out_channels, 4, 2, padding), out_channels)


class Encoder(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.block0 = down(4, width, norm=False)
        self.block1 = down(width, width, norm=False)
        self.blocks_connected = nn.ModuleDict(
            {"block2": down(width, 2 * width), "block3": down(2 * width, 2 * width)}
        )

    def forward(self, features: Tensor) -> list[Tensor]:
        outputs = []
        for block in (self.block0, self.block1, *self.blocks_connected.values()):
            features = block(features)
            outputs.append(features)
        return outputs


class Decoder(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.deconv_blocks = nn.ModuleList(
            [up(2 * width, 2 * width), up(2 * width, width), up(width, width), up(width, width // 2)]
        )
        self.conv_attention = nn.Conv2d(width // 2, 1, 1)
        self.to_rgb = nn.Conv2d(width // 2, 3, 1)

    def forward(self, features: Tensor, skips: list[Tensor], image: Tensor) -> Tensor:
        for block, skip in zip(self.deconv_blocks[:3], reversed(skips), strict=True):
            features = block(features) + skip
        features = self.deconv_blocks[3](features)
        attention = torch.sigmoid(3 * self.conv_attention(features))
        return attention * image + (1 - attention) * self.to_rgb(features)


class Generator(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        deepest = min(8 * width, 512)
        self.render_enc, self.real_enc = Encoder(width), Encoder(width)
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
        self.real_dec, self.render_dec = Decoder(width), Decoder(width)

    def forward(self, image: Tensor, mask: Tensor, domain: str) -> tuple[Tensor, Tensor, Tensor]:
        """Features before and after harmonization, and the image that comes out."""
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
        return self.net(features)


class StyleClassifier(nn.Module):
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
        return torch.log_softmax(self.net(features).flatten(1), 1)


def foreground_loss(output: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    error = ((output - truth) ** 2).sum((1, 2, 3))
    return (error / (3 * mask.sum((1, 2, 3)).clamp(min=100))).mean()


def cross_entropy(logs: Tensor, probabilities: Tensor) -> Tensor:
    return -(probabilities * logs).sum(1).mean()


class PlainUpdate:
    """Networks and optimisers at random starting weights; `networks` has them by their released names."""

    def __init__(self, width: int = 64, learning_rate: float = 1e-4, device: str = "cpu") -> None:
        self.generator, self.discriminator = Generator(width).to(device), Discriminator(width).to(device)
        self.before, self.after = StyleClassifier(width).to(device), StyleClassifier(width).to(device)
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
        self, rendered: tuple[Tensor, ...], real: tuple[Tensor, ...], styles: tuple[Tensor, ...]
    ) -> dict[str, Tensor]:
        """One step.

        Args:
            rendered, real: composite, ground truth and mask of each domain.
            styles: [B,10] probabilities of the rendered composites, [B] classes of their ground truths.
        """
        rendered_before, rendered_after, rendered_output = self.generator(rendered[0], rendered[2], RENDERED)
        real_before, real_after, real_output = self.generator(real[0], real[2], REAL)
        discriminator = self._step_discriminator(rendered_before.detach(), real_before.detach())

        self.discriminator.requires_grad_(False)
        adversarial = -self.discriminator(rendered_before).mean()
        rendered_logs = self.before(rendered_before), self.after(rendered_after)
        real_logs = self.before(real_before), self.after(real_after)
        losses = {
            "adversarial": adversarial,
            "foreground_mse_rendered": 10 * foreground_loss(rendered_output, rendered[1], rendered[2]),
            "foreground_mse_real": 10 * foreground_loss(real_output, real[1], real[2]),
            "style": self._style_loss(rendered_logs, real_logs, styles),
        }
        total = torch.stack(list(losses.values())).sum()
        self.joint_optimizer.zero_grad()
        total.backward()
        self.joint_optimizer.step()
        return {"discriminator": discriminator, **losses, "total": total}

    def _step_discriminator(self, rendered: Tensor, real: Tensor) -> Tensor:
        self.discriminator.requires_grad_(True)
        loss = F.relu(1 + self.discriminator(rendered)).mean() + F.relu(1 - self.discriminator(real)).mean()
        self.discriminator_optimizer.zero_grad()
        loss.backward()
        self.discriminator_optimizer.step()
        return loss

    @staticmethod
    def _style_loss(
        rendered: tuple[Tensor, Tensor], real: tuple[Tensor, Tensor], styles: tuple[Tensor, ...]
    ) -> Tensor:
        labelled = cross_entropy(rendered[0], styles[0]) + F.nll_loss(rendered[1], styles[1])
        consistency = cross_entropy(real[1], real[0].exp())
        entropies = [cross_entropy(logs, logs.exp()) for logs in real]
        margin = F.relu(1 - entropies[0] + entropies[1])
        return labelled + 0.5 * consistency + 0.5 * margin
