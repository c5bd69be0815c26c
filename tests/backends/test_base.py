from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from unetkit.backends.base import CoreModel, count_axes, fold_batch_norm, for_axes
from unetkit.backends.registry import create_backend
from unetkit.testing.backend_inputs import KEPT, expect, make_segmenter, make_windows, scramble

CPU = torch.device("cpu")


def batch_norms(network: nn.Module) -> int:
    """Count those that run: at a depth below 5 the last layers of an encoder are there, but not used."""
    seen: list[nn.Module] = []
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    hooks = [norm.register_forward_hook(lambda norm, inputs, output: seen.append(norm)) for norm in norms]
    channels = next(module for module in network.modules() if isinstance(module, nn.Conv2d)).in_channels
    with torch.inference_mode():
        network(torch.zeros(1, channels, 64, 64))
    for hook in hooks:
        hook.remove()
    return len(seen)


class Shortcut(nn.Module):
    """A batch norm after an addition and one behind an activation: neither may be folded into a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.after_activation = nn.BatchNorm2d(4)
        self.after_sum = nn.BatchNorm2d(4)
        self.last = nn.Conv2d(4, 1, 1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        features = self.after_activation(self.first(pixels).relu())
        return self.last(self.after_sum(features + pixels))


@pytest.mark.parametrize(
    ("encoder", "depth", "channels", "kept_norms"),
    [
        ("resnet18", 3, 1, 0),
        ("resnet34", 5, 3, 0),
        ("resnet50", 4, 2, 0),
        ("resnet18", 5, 1, 0),
        ("vgg11_bn", 5, 1, 0),
        ("inceptionv4", 3, 1, 0),
        ("resnetv2_18", 3, 1, 4),  # the first norm of each block stands before its convolutions
        ("resnetv2_50", 4, 1, 13),
    ],
)
def test_folding_changes_only_the_rounding(encoder: str, depth: int, channels: int, kept_norms: int) -> None:
    network = make_segmenter(encoder, depth=depth, channels=channels, classes=3).network
    pixels = torch.randn(2, channels, 64, 96, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    folded = fold_batch_norm(network, channels)
    with torch.inference_mode():  # in double: all rounding is that of the folded weights, whatever the processor
        got, expected = (copy.deepcopy(one).double()(pixels) for one in (folded, network))
    assert batch_norms(network) > 10
    assert batch_norms(folded) == kept_norms
    assert (got - expected).abs().max() <= 2e-6 * expected.abs().max()


def test_only_batch_norms_right_after_a_convolution_are_folded() -> None:
    network = Shortcut().eval()
    scramble(network)
    pixels = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        folded = fold_batch_norm(network, 1)
        torch.testing.assert_close(folded(pixels), network(pixels), rtol=0, atol=0)
    assert batch_norms(folded) == 2


def test_the_original_stays_as_it_is() -> None:
    network = make_segmenter().network
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    fold_batch_norm(network, 1)
    after = network.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert not any(module._forward_hooks for module in network.modules())


def test_weights_that_stay_are_shared_but_not_converted() -> None:
    network = make_segmenter().network
    folded = fold_batch_norm(network, 1)
    mine, its = network.segmentation_head[0].weight, folded.segmentation_head[0].weight
    assert mine.data_ptr() == its.data_ptr()
    folded.to(torch.bfloat16)
    assert {tensor.dtype for tensor in network.parameters()} == {torch.float32}


def test_in_place_the_network_itself_is_folded() -> None:
    network = make_segmenter().network
    pixels = torch.randn(1, 1, 32, 32)
    with torch.inference_mode():
        expected = network(pixels)
        assert fold_batch_norm(network, 1, in_place=True) is network
        torch.testing.assert_close(network(pixels), expected, rtol=1e-5, atol=1e-5)
    assert batch_norms(network) == 0


@pytest.mark.parametrize("kept", KEPT.values(), ids=KEPT)
@pytest.mark.parametrize("classes", [2, 4])
def test_the_core_model_predicts_the_kept_part(kept: tuple[slice, slice], classes: int) -> None:
    segmenter = make_segmenter(classes=classes)
    windows = make_windows()
    model = CoreModel(segmenter, segmenter.network)
    with torch.inference_mode():
        got = model(*windows, model.network.plan((64, 96), kept))
    torch.testing.assert_close(got, expect(segmenter, windows, kept), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_backend_leaves_a_model_that_it_does_not_own_as_it_is(precision: str) -> None:
    """The same model can be put on one backend after the other, as timing them does."""
    segmenter = make_segmenter().train()
    before = {name: tensor.clone() for name, tensor in segmenter.state_dict().items()}
    windows = make_windows()
    first = create_backend("torch", segmenter, CPU, precision)(*windows, KEPT["inside"]).clone()
    second = create_backend("torch", segmenter, CPU, precision)(*windows, KEPT["inside"])
    assert torch.equal(first, second)
    after = segmenter.state_dict()
    assert all(torch.equal(after[name], before[name]) and after[name].dtype == before[name].dtype for name in before)


def test_batch_norms_of_volumes_are_folded_too() -> None:
    network = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1, bias=False), nn.BatchNorm3d(4), nn.ReLU()).eval()
    scramble(network)
    pixels = torch.randn(1, 1, 8, 9, 10)
    folded = fold_batch_norm(network, 1)
    assert not any(isinstance(module, nn.BatchNorm3d) for module in folded.modules())
    with torch.inference_mode():
        torch.testing.assert_close(folded(pixels), network(pixels), rtol=1e-4, atol=1e-5)


def test_the_layout_of_windows_has_as_many_axes_as_the_images_of_the_network() -> None:
    networks = {1: nn.ReLU(), 2: nn.Conv2d(1, 2, 3), 3: nn.Sequential(nn.ReLU(), nn.Conv3d(1, 2, 3))}
    assert [count_axes(network) for network in networks.values()] == [2, 2, 3]
    for axes, size in ((1, (4,)), (2, (4, 5)), (3, (4, 5, 6))):
        for layout in (torch.channels_last, torch.contiguous_format):
            windows = torch.empty(2, 3, *size, memory_format=for_axes(layout, axes))
            spread = layout == torch.channels_last and axes > 1
            assert (windows.stride(1) == 1) == spread
