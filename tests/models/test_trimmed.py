from __future__ import annotations

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from unetkit.models.trimmed import CroppedNetwork, TrimmedUnet, plan_cuts, trim

NETWORKS: dict[tuple[int, str], smp.Unet] = {}


def unet(depth: int, encoder: str = "resnet18") -> smp.Unet:
    """A U-Net with random weights, made once."""
    if (depth, encoder) not in NETWORKS:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(depth)
            decoder = (24, 16, 12, 8, 8)[:depth]
            network = smp.Unet(encoder, depth, None, decoder_channels=decoder, in_channels=1, classes=2)
            NETWORKS[depth, encoder] = network.eval()
    return NETWORKS[depth, encoder]


@st.composite
def parts(draw: st.DrawFn) -> tuple[int, tuple[int, int], tuple[slice, slice]]:
    """Depth, window and kept part; a kept part touches a border of the window more often than by chance."""
    depth = draw(st.integers(3, 5))
    window = tuple(draw(st.integers(1, 6)) * 2**depth for _ in range(2))
    kept = []
    for length in window:
        start = draw(st.one_of(st.just(0), st.integers(0, length - 1)))
        kept.append(slice(start, draw(st.one_of(st.just(length), st.integers(start + 1, length)))))
    return depth, (window[0], window[1]), (kept[0], kept[1])


@settings(max_examples=30, deadline=None)
@given(parts())
def test_trimmed_is_what_the_whole_network_gives_there(part: tuple[int, tuple[int, int], tuple[slice, slice]]) -> None:
    depth, window, kept = part
    network = unet(depth)
    trimmed = trim(network)
    assert isinstance(trimmed, TrimmedUnet)
    pixels = torch.randn(1, 1, *window, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = network(pixels)[:, :, kept[0], kept[1]]
        got = trimmed(pixels, trimmed.plan(window, kept).tolist())
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)


@settings(max_examples=100, deadline=None)
@given(parts())
def test_cuts_lie_inside_the_features_and_fit_together(part: tuple[int, tuple[int, int], tuple[slice, slice]]) -> None:
    depth, window, kept = part
    cuts = plan_cuts(window, kept, ((2, 2),) * depth, (*((2, 2),) * depth, (1, 1)))
    assert cuts.dtype == np.int64
    assert cuts.shape == (2 * depth, 4)
    for axis in range(2):
        length = window[axis] >> depth  # of the features that reach the first block
        for level in range(depth):
            start, stop = cuts[2 * level, 2 * axis : 2 * axis + 2]
            assert 0 <= start < stop <= length
            length = 2 * (stop - start)
            if level < depth - 1:
                start, stop = cuts[2 * level + 1, 2 * axis : 2 * axis + 2]
                assert stop - start == length
                assert 0 <= start < stop <= window[axis] >> (depth - 1 - level)
        start, stop = cuts[-1, 2 * axis : 2 * axis + 2]
        assert 0 <= start < stop <= length
        assert stop - start == kept[axis].stop - kept[axis].start


def test_less_is_computed_where_less_is_kept() -> None:
    network, sizes = unet(3), []
    hook = network.segmentation_head[0].register_forward_hook(
        lambda module, inputs, output: sizes.append(tuple(output.shape[2:]))
    )
    trimmed = trim(network)
    with torch.inference_mode():
        for kept in [(slice(0, 128), slice(0, 128)), (slice(48, 80), slice(32, 96))]:
            trimmed(torch.zeros(1, 1, 128, 128), trimmed.plan((128, 128), kept).tolist())
    hook.remove()
    assert sizes[0] == (128, 128)
    assert 32 <= sizes[1][0] <= 44
    assert 64 <= sizes[1][1] <= 76


def test_cuts_may_be_a_tensor_as_in_an_exported_graph() -> None:
    trimmed = trim(unet(3))
    cuts = trimmed.plan((64, 64), (slice(9, 50), slice(0, 33)))
    pixels = torch.randn(2, 1, 64, 64)
    with torch.inference_mode():
        assert torch.equal(trimmed(pixels, torch.from_numpy(cuts)), trimmed(pixels, cuts.tolist()))


@pytest.mark.parametrize("encoder", ["vgg11_bn", "mobilenet_v2"])
def test_other_encoders_are_trimmed_alike(encoder: str) -> None:
    """Some have a centre block that resnets do not have."""
    network = unet(5, encoder)
    trimmed, kept = trim(network), (slice(40, 90), slice(32, 128))
    pixels = torch.randn(1, 1, 128, 128, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        got = trimmed(pixels, trimmed.plan((128, 128), kept).tolist())
        torch.testing.assert_close(got, network(pixels)[:, :, kept[0], kept[1]], rtol=0, atol=1e-5)


def test_weights_are_shared() -> None:
    network = unet(3)
    mine = {parameter.data_ptr() for parameter in network.parameters()}
    assert {parameter.data_ptr() for parameter in trim(network).parameters()} <= mine


@settings(max_examples=30, deadline=None)
@given(parts())
def test_any_other_network_is_cut_exactly(part: tuple[int, tuple[int, int], tuple[slice, slice]]) -> None:
    _, window, kept = part
    network = nn.Conv2d(1, 3, 3, padding=1)
    cropped = trim(network)
    assert isinstance(cropped, CroppedNetwork)
    pixels = torch.randn(2, 1, *window)
    with torch.inference_mode():
        got = cropped(pixels, cropped.plan(window, kept).tolist())
        assert torch.equal(got, network(pixels)[:, :, kept[0], kept[1]])


def test_each_axis_is_cut_as_it_would_be_by_itself() -> None:
    window, kept = (64, 96, 32), (slice(8, 30), slice(0, 96), slice(31, 32))
    factors = ((2, 2, 2), (1, 2, 2), (1, 2, 2))
    reaches = ((2, 2, 2), (2, 2, 2), (0, 2, 2), (0, 1, 1))
    cuts = plan_cuts(window, kept, factors, reaches)
    assert cuts.shape == (6, 6)
    for axis in range(3):
        own = [tuple((numbers[axis],) for numbers in rows) for rows in (factors, reaches)]
        alone = plan_cuts((window[axis],), (kept[axis],), *own)
        np.testing.assert_array_equal(cuts[:, 2 * axis : 2 * axis + 2], alone)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 4)), min_size=3, max_size=3))
def test_a_network_for_volumes_is_cut_exactly(parts: list[tuple[int, int]]) -> None:
    kept = tuple(slice(start, start + length) for start, length in parts)
    cropped = trim(nn.Conv3d(1, 3, 3, padding=1))
    pixels = torch.randn(2, 1, 8, 9, 10)
    with torch.inference_mode():
        got = cropped(pixels, cropped.plan((8, 9, 10), kept).tolist())
        assert torch.equal(got, cropped.network(pixels)[:, :, *kept])
