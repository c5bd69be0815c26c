from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import nn

from unetkit.models.plain_unet import PlainUnet


def plain(padding: Literal["same", "valid"], *, depth: int = 3, base: int = 4, norm: bool = False) -> PlainUnet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = PlainUnet(1, 2, depth=depth, base_channels=base, padding=padding, batch_norm=norm)
        return network.eval()


def test_the_paper_has_31_million_weights_and_makes_388_of_572() -> None:
    """23 convolutions, with biases; the number is that of the paper's released network for one channel."""
    with torch.device("meta"):
        network = PlainUnet(1, 2, depth=4, base_channels=64, padding="valid", batch_norm=False)
        assert network.predict_inside(torch.empty(1, 1, 576, 576)).shape == (1, 2, 388, 388)
        assert network(torch.empty(1, 1, 64, 96)).shape == (1, 2, 64, 96)
    layers = [module for module in network.modules() if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d))]
    assert len(layers) == 23
    assert sum(parameter.numel() for parameter in network.parameters()) == 31_030_658
    channels = [layer.out_channels for layer in layers if layer.kernel_size == (3, 3)]
    assert channels[:10] == [64, 64, 128, 128, 256, 256, 512, 512, 1024, 1024]


@pytest.mark.parametrize("depth", [3, 4, 5])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_what_comes_out_has_the_size_of_what_went_in(padding: Literal["same", "valid"], depth: int) -> None:
    network = plain(padding, depth=depth, base=2, norm=True)
    with torch.inference_mode():
        assert network(torch.rand(2, 1, 32, 64)).shape == (2, 2, 32, 64)


@pytest.mark.parametrize("depth", [3, 4])
def test_what_is_kept_of_a_tile_never_sees_padding(depth: int) -> None:
    network, stride = plain("valid", depth=depth, base=2), 2**depth
    halo = -(-network.margin // stride) * stride
    size = 2 * halo + 2 * stride
    pixels = torch.rand(1, 1, size + 4 * stride, size + 3 * stride)
    window = (slice(2 * stride, 2 * stride + size), slice(stride, stride + size))
    with torch.inference_mode():
        whole, tile = network(pixels)[..., *window], network(pixels[..., *window])
    kept, more = slice(halo, -halo), slice(halo - stride, stride - halo)
    torch.testing.assert_close(tile[..., kept, kept], whole[..., kept, kept], rtol=0, atol=1e-5)
    assert (tile[..., more, more] - whole[..., more, more]).abs().max() > 1e-4  # one group of pixels further, it does


def test_the_border_of_an_image_is_mirrored() -> None:
    network = plain("valid", base=2)
    pixels = torch.rand(1, 1, 64, 96)
    margin = network.margin
    mirrored = nn.functional.pad(pixels, (margin, margin + 4, margin, margin + 4), mode="reflect")
    with torch.inference_mode():
        by_hand = network.segmentation_head(network.decoder(network.encoder(mirrored)))
        torch.testing.assert_close(network(pixels), by_hand[..., :64, :96], rtol=0, atol=1e-6)


def test_training_sees_the_middle_and_no_padding() -> None:
    network = plain("valid", base=2)
    pixels = torch.rand(1, 1, 160, 160)
    seen = pixels[..., 2:-2, 2:-2]
    with torch.inference_mode():
        middle = network.predict_inside(pixels)
        by_hand = network.segmentation_head(network.decoder(network.encoder(seen)))
    size = 160 - 2 * network.margin - 4
    assert middle.shape == (1, 2, size, size)
    torch.testing.assert_close(middle, by_hand, rtol=0, atol=0)


def test_same_and_valid_padding_agree_far_from_every_border() -> None:
    """With the same weights, and with the same grid of pooling: that is what the 2 pixels are for."""
    valid, same = plain("valid", base=2), plain("same", base=2)
    same.load_state_dict(valid.state_dict())
    pixels = torch.rand(1, 1, 288, 288)
    with torch.inference_mode():
        middle, whole = valid.predict_inside(pixels), same(pixels)
    inner, margin = slice(16, -16), 2 + valid.margin
    expected = whole[..., margin:-margin, margin:-margin]
    torch.testing.assert_close(middle[..., inner, inner], expected[..., inner, inner], rtol=0, atol=1e-5)


def test_a_frozen_contracting_path_keeps_its_batch_norm() -> None:
    network = plain("same", norm=True)
    network.freeze_encoder()
    before = {name: value.clone() for name, value in network.encoder.state_dict().items()}
    network.train()
    network(torch.rand(2, 1, 32, 32)).sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in network.encoder.state_dict().items())
    assert all(parameter.grad is None for parameter in network.encoder.parameters())
    assert all(parameter.grad is not None for parameter in network.decoder.parameters())
