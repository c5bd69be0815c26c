"""Every encoder that there is: what tiling, trimming and model files rest on."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch

from unetkit import predict_tiled
from unetkit.foundation.errors import ConfigError
from unetkit.models.encoders import ENCODERS, smp_name
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.models.spec import ModelSpec
from unetkit.models.trimmed import TrimmedUnet, trim
from unetkit.zoo.opening import load_model

FAMILIES = ("resnext50_32x4d", "resnetv2_18", "vgg11", "vgg13_bn", "inceptionv4", "inceptionresnetv2")


@pytest.fixture(scope="module", params=ENCODERS)
def segmenter(request: pytest.FixtureRequest) -> Iterator[Segmenter]:
    """A network of each kind with random weights, in evaluation mode."""
    spec = ModelSpec(request.param, 1, 2, 5, (16, 8, 8, 8, 8))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield Segmenter(spec).eval()


def test_every_encoder_has_the_stride_of_its_depth_and_is_trimmed_exactly(segmenter: Segmenter) -> None:
    network, kept = segmenter.network, (slice(10, 50), slice(0, 31))
    trimmed = trim(network)
    assert isinstance(trimmed, TrimmedUnet)
    pixels = torch.rand(1, 1, 64, 96)
    with torch.inference_mode():
        whole = network(pixels)
        got = trimmed(pixels, trimmed.plan((64, 96), kept).tolist())
    assert whole.shape == (1, 1, 64, 96)
    scale = float(whole.abs().max())
    torch.testing.assert_close(got, whole[:, :, kept[0], kept[1]], rtol=0, atol=1e-5 * scale)


def test_every_encoder_learns_survives_its_file_and_segments(segmenter: Segmenter, tmp_path: Path) -> None:
    learner = deepcopy(segmenter)
    network = learner.network.train()
    torch.manual_seed(0)
    images = torch.rand(2, 1, 64, 64)
    before = [weight.detach().clone() for weight in network.parameters()]
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    torch.nn.functional.binary_cross_entropy_with_logits(network(images), (images > 0.5).float()).backward()
    assert all(weight.grad is not None for weight in network.parameters())  # nothing is kept that is not used
    optimizer.step()
    assert not all(map(torch.equal, before, network.parameters()))
    path = tmp_path / "model.safetensors"
    save_model(learner, path)
    loaded = load_model(path)
    path.unlink()  # hundreds of megabytes
    expected, state = learner.state_dict(), loaded.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], value) for name, value in expected.items())
    image = np.random.default_rng(0).random((70, 90), np.float32)
    found, wanted = (predict_tiled(image, model, output="probabilities") for model in (loaded, learner))
    np.testing.assert_array_equal(found, wanted)
    assert 0 < np.ptp(found) < 1


@pytest.mark.parametrize("encoder", FAMILIES)
def test_a_shift_by_the_stride_shifts_the_output(encoder: str) -> None:
    """What tiling rests on, for the encoders whose stems and pools differ; beside the halo nothing may change."""
    torch.manual_seed(0)
    network = Segmenter(ModelSpec(encoder, 1, 2, 3, (16, 8, 8))).eval().network
    pixels, halo = torch.rand(1, 1, 320, 320), 144
    with torch.inference_mode():
        whole, cut = network(pixels), network(pixels[..., 8:, 16:])
    kept = (whole[..., 8 + halo : -8, 16 + halo : -8], cut[..., halo:-8, halo:-8])
    torch.testing.assert_close(*kept, rtol=0, atol=1e-4 * float(whole.abs().max()))
    apart = (whole[..., 7 + halo : -9, 16 + halo : -8] - cut[..., halo:-8, halo:-8]).abs().max()
    assert apart > 1e-3 * whole.abs().max()  # otherwise nothing would have been compared


def test_an_encoder_that_does_not_exist_names_the_closest() -> None:
    with pytest.raises(ConfigError, match=r"no encoder 'vgg16bn'. Did you mean 'vgg16_bn'"):
        smp_name("vgg16bn")


def test_no_encoder_normalises_over_the_window() -> None:
    """Group norm and the like would make a pixel depend on the tile that it lies in."""
    for encoder in ENCODERS:
        with torch.device("meta"):
            network = Segmenter(ModelSpec(encoder)).network
        norms = {type(module).__name__ for module in network.modules() if "Norm" in type(module).__name__}
        assert norms <= {"BatchNorm2d", "BatchNormAct2d"}, encoder
