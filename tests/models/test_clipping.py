"""Normalisation by a window and by the foreground of a data set: values beyond are clipped, wherever it runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from unetkit.backends.registry import create_backend
from unetkit.foundation.errors import ConfigError
from unetkit.models.normalization import Normalization
from unetkit.models.normalizer import Normalizer
from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import ModelSpec
from unetkit.models.statistics import adapt_normalization, measure_statistics
from unetkit.testing.backend_inputs import expect
from unetkit.testing.backends import predict

CT = Normalization(window=(-1000.0, 1000.0))
CLIPPED = Normalization(
    "mean_std", "dataset", of="foreground", center=(10.0, 20.0), scale=(2.0, 4.0), clip=((6.0, 14.0), (10.0, 40.0))
)


def normalized(normalization: Normalization, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    normalizer = Normalizer(normalization)
    values = normalizer.statistics(pixels.reshape(len(pixels), -1))
    center, scale = torch.from_numpy(values.center[None]), torch.from_numpy(values.scale[None])
    found: np.ndarray[Any, Any] = normalizer(torch.from_numpy(pixels[None]), center, scale)[0].numpy()
    return found


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
@pytest.mark.parametrize("shape", [(1, 5), (1, 1, 5), (1, 1, 1, 5), (1, 1, 1, 1, 5)])
def test_a_window_becomes_0_to_1_and_clips_what_lies_beyond(shape: tuple[int, ...], dtype: Any) -> None:
    pixels = np.array([-3024, -1000, 0, 1000, 3071], dtype).reshape(shape[1:] if len(shape) > 2 else (1, 5))
    found = normalized(CT, pixels[None] if pixels.ndim == 1 else pixels)
    assert found.ravel().tolist() == [0, 0, 0.5, 1, 1]


def test_channels_of_the_foreground_have_ends_of_their_own_also_in_several_planes() -> None:
    pixels = np.array([[0, 10, 99], [0, 20, 99]], np.uint8)[..., None]
    expected = [[-2, 0, 2], [-2.5, 0, 5]]
    assert normalized(CLIPPED, pixels)[..., 0].tolist() == expected
    center, scale = (torch.tensor([values * 3]) for values in ((10.0, 20.0), (2.0, 4.0)))
    planes = Normalizer(CLIPPED)(torch.from_numpy(np.tile(pixels, (3, 1, 1))[None]), center, scale)
    assert planes[0, ..., 0].tolist() == expected * 3


def test_a_window_measures_nothing() -> None:
    values = measure_statistics(np.zeros((2, 9), np.int16), CT)
    assert (values.center.tolist(), values.scale.tolist()) == ([-1000, -1000], [2000, 2000])


def test_a_window_alone_is_enough_and_goes_to_the_file_and_back() -> None:
    assert CT.method == "window"
    for spec in (ModelSpec(normalization=CT), ModelSpec(in_channels=2, normalization=CLIPPED)):
        assert ModelSpec.from_json(spec.to_json(), "a model").normalization == spec.normalization


def test_ends_are_adapted_with_the_channels() -> None:
    assert adapt_normalization(CLIPPED, 1).clip == ((8.0, 27.0),)
    assert adapt_normalization(CLIPPED, 3).clip == ((6.0, 14.0), (10.0, 40.0), (6.0, 14.0))
    assert adapt_normalization(CT, 3) == CT


def test_old_normalisations_compute_what_they_did() -> None:
    pixels = torch.arange(12, dtype=torch.uint8).reshape(1, 1, 3, 4)
    found = Normalizer(Normalization())(pixels, torch.tensor([[2.0]]), torch.tensor([[3.0]]))
    assert torch.equal(found, (pixels.float() - 2) / 3)
    assert not Normalizer(CT).state_dict()  # the file of a model has no other tensors


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("normalization", [CT, replace(CLIPPED, center=(0.0,), scale=(2.0,), clip=((-2.0, 4.0),))])
def test_graphs_of_other_runtimes_clip_too(name: str, normalization: Normalization) -> None:
    pytest.importorskip(name)
    spec = ModelSpec("resnet18", depth=3, decoder_channels=(8, 8, 8), halo=16, normalization=normalization)
    segmenter = Segmenter(spec, nn.Conv2d(1, 1, 1)).eval()
    values = segmenter.normalizer.statistics(np.zeros((1, 1), np.float32))
    ends = (torch.from_numpy(each[None]) for each in (values.center, values.scale))
    windows = (torch.randn(1, 1, 16, 16) * 2000, *ends)
    kept = (slice(0, 16), slice(0, 16))
    assert expect(segmenter, windows, kept).unique().numel() < 200  # most values are clipped
    backend = create_backend(name, segmenter, torch.device("cpu"), "fp32")
    assert torch.allclose(predict(backend, windows, kept), expect(segmenter, windows, kept), atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window": (5.0, 5.0)}, "lower value first"),
        ({"window": (0.0, 5.0), "method": "mean_std"}, "give the window alone"),
        ({"method": "window"}, "give the window alone"),
        ({"window": (0.0, 5.0), "scope": "dataset"}, "Leave out scope"),
        ({"window": (0.0, 5.0), "bright_background": "invert"}, "Leave out scope"),
        ({"of": "foreground"}, "Use scope: dataset"),
    ],
)
def test_settings_that_do_not_go_together_are_errors(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Normalization(**settings)
    assert message in caught.value.remedy
    with pytest.raises(ConfigError, match="values for 1 channels"):
        ModelSpec(in_channels=2, normalization=replace(CLIPPED, clip=((1.0, 2.0),)))
