from __future__ import annotations

import pytest
import torch

from unetkit.models.spec import ModelSpec
from unetkit.models.unet import build_network


@pytest.mark.parametrize(("channels", "classes", "depth"), [(1, 2, 3), (2, 3, 4), (4, 2, 5)])
def test_the_network_has_the_channels_classes_and_stride_of_its_spec(channels: int, classes: int, depth: int) -> None:
    decoder = (32, 24, 16, 8, 8)[:depth]
    spec = ModelSpec("resnet18", channels, classes, depth, decoder)
    network = build_network(spec).eval()
    with torch.inference_mode():
        logits = network(torch.zeros(1, channels, spec.stride, 2 * spec.stride))
    assert logits.shape == (1, spec.out_channels, spec.stride, 2 * spec.stride)
    assert {name.split(".")[0] for name in network.state_dict()} == {"encoder", "decoder", "segmentation_head"}


def test_a_model_that_separates_instances_has_one_more_output() -> None:
    spec = ModelSpec("resnet18", depth=3, decoder_channels=(32, 16, 8), instances=True)
    with torch.inference_mode():
        logits = build_network(spec).eval()(torch.zeros(1, 1, 32, 32))
    assert logits.shape == (1, spec.out_channels + 1, 32, 32)


def test_a_shift_by_the_stride_shifts_the_output() -> None:
    """What tiling rests on: the pooling grids of windows at multiples of the stride line up."""
    spec = ModelSpec("resnet18", 1, 2, 3, (32, 16, 8))
    torch.manual_seed(0)
    network = build_network(spec).eval()
    pixels = torch.rand(1, 1, 256, 256)
    with torch.inference_mode():
        whole, cut = network(pixels), network(pixels[..., 8:, 16:])
    torch.testing.assert_close(whole[..., 136:-8, 144:-8], cut[..., 128:-8, 128:-8], atol=1e-4, rtol=0)


@pytest.mark.parametrize("encoder", ["resnet18", "resnetv2_50", "vgg11_bn", "inceptionv4", "inceptionresnetv2"])
@pytest.mark.parametrize("depth", [3, 5])
def test_every_weight_has_a_part_in_the_output(encoder: str, depth: int) -> None:
    """smp keeps the stages beyond the depth: they would be stored, and processes that train together wait for them."""
    network = build_network(ModelSpec(encoder, 1, 2, depth, (32, 24, 16, 8, 8)[:depth]))
    network(torch.rand(2, 1, 64, 64)).sum().backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None] == []


def test_a_network_that_classifies_whole_images_has_no_stages_beyond_its_depth_either() -> None:
    spec = ModelSpec(
        depth=3, decoder_channels=(32, 16, 8), task="classification", image_classes=("sick",), image_size=64
    )
    network = build_network(spec)
    network(torch.rand(2, 1, 64, 64)).sum().backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None] == []


def test_a_network_can_be_built_where_nothing_is_to_be_trained() -> None:
    spec = ModelSpec("resnet18", 1, 2, 3, (32, 16, 8))
    with torch.inference_mode():
        network = build_network(spec)
    network(torch.rand(2, 1, 64, 64)).sum().backward()
