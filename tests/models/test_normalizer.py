from __future__ import annotations

import numpy as np
import pytest
import torch

from unetkit.models.normalization import Normalization
from unetkit.models.normalizer import Normalizer
from unetkit.models.statistics import measure_statistics

STORED = Normalization(scope="dataset", center=(10.0, 20.0), scale=(2.0, 4.0))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.int16, torch.float16, torch.float32, torch.bool])
def test_pixels_become_pixels_minus_center_over_scale(dtype: torch.dtype) -> None:
    pixels = torch.arange(2 * 2 * 3 * 4).reshape(2, 2, 3, 4).to(dtype)
    center, scale = torch.tensor([[1.0, 2], [3, 4]]), torch.tensor([[1.0, 2], [4, 8]])
    got = Normalizer(Normalization())(pixels, center, scale)
    assert got.dtype == torch.float32
    expected = (pixels.numpy().astype(np.float32) - center.numpy()[..., None, None]) / scale.numpy()[..., None, None]
    np.testing.assert_array_equal(got.numpy(), expected)
    np.testing.assert_array_equal(pixels.numpy(), np.arange(48).reshape(2, 2, 3, 4).astype(pixels.numpy().dtype))
    rows = [values[:, :, None, None].expand(-1, -1, 1, 4) for values in (center, scale)]
    assert torch.equal(Normalizer(Normalization())(pixels, *rows), got)


@pytest.mark.parametrize("size", [(4,), (2, 4), (3, 2, 4)])
def test_images_of_any_number_of_axes_are_normalised(size: tuple[int, ...]) -> None:
    pixels = torch.randn(2, 2, *size)
    center, scale = torch.tensor([[1.0, 2], [3, 4]]), torch.tensor([[1.0, 2], [4, 8]])
    flat = Normalizer(Normalization())(pixels.reshape(2, 2, 1, -1), center, scale)
    assert torch.equal(Normalizer(Normalization())(pixels, center, scale), flat.reshape(pixels.shape))


def test_the_values_of_the_training_images_are_used_whatever_the_image() -> None:
    normalizer = Normalizer(STORED)
    assert normalizer.stored is not None
    measured = normalizer.statistics(np.ones((2, 5)))
    np.testing.assert_array_equal(measured.center, [10, 20])
    np.testing.assert_array_equal(measured.scale, [2, 4])


def test_without_stored_values_each_image_is_measured() -> None:
    sample = np.random.default_rng(0).random((2, 500))
    for normalization in (Normalization(), Normalization(scope="dataset")):
        normalizer = Normalizer(normalization)
        assert normalizer.stored is None
        expected = measure_statistics(sample, normalization)
        np.testing.assert_array_equal(normalizer.statistics(sample).center, expected.center)


def test_a_normalizer_adds_nothing_to_the_weights() -> None:
    assert not Normalizer(STORED).state_dict()
