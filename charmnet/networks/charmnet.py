"""Generator of CharmNet: encoders and decoders of each domain around shared blocks (BMVC 2022)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from charmnet.errors import WeightsError
from charmnet.networks.blocks import (
    INPUT_SIZE,
    INPUT_SIZES,
    depth_of,
    down_block,
    encoder_widths,
    initialize_normal,
    up_block,
)
from charmnet.networks.color_maps import CELL_LAYERS, ColorMapDecoder, apply_color_maps
from charmnet.networks.decoder import Decoded, Decoder
from charmnet.vocabulary import Domain

Head = Literal["pixels", "affine"]
"""End of a decoder: new colours and attention for every pixel, or colour maps (see `color_maps`)."""

IDENTITY_BIAS = 2.0
"""Bias of the attention that keeps 99.75 % of the composite: white and black change by a third of a grey
level."""

UNSHARED_LAYERS = range(2, 6)
"""Numbers of layers that a domain can have of its own; with others the shapes do not fit each other."""
BOTH_DOMAINS = (Domain.RENDERED, Domain.REAL)
_ENCODERS = {Domain.RENDERED: "render_enc", Domain.REAL: "real_enc"}
_DECODERS = {Domain.REAL: "real_dec", Domain.RENDERED: "render_dec"}


class Harmonization(NamedTuple):
    """Output of the generator for a batch.

    Attributes:
        features_before: [B,C,S,S] where the shared blocks begin (C 128, S 16 as released); input of SC1 and
            of the discriminator.
        features_after: [B,C,S,S] where the shared blocks end, the skip added; input of SC2.
        harmonized: [B,3,H,W] ImageNet-normalised, not clipped.
        attention: [B,1,H,W] in 0..1, the share of the composite that is kept; None with colour maps.
        color_maps: [B,12,h,w], see `color_maps.apply_color_maps`; None without.
    """

    features_before: Tensor
    features_after: Tensor
    harmonized: Tensor
    attention: Tensor | None
    color_maps: Tensor | None = None


class DomainEncoder(nn.Module):
    """First layers of the generator, one set for each domain."""

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.block0 = down_block(0, 4, widths[0])
        self.block1 = down_block(1, widths[0], widths[1])
        self.blocks_connected = nn.ModuleDict(
            {f"block{i}": down_block(i, widths[i - 1], widths[i]) for i in range(2, len(widths))}
        )

    def forward(self, inputs: Tensor, domain: Domain) -> list[Tensor]:
        """Return every layer's output for [B,4,S,S]; the last is the features before harmonization."""
        outputs = []
        for block in (self.block0, self.block1, *self.blocks_connected.values()):
            inputs = block(inputs, domain)
            outputs.append(inputs)
        return outputs


class DomainDecoder(Decoder):
    """Decoder whose heads blend the composite with new colours.

    Args:
        widths: channels of the features, then of the output of each layer.
        paste: take the background from the composite, in training, too.
    """

    def __init__(self, widths: list[int], *, paste: bool = False) -> None:
        super().__init__(widths)
        self.paste = paste
        self.conv_attention = nn.Conv2d(widths[-1], 1, 1)
        self.to_rgb = nn.Conv2d(widths[-1], 3, 1)

    def set_attention_bias(self, bias: float) -> None:
        """Set the share of the composite that is kept before training, which is sigmoid(3 * bias)."""
        assert self.conv_attention.bias is not None
        nn.init.constant_(self.conv_attention.bias, bias)

    def start_at_identity(self) -> None:
        """Let the first pictures be the composites, up to less than half a grey level.

        The share of the composite that is kept is below 1, so that gradients reach both heads.
        """
        for parameter in (*self.conv_attention.parameters(), *self.to_rgb.parameters()):
            nn.init.zeros_(parameter)
        self.set_attention_bias(IDENTITY_BIAS)

    def finish(
        self, features: Tensor, enlarged: Tensor, composite: Tensor, foreground_mask: Tensor
    ) -> Decoded:
        """Return the picture and the attention; `enlarged` has the picture's size."""
        # In full precision: the heads are cheap, and bfloat16 would round the picture by whole grey levels.
        with torch.autocast(features.device.type, enabled=False):
            logit, colors = self._heads(enlarged.to(composite.dtype)).split((1, 3), dim=1)
            attention = torch.sigmoid(3.0 * logit)
            harmonized = torch.lerp(colors, composite, attention)
            if self.paste:
                harmonized = torch.lerp(composite, harmonized, foreground_mask)
        return Decoded(harmonized, attention)

    def _heads(self, features: Tensor) -> Tensor:
        """Apply both 1x1 convolutions as one, which reads the network's largest features only once."""
        heads = self.conv_attention, self.to_rgb
        weight = torch.cat([head.weight for head in heads])
        return F.conv2d(features, weight, torch.cat([head.bias for head in heads if head.bias is not None]))


