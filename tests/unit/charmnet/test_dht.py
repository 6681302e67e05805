"""The Harmony Transformer: patches, attention, and masks that leave no background."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from charmnet.batch import HarmonizationBatch
from charmnet.methods import HarmonyTransformerMethod
from charmnet.networks.dht import patches, untouched_patches
from charmnet.networks.transformer import Attention, Decoder, Encoder
from charmnet.released_weights import method_of_one_network
from charmnet.vocabulary import Domain
from tests.golden_support import draw

SMALL = {"width": 4, "layers": 2}


def test_patches_are_in_rows_of_pixels_of_channels() -> None:
    image = draw(2, 3, 16, 24, seed=1)
    cut = patches(image)
    assert cut.shape == (2, 6, 192)
    for row in range(2):
        for column in range(3):
            pixels = image[:, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
            assert torch.equal(cut[:, 3 * row + column], pixels.permute(0, 2, 3, 1).flatten(1))


def test_a_patch_with_any_foreground_is_touched() -> None:
    mask = torch.zeros(3, 1, 16, 16)
    mask[0, 0, 9, 3] = 1  # the third of the four patches
    mask[1] = 1
    mask[2, 0, 4::8, 4::8] = 1
    expected = [[True, True, False, True], [False] * 4, [False] * 4]
    assert untouched_patches(mask).tolist() == expected


@pytest.mark.parametrize("masked", [False, True])
def test_attention_is_that_of_torchs_own_module(masked: bool) -> None:
    own = Attention(12, 2, batch_first=True)
    nn.init.normal_(own.in_proj_bias)
    torchs = nn.MultiheadAttention(12, 2, batch_first=True)
    torchs.load_state_dict(own.state_dict())
    query, key, value = draw(2, 3, 12, seed=1), draw(2, 5, 12, seed=2), draw(2, 5, 12, seed=3)
    attended = torch.tensor([[True, False, True, True, False], [True] * 5]) if masked else None
    expected, _ = torchs(query, key, value, key_padding_mask=None if attended is None else ~attended)
    got = own(query, key, value, None if attended is None else attended[:, None, None])
    torch.testing.assert_close(got, expected)


def test_layers_are_torchs_own_but_for_the_positions() -> None:
    zeros = torch.zeros(5, 8)
    tokens, memory = draw(2, 5, 8, seed=1), draw(2, 5, 8, seed=2)
    options = {"dropout": 0.0, "activation": "gelu", "batch_first": True}
    encoder, decoder = Encoder(8, 2, 2), Decoder(8, 2, 2)
    layer = nn.TransformerEncoderLayer(8, 2, 16, **options)
    torch_encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    torch_encoder.load_state_dict(encoder.encoder.state_dict())
    torch.testing.assert_close(encoder(tokens, zeros), torch_encoder(tokens))
    decoder_layer = nn.TransformerDecoderLayer(8, 2, 16, **options)
    torch_decoder = nn.TransformerDecoder(decoder_layer, 2, nn.LayerNorm(8))
    torch_decoder.load_state_dict(decoder.decoder.state_dict())
    got = decoder(tokens, memory, queries=zeros, keys=zeros)
    torch.testing.assert_close(got, torch_decoder(tokens, memory))


def test_positions_go_to_queries_and_keys_and_not_to_values() -> None:
    tokens = draw(1, 5, 8, seed=1)
    encoder, shift = Encoder(8, 1, 2), torch.ones(5, 8)
    layer = encoder.encoder.layers[0]
    placed = tokens + shift
    attended = layer.norm1(tokens + layer.self_attn(placed, placed, tokens))
    expected = layer.norm2(attended + layer.linear2(nn.functional.gelu(layer.linear1(attended))))
    torch.testing.assert_close(encoder(tokens, shift), expected)
    shifted_values = layer.norm1(tokens + layer.self_attn(placed, placed, placed))
    assert not torch.allclose(attended, shifted_values)


@pytest.mark.parametrize("disentangled", [True, False])
def test_a_mask_over_everything_is_learned_from_and_harmonized(disentangled: bool) -> None:
    method = HarmonyTransformerMethod(**SMALL, disentangled=disentangled, seed=0)
    composite, truth = (draw(2, 3, 32, 32, seed=seed).sigmoid() for seed in (1, 2))
    mask = torch.ones(2, 1, 32, 32)
    mask[1, :, :16] = 0
    metrics = method.update({Domain.REAL: HarmonizationBatch(composite, truth, mask)})
    assert all(value.isfinite() for value in metrics.values())
    assert metrics["total"] == metrics["l1"]
    assert all(p.grad.isfinite().all() for p in method.modules["generator"].parameters())
    harmonized = method.harmonize(composite, mask)
    assert harmonized.isfinite().all()
    assert torch.equal(harmonized[1, :, :16], composite[1, :, :16])


def test_the_light_comes_from_the_background_alone() -> None:
    network = HarmonyTransformerMethod(**SMALL, seed=0).modules["generator"]
    composite, mask = draw(1, 3, 32, 32, seed=1).sigmoid(), torch.zeros(1, 1, 32, 32)
    mask[..., :12, :] = 1
    changed = composite.clone()
    changed[..., :12, :] = 0.5
    changed[..., 12:16, :] = 0.1  # the patches that the mask touches
    light = network.light_generator(composite, mask)
    torch.testing.assert_close(network.light_generator(changed, mask), light)
    changed[..., 20, 20] = 0.9
    assert not torch.allclose(network.light_generator(changed, mask), light)
    everywhere = torch.zeros_like(mask)
    everywhere[..., ::8, ::8] = 1  # no patch is without foreground: the light is the whole picture's
    whole = network.light_generator(composite, torch.zeros_like(mask))
    torch.testing.assert_close(network.light_generator(composite, everywhere), whole)


@pytest.mark.parametrize("disentangled", [True, False])
def test_released_files_tell_what_they_are_of(disentangled: bool) -> None:
    method = HarmonyTransformerMethod(**SMALL, disentangled=disentangled, seed=0)
    state = method.released_state_dict()
    again = method_of_one_network(state, "file")
    assert isinstance(again, HarmonyTransformerMethod)
    assert again.options == method.options
    assert all(torch.equal(again.released_state_dict()[key], state[key]) for key in state)


def test_heads_that_do_not_divide_the_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="heads=3 with width=4: expected a divisor of a token's 16 channels"):
        HarmonyTransformerMethod(width=4, heads=3)
