"""Weights of planes in networks of volumes, and of one plane in networks of several."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from unetkit.errors import ModelError
from unetkit.models.adapting import Adapter
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.models.spec import ModelSpec
from unetkit.models.unet import build_network
from unetkit.models.weights import LoadReport, fit_weights, load_weights
from unetkit.testing.backend_inputs import scramble

CUBES = ((2, 2, 2),) * 3
CT = ((1, 2, 2), (2, 2, 2), (2, 2, 2))
SAGITTAL = ((2, 1, 2), (2, 2, 2), (2, 2, 2))
LENGTH = 160
"""Voxels along an axis, so that those in the middle see none of its ends."""


def tiny(**others: object) -> ModelSpec:
    return ModelSpec("resnet18", depth=3, decoder_channels=(16, 8, 8), **others)  # type: ignore[arg-type]


def volumes(pooling: tuple[tuple[int, ...], ...], **others: object) -> ModelSpec:
    return tiny(dims=3, pooling=pooling, **others)


def trained(spec: ModelSpec) -> Segmenter:
    """A model whose batch norms are far from the identity."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        segmenter = Segmenter(spec).eval()
        scramble(segmenter.network)
    return segmenter


def started(spec: ModelSpec, source: Segmenter, path: Path) -> tuple[nn.Module, LoadReport]:
    """Return a network that starts from a model file, and the report."""
    save_model(source, path)
    network = build_network(spec).eval()
    return network, load_weights(network, str(path), spec)


def predict(network: nn.Module, pixels: Tensor) -> Tensor:
    with torch.inference_mode():
        logits: Tensor = network(pixels)
    return logits