class SharedBlocks(nn.Module):
    """Layers that both domains share, from the features before harmonization to the features after it."""

    def __init__(self, encoder_blocks: nn.ModuleDict, deconv_blocks: nn.ModuleList) -> None:
        super().__init__()
        self.encoder_blocks = encoder_blocks
        self.deconv_blocks = deconv_blocks

    def forward(self, features: Tensor, domain: Domain) -> Tensor:
        """Map [B,C,S,S] features of one domain to the same shape."""
        skips = []
        for block in self.encoder_blocks.values():
            skips.append(features)
            features = block(features, domain)
        for block in self.deconv_blocks:
            features = block(features, domain) + skips.pop()
        return features


class CharmNet(nn.Module):
    """Generator that harmonizes composites of either domain.

    State-dict names with the pixel head are those of the released weights. With the real domain alone it is
    iDIH.

    Args:
        width: channels of the first layer (the released ngf), a multiple of 4.
        unshared_layers: layers of each encoder and decoder that a domain has to itself, 2 to 5 (at most two
            fewer than there are).
        domain_statistics: keep the shared batch norms' running statistics per domain (not as released).
        attention_bias: initial bias of the attention head (released: 0).
        domains: domains to build an encoder and a decoder for.
        initialize: function that draws the initial weights, from torch's global generator.
        head: see `Head`; colour maps start at the identity and paste always.
        size: S, height and width that the network works at, of `INPUT_SIZES`; the pixel head's is 256.
        paste: take the background from the composite.
        region_statistics: tell the colour maps' decoder the colours' means and deviations.
        identity_start: let the pixel head start at the identity, as colour maps always do.
        shared_paths: let the rendered domain have the real one's encoder and decoder (not as released).

    Raises:
        ValueError: these do not go together.
    """

    def __init__(  # noqa: PLR0913 - the released options, and what they stand for elsewhere
        self,
        width: int = 64,
        unshared_layers: int = 4,
        domain_statistics: bool = False,
        attention_bias: float = 0.0,
        domains: Collection[Domain] = BOTH_DOMAINS,
        initialize: Callable[[nn.Module], None] = initialize_normal,
        *,
        head: Head = "pixels",
        size: int = INPUT_SIZE,
        paste: bool = False,
        region_statistics: bool = True,
        identity_start: bool = False,
        shared_paths: bool = False,
    ) -> None:
        super().__init__()
        check_shape(width, unshared_layers, head, size)
        self.head = head
        self.shared_paths = shared_paths
        domains = (Domain.REAL,) if shared_paths else domains
        self.size = size
        depth = depth_of(size)
        down = encoder_widths(width, depth)
        up = [*reversed(down), width // 2]
        shared = depth - unshared_layers
        # The order of the modules is that of the released files, which position-based tools rely on.
        for domain, name in _ENCODERS.items():
            if domain in domains:
                self.add_module(name, DomainEncoder(down[:unshared_layers]))
        self.encoder_blocks = nn.ModuleDict(
            {
                f"block{i}": down_block(
                    i, down[i - 1], down[i], last=i == depth - 1, domain_statistics=domain_statistics
                )
                for i in range(unshared_layers, depth)
            }
        )
        self.deconv_blocks = nn.ModuleList(
            up_block(up[i], up[i + 1], first=i == 0, domain_statistics=domain_statistics)
            for i in range(shared)
        )
        for domain, name in _DECODERS.items():
            if domain not in domains:
                continue
            if head == "pixels":
                self.add_module(name, DomainDecoder(up[shared:], paste=paste))
            else:
                last = depth - min(unshared_layers, CELL_LAYERS)
                widths = up[shared : last + 1]
                self.add_module(name, ColorMapDecoder(widths, with_statistics=region_statistics))
        initialize(self)
        for module in self.modules():
            if isinstance(module, DomainDecoder):
                module.set_attention_bias(attention_bias)
                if identity_start:
                    module.start_at_identity()
            elif isinstance(module, ColorMapDecoder):
                module.start_at_identity()

    def forward(
        self, composite: Tensor, foreground_mask: Tensor, domain: Domain = Domain.REAL
    ) -> Harmonization:
        """Harmonize a batch of one domain.

        Args:
            composite: [B,3,H,W] ImageNet-normalised; 256x256 with the pixel head, of any size with colour
                maps, which are then predicted from a copy of the network's size.
            foreground_mask: [B,1,H,W], 1 = foreground.
            domain: whose encoder, decoder and (with `domain_statistics`) statistics to use.

        Raises:
            ValueError: the inputs have another size, or a training batch holds one sample (the batch norm
                of the 1x1 bottleneck needs two).
        """
        small, small_mask = self._working_copy(composite, foreground_mask)
        *skips, features_before = self.encoder(domain)(self.network_input(small, small_mask), domain)
        features_after = self.shared()(features_before, domain)
        harmonized, attention, maps = self.decoder(domain)(features_after, skips, small, small_mask, domain)
        if maps is not None and small is not composite:
            harmonized = apply_color_maps(maps, composite, foreground_mask)
        return Harmonization(features_before, features_after, harmonized, attention, maps)

    def _working_copy(self, composite: Tensor, foreground_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return both at the network's size; with the pixel head as they are."""
        if self.head == "pixels" or composite.shape[-2:] == (self.size, self.size):
            return composite, foreground_mask
        return area_resized(composite, self.size), area_resized(foreground_mask, self.size)

    def network_input(self, composite: Tensor, foreground_mask: Tensor) -> Tensor:
        """Join composite and mask to [B,4,S,S] in the memory format that convolutions are fastest in.

        Args:
            composite: [B,3,S,S] ImageNet-normalised.
            foreground_mask: [B,1,S,S], 1 = foreground.

        Raises:
            ValueError: either has another shape.
        """
        _check_inputs(composite, foreground_mask, self.size)
        return torch.cat([composite, foreground_mask], dim=1).contiguous(memory_format=torch.channels_last)

    def encoder(self, domain: Domain) -> nn.Module:
        """Return the domain's own `DomainEncoder`, which takes the output of `network_input`."""
        return self.get_submodule(_ENCODERS[self._path_of(domain)])

    def shared(self) -> nn.Module:
        """Return the `SharedBlocks`, which hold this network's own layers."""
        return SharedBlocks(self.encoder_blocks, self.deconv_blocks)

    def decoder(self, domain: Domain) -> nn.Module:
        """Return the domain's own `Decoder`."""
        return self.get_submodule(_DECODERS[self._path_of(domain)])

    def _path_of(self, domain: Domain) -> Domain:
        return Domain.REAL if self.shared_paths else domain


def area_resized(values: Tensor, size: int) -> Tensor:
    """Return [B,C,H,W] as [B,C,size,size]: means of areas, or where a side grows bilinear."""
    mode = "area" if min(values.shape[-2:]) >= size else "bilinear"
    return F.interpolate(values, size=(size, size), mode=mode)


def check_shape(width: int, unshared_layers: int, head: Head = "pixels", size: int = INPUT_SIZE) -> None:
    """Check that a generator can be built of these; see `CharmNet`.

    Raises:
        ValueError: it cannot; says what would fit.
    """
    if width < 4 or width % 4:
        raise ValueError(f"width is {width}, expected a multiple of 4, at least 4 (64 as released)")
    if size not in INPUT_SIZES:
        raise ValueError(f"size is {size}, expected one of {', '.join(map(str, INPUT_SIZES))}")
    if head == "pixels" and size != INPUT_SIZE:
        raise ValueError(f"size is {size} with head=pixels, expected {INPUT_SIZE}; head=affine has others")
    most = min(UNSHARED_LAYERS[-1], depth_of(size) - 2)
    if not UNSHARED_LAYERS[0] <= unshared_layers <= most:
        at = "" if size == INPUT_SIZE else f" at size {size}"
        raise ValueError(
            f"unshared_layers is {unshared_layers}, expected {UNSHARED_LAYERS[0]} to {most}{at} "
            "(4 as released): other splits give layers whose shapes do not fit"
        )


def _check_inputs(composite: Tensor, foreground_mask: Tensor, size: int) -> None:
    for name, tensor, channels in (("composite", composite, 3), ("foreground_mask", foreground_mask, 1)):
        expected = (composite.shape[0], channels, size, size)
        if tensor.shape != expected:
            raise ValueError(
                f"{name} has shape {tuple(tensor.shape)}, expected {expected}: "
                f"the network works at {size}x{size}, resize before"
            )


def released_shape(state: Mapping[str, Tensor], source: str = "the generator's weights") -> tuple[int, int]:
    """Return `width` and `unshared_layers` of the network that a state dict of the released layout is of.

    Args:
        state: tensors by their released names.
        source: the file or the network's name, for the message.

    Raises:
        WeightsError: the state dict lacks the real path, whose shapes tell both.
    """
    first = state.get("real_enc.block0.block.0.weight")
    layers = {key.split(".")[2] for key in state if key.startswith("real_dec.deconv_blocks.")}
    if first is None or len(layers) not in UNSHARED_LAYERS or not first.ndim:
        raise WeightsError(
            f"{source}: not the released layout: expected real_enc.block0.block.0.weight "
            f"and 2 to 5 of real_dec.deconv_blocks, got {len(state)} entries beginning with {list(state)[:3]}"
        )
    width = first.shape[0]
    if width < 4 or width % 4:
        raise WeightsError(f"{source}: the first layer has {width} channels, expected a multiple of 4")
    return width, len(layers)
