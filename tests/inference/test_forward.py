from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import DTypeLike

from unetkit.errors import ConfigError
from unetkit.inference.forward import Forward, choose_device
from unetkit.models.segmenter import Segmenter
from unetkit.models.statistics import Statistics

Make = Callable[..., Segmenter]
CPU = torch.device("cpu")
ONES = Statistics(np.zeros(1, np.float32), np.ones(1, np.float32))


def windows(dtype: DTypeLike = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 100, (2, 1, 16, 24)).astype(dtype)


def test_mask_is_the_thresholded_probability(exact_segmenter: Make) -> None:
    segmenter = exact_segmenter()
    probabilities = Forward(segmenter, CPU, "probabilities", 0.5)(windows(), [ONES, ONES])
    assert probabilities.dtype == np.float32
    assert probabilities.shape == (2, 1, 16, 24)
    for threshold in (0.2, 0.5, 0.8):
        mask = Forward(segmenter, CPU, "mask", threshold)(windows(), [ONES, ONES])
        assert mask.dtype == np.uint8
        np.testing.assert_array_equal(mask, np.where(probabilities >= threshold, 255, 0))
        assert 0 < mask.mean() < 255


def test_classes_are_numbered_by_the_largest_probability(exact_segmenter: Make) -> None:
    segmenter = exact_segmenter(classes=4)
    probabilities = Forward(segmenter, CPU, "probabilities", 0.5)(windows(), [ONES, ONES])
    assert probabilities.shape == (2, 4, 16, 24)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    mask = Forward(segmenter, CPU, "mask", 0.5)(windows(), [ONES, ONES])
    np.testing.assert_array_equal(mask[:, 0], probabilities.argmax(1))


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", ">i2", "<u4", ">u4", "i8", "u8", "f2", ">f4", "f8", "g", "?"])
def test_every_real_dtype_is_taken(exact_segmenter: Make, dtype: str) -> None:
    pixels = windows(dtype)
    expected = Forward(exact_segmenter(), CPU, "probabilities", 0.5)(pixels.astype(np.float32), [ONES, ONES])
    got = Forward(exact_segmenter(), CPU, "probabilities", 0.5)(pixels, [ONES, ONES])
    np.testing.assert_array_equal(got, expected)


def test_each_window_has_the_statistics_of_its_image(exact_segmenter: Make) -> None:
    forward = Forward(exact_segmenter(), CPU, "probabilities", 0.5)
    shifted = Statistics(np.full(1, 50, np.float32), np.full(1, 2, np.float32))
    both = forward(windows(), [ONES, shifted])
    np.testing.assert_array_equal(both[1], forward(windows(), [shifted, shifted])[1])
    assert not np.array_equal(both[1], forward(windows(), [ONES, ONES])[1])


def test_the_model_predicts_in_evaluation_mode(tiny_segmenter: Segmenter) -> None:
    before = {name: value.clone() for name, value in tiny_segmenter.state_dict().items()}
    Forward(tiny_segmenter.train(), CPU, "mask", 0.5)(windows(), [ONES, ONES])
    assert all(torch.equal(value, before[name]) for name, value in tiny_segmenter.state_dict().items())


@pytest.mark.parametrize("device", ["warp", "", "cuda:99", "meta", "hpu", "privateuseone"])
def test_an_impossible_device_is_an_error_with_a_remedy(device: str) -> None:
    with pytest.raises(ConfigError, match="cannot be used here") as caught:
        choose_device(device)
    assert "'auto', 'cpu'" in caught.value.remedy


def test_auto_is_a_device_that_works() -> None:
    assert torch.ones(1, device=choose_device("auto")).item() == 1