@pytest.mark.parametrize(("pooling", "axis"), [(CUBES, 0), (CT, 0), (SAGITTAL, 1)])
def test_stacked_planes_get_the_response_of_a_plane(
    pooling: tuple[tuple[int, ...], ...], axis: int, tmp_path: Path
) -> None:
    """The whole network, its decoder and head too: far from both ends of the axis, where nothing is padded."""
    source = trained(tiny(classes=3))
    network, report = started(volumes(pooling, classes=3), source, tmp_path / "flat.safetensors")
    assert not report.missing
    assert report.predicts
    assert "convolutions of planes spread over the third axis" in str(report)
    plane = torch.rand(1, 1, 32, 40, generator=torch.Generator().manual_seed(0))
    stack = plane.unsqueeze(2 + axis).repeat_interleave(LENGTH, 2 + axis)
    middle = predict(network, stack).select(2 + axis, LENGTH // 2)
    expected = predict(source.network, plane)
    assert expected.std() > 0.1
    torch.testing.assert_close(middle, expected, rtol=1e-4, atol=1e-4)


def test_an_encoder_of_planes_from_any_file_is_spread_for_other_channels_too(tmp_path: Path) -> None:
    source = trained(tiny(in_channels=3)).network
    encoder = {key: value for key, value in source.state_dict().items() if key.startswith("encoder.")}
    save_file(encoder, tmp_path / "rgb.safetensors")
    spec = volumes(CUBES)
    network = build_network(spec).eval()
    report = load_weights(network, str(tmp_path / "rgb.safetensors"), spec)
    assert "first convolution adapted from 3 to 1 channels" in str(report)
    assert all(key in report.loaded for key in network.state_dict() if key.endswith("weight") and "encoder" in key)
    assert "encoder.conv1.weight" in report.reshaped
    grey = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        flat = source.encoder(grey.expand(1, 3, 32, 32))[-1]
        deep = network.encoder(grey.unsqueeze(2).repeat_interleave(LENGTH, 2))[-1]
    torch.testing.assert_close(deep[:, :, LENGTH // 16], flat, rtol=1e-4, atol=1e-4)


def test_a_model_of_volumes_is_a_start_as_it_is_and_for_voxels_of_another_shape(tmp_path: Path) -> None:
    source = trained(volumes(CT))
    same, report = started(source.spec, source, tmp_path / "same.safetensors")
    assert not report.missing
    assert not report.reshaped
    pixels = torch.rand(1, 1, 16, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(predict(same, pixels), predict(source.network, pixels))
    other, report = started(volumes(CUBES), source, tmp_path / "other.safetensors")
    assert not report.missing
    assert "convolutions fitted to the length of their kernels" in str(report)
    kernel = source.network.state_dict()["encoder.conv1.weight"]
    torch.testing.assert_close(other.state_dict()["encoder.conv1.weight"], kernel.repeat(1, 1, 7, 1, 1) / 7)


def test_a_kernel_that_becomes_flat_is_summed() -> None:
    cube = torch.rand(4, 2, 3, 3, 3)
    torch.testing.assert_close(Adapter().adapt_kernel(cube, (1, 3, 3)), cube.sum(2, keepdim=True))
    plane = torch.rand(4, 2, 3, 3)
    torch.testing.assert_close(Adapter(across=2).adapt_kernel(plane, (3, 3, 1)), plane.unsqueeze(-1))


@pytest.mark.parametrize(("its", "own"), [("resnet50", "resnet18"), ("resnet18", "resnet50")])
def test_no_more_of_another_encoder_fits_than_in_a_network_of_planes(its: str, own: str) -> None:
    """A convolution of single pixels is not one of 3 x 3 that was spread."""
    state = build_network(ModelSpec(its, depth=3, decoder_channels=(16, 8, 8))).encoder.state_dict()
    flat = build_network(ModelSpec(own, depth=3, decoder_channels=(16, 8, 8)))
    deep = build_network(ModelSpec(own, depth=3, decoder_channels=(16, 8, 8), dims=3, pooling=CUBES))
    assert fit_weights(deep, state, "", least=0).loaded == fit_weights(flat, state, "", least=0).loaded


def test_a_network_of_planes_does_not_start_from_volumes(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is of volumes, this one of planes\. Set model\.dims: 3"):
        started(tiny(), trained(volumes(CUBES)), tmp_path / "volumes.safetensors")


@pytest.mark.parametrize(("channels", "source_channels"), [(1, 3), (1, 1), (3, 3), (2, 1)])
def test_several_planes_start_from_the_mean_of_one(channels: int, source_channels: int, tmp_path: Path) -> None:
    """Where all planes are alike, and grey is shown as RGB, they get the response of the one plane."""
    source = trained(tiny(in_channels=source_channels))
    network, report = started(tiny(in_channels=channels, planes=5), source, tmp_path / "one.safetensors")
    assert "from 1 to 5 planes" in str(report)
    assert (f"from {source_channels} to {channels} channels and" in str(report)) == (channels != source_channels)
    assert report.predicts
    shown = max(channels, source_channels)
    plane = torch.rand(1, shown, 32, 32) if channels == source_channels else torch.rand(1, 1, 32, 32)
    got = predict(network, plane.expand(1, channels, -1, -1).repeat(1, 5, 1, 1))
    expected = predict(source.network, plane.expand(1, source_channels, -1, -1))
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    weight = network.state_dict()["encoder.conv1.weight"].reshape(64, 5, channels, 7, 7)
    assert torch.equal(weight[:, 0], weight[:, 4])  # no plane is preferred


def test_planes_that_were_trained_keep_their_places(tmp_path: Path) -> None:
    source = trained(tiny(in_channels=2, planes=3))
    before = source.network.state_dict()["encoder.conv1.weight"]
    more, report = started(tiny(in_channels=2, planes=5), source, tmp_path / "3.safetensors")
    assert "first convolution adapted from 3 to 5 planes" in str(report)
    weight = more.state_dict()["encoder.conv1.weight"]
    assert torch.equal(weight[:, 2:8], before)
    assert not weight[:, [0, 1, 8, 9]].any()
    fewer, _ = started(tiny(in_channels=2), source, tmp_path / "3.safetensors")
    torch.testing.assert_close(fewer.state_dict()["encoder.conv1.weight"], before.reshape(64, 3, 2, 7, 7).sum(1))
    same, report = started(source.spec, source, tmp_path / "3.safetensors")
    assert not report.reshaped
    assert torch.equal(same.state_dict()["encoder.conv1.weight"], before)


def test_a_model_of_several_planes_is_a_start_for_volumes(tmp_path: Path) -> None:
    network, report = started(volumes(CUBES), trained(tiny(planes=3)), tmp_path / "3.safetensors")
    assert not report.missing
    assert network.state_dict()["encoder.conv1.weight"].shape == (64, 1, 7, 7, 7)
