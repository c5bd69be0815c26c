"""Networks of volumes: their layers, what tiling rests on, and that less is computed where less is kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from unetkit.errors import ConfigError
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.models.spec import ModelSpec
from unetkit.models.trimmed import TrimmedUnet, trim
from unetkit.models.unet import build_network
from unetkit.testing.backend_inputs import make_windows
from unetkit.zoo.opening import load_model

CUBES = ((2, 2, 2),) * 3
CT = ((1, 2, 2), (2, 2, 2), (2, 2, 2))
SECTIONS = ((1, 2, 2),) * 3
SAGITTAL = ((2, 1, 2), (2, 2, 2), (2, 2, 2))
POOLINGS = {"cubes": CUBES, "ct": CT, "sections": SECTIONS, "sagittal": SAGITTAL}


def describe(pooling: tuple[tuple[int, ...], ...] = CT, encoder: str = "resnet18", **others: object) -> ModelSpec:
    """A small network of volumes."""
    return ModelSpec(encoder, depth=3, decoder_channels=(16, 8, 8), dims=3, pooling=pooling, **others)  # type: ignore[arg-type]


def build(spec: ModelSpec) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return build_network(spec).eval()


NETWORKS = {name: build(describe(pooling)) for name, pooling in POOLINGS.items()}


@pytest.mark.parametrize(
    ("encoder", "pooling"),
    [("resnet18", CUBES), ("resnet18", SECTIONS), ("resnet50", CT), ("resnext50_32x4d", CT), ("resnetv2_18", SECTIONS)],
)
def test_the_network_has_the_channels_classes_and_strides_of_its_spec(encoder: str, pooling: object) -> None:
    spec = describe(pooling, encoder, in_channels=2, classes=3)  # type: ignore[arg-type]
    network = build_network(spec)
    size = tuple(2 * stride for stride in spec.strides)
    logits = network(torch.rand(1, 2, *size))
    assert logits.shape == (1, 3, *size)
    logits.sum().backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None] == []
    flat = build_network(ModelSpec(encoder, 2, 3, 3, (16, 8, 8)))
    assert network.state_dict().keys() == flat.state_dict().keys()  # weights have the names that files have


@pytest.mark.parametrize("encoder", ["resnet18", "resnetv2_18"])
def test_the_deepest_features_have_the_strides_of_the_spec(encoder: str) -> None:
    spec = describe(CT, encoder)
    features = build_network(spec).encoder(torch.rand(1, 1, 8, 32, 32))
    assert [tuple(feature.shape[2:]) for feature in features] == [(8, 32, 32), (8, 16, 16), (4, 8, 8), (2, 4, 4)]


def test_kernels_see_along_z_from_where_the_voxel_is_a_cube() -> None:
    network = NETWORKS["ct"]
    kernels = {name: module.kernel_size for name, module in network.named_modules() if isinstance(module, nn.Conv3d)}
    assert kernels["encoder.conv1"] == (1, 7, 7)
    assert network.encoder.maxpool.kernel_size == (3, 3, 3)
    assert kernels["encoder.layer1.0.conv1"] == kernels["encoder.layer2.0.conv1"] == (3, 3, 3)
    assert kernels["encoder.layer2.0.downsample.0"] == (1, 1, 1)
    assert kernels["decoder.blocks.1.conv1.0"] == (3, 3, 3)
    assert kernels["decoder.blocks.2.conv1.0"] == kernels["segmentation_head.0"] == (1, 3, 3)
    flat = {
        name: module.kernel_size
        for name, module in NETWORKS["sections"].named_modules()
        if hasattr(module, "kernel_size")
    }
    assert flat["encoder.maxpool"] == (1, 3, 3)
    assert [name for name, kernel in flat.items() if kernel[0] > 1] == [
        *("encoder.layer2.0.conv2", "encoder.layer2.1.conv1", "encoder.layer2.1.conv2")
    ]
    assert NETWORKS["cubes"].encoder.conv1.kernel_size == (7, 7, 7)


def test_random_weights_keep_the_size_of_the_features() -> None:
    """As kaiming initialisation does in planes: more inputs, smaller weights."""
    torch.manual_seed(0)
    flat, volume = (
        build_network(ModelSpec("resnet18", 1, 2, 3, (16, 8, 8))).eval(),
        build_network(describe(CUBES)).eval(),
    )
    with torch.inference_mode():
        plane, cube = (
            float(network.encoder(torch.randn(1, 1, *[32] * axes))[-1].std())
            for network, axes in ((flat, 2), (volume, 3))
        )
        spread = [float(network.encoder.layer1[0].conv1.weight.std()) for network in (flat, volume)]
    assert cube == pytest.approx(plane, rel=0.5)
    assert spread[1] == pytest.approx(spread[0] / 3**0.5, rel=0.05)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("name", POOLINGS)
def test_a_shift_by_the_strides_shifts_the_output(name: str, axis: int) -> None:
    """What tiling rests on: the pooling grids of windows at multiples of the strides line up."""
    network, stride = NETWORKS[name], describe(POOLINGS[name]).strides[axis]
    size = [144 + 2 * stride if own == axis else 8 for own in range(3)]
    pixels = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        whole = network(pixels).movedim(2 + axis, 0)
        cut = network(pixels.narrow(2 + axis, stride, 144 + stride)).movedim(2 + axis, 0)
    torch.testing.assert_close(whole[72 + stride : 72 + 2 * stride], cut[72 : 72 + stride], atol=1e-4, rtol=0)


@st.composite
def parts(draw: st.DrawFn) -> tuple[str, tuple[int, ...], tuple[slice, ...]]:
    """Name of a network, window and kept part; it touches a border more often than by chance."""
    name = draw(st.sampled_from(list(POOLINGS)))
    window = tuple(draw(st.integers(1, 3)) * stride for stride in describe(POOLINGS[name]).strides)
    kept = []
    for length in window:
        start = draw(st.one_of(st.just(0), st.integers(0, length - 1)))
        kept.append(slice(start, draw(st.one_of(st.just(length), st.integers(start + 1, length)))))
    return name, window, tuple(kept)


@settings(max_examples=30, deadline=None)
@given(parts())
def test_trimmed_is_what_the_whole_network_gives_there(part: tuple[str, tuple[int, ...], tuple[slice, ...]]) -> None:
    name, window, kept = part
    network = NETWORKS[name]
    trimmed = trim(network)
    assert isinstance(trimmed, TrimmedUnet)
    pixels = torch.randn(1, 1, *window, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = network(pixels)[:, :, *kept]
        got = trimmed(pixels, trimmed.plan(window, kept).tolist())
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)


def test_less_is_computed_where_less_is_kept() -> None:
    network, sizes = NETWORKS["ct"], []
    hook = network.segmentation_head[0].register_forward_hook(
        lambda module, inputs, output: sizes.append(tuple(output.shape[2:]))
    )
    trimmed, kept = trim(network), (slice(8, 12), slice(24, 40), slice(0, 64))
    with torch.inference_mode():
        trimmed(torch.zeros(1, 1, 16, 64, 64), trimmed.plan((16, 64, 64), kept).tolist())
    hook.remove()
    assert sizes[0][0] == 4  # the last kernels are 1 along z
    assert 16 <= sizes[0][1] <= 24
    assert sizes[0][2] == 64


def test_a_model_of_volumes_survives_its_file(tmp_path: Path) -> None:
    segmenter = Segmenter(describe(CT, classes=3)).eval()
    save_model(segmenter, tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    assert loaded.spec.pooling == CT
    windows = make_windows(1, 1, (4, 16, 24))
    with torch.inference_mode():
        assert torch.equal(loaded(*windows), segmenter(*windows))


@pytest.mark.parametrize("hidden", [0, 4])
def test_whole_volumes_are_classified(hidden: int) -> None:
    spec = describe(
        CT, task="classification", image_classes=("fractured",), image_size=32, image_head_hidden=hidden, in_channels=2
    )
    network = build_network(spec)
    logits = network(torch.rand(2, 2, 4, 32, 32))
    assert logits.shape == (2, 1)
    logits.sum().backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"arch": "plain_unet", "depth": 3, "pooling": CUBES},
        {"encoder": "inceptionv4", "depth": 3, "decoder_channels": (16, 8, 8), "pooling": CUBES},
    ],
)
def test_networks_that_are_for_planes_only_say_so(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"for dims: 3|planes only"):
        ModelSpec(dims=3, **wrong)  # type: ignore[arg-type]


def test_neighbouring_planes_are_inputs_of_a_network_of_planes() -> None:
    for arch in ({"arch": "plain_unet", "base_channels": 4}, {"encoder": "resnet18", "decoder_channels": (16, 8, 8)}):
        network = build_network(ModelSpec(in_channels=2, planes=3, depth=3, **arch))  # type: ignore[arg-type]
        assert network(torch.rand(1, 6, 32, 32)).shape == (1, 1, 32, 32)
