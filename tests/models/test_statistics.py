from __future__ import annotations

from dataclasses import astuple
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from unetkit.foundation.errors import ImageError
from unetkit.io.base.arrays import ArraySource
from unetkit.models import sampling
from unetkit.models.normalization import Normalization
from unetkit.models.normalizer import Normalizer
from unetkit.models.sampling import sample_pixels
from unetkit.models.statistics import check_finite, measure_statistics


def noise(channels: int, dtype: str = "u2") -> NDArray[Any]:
    rng = np.random.default_rng(0)
    return (rng.random((channels, 40, 50)) * np.arange(50, 50 + 100 * channels, 100)[:, None, None]).astype(dtype)


def test_percentiles_are_those_of_numpy() -> None:
    measured = measure_statistics(noise(2), Normalization())
    low, high = np.percentile(noise(2).reshape(2, -1), [1, 99.8], axis=1)
    np.testing.assert_allclose(measured.center, low, rtol=1e-6)
    np.testing.assert_allclose(measured.scale, high - low, rtol=1e-6)
    assert measured.center.dtype == measured.scale.dtype == np.float32


def test_mean_and_deviation_are_those_of_numpy() -> None:
    measured = measure_statistics(noise(2), Normalization("mean_std"))
    np.testing.assert_allclose(measured.center, noise(2).mean((1, 2)), rtol=1e-6)
    np.testing.assert_allclose(measured.scale, noise(2).std((1, 2)), rtol=1e-6)


@pytest.mark.parametrize(
    ("channels", "channelwise", "together"), [(3, None, True), (3, True, False), (2, None, False), (2, False, True)]
)
def test_the_channels_of_colour_share_their_values(channels: int, channelwise: bool | None, together: bool) -> None:
    measured = measure_statistics(noise(channels), Normalization(channelwise=channelwise))
    assert measured.center.shape == measured.scale.shape == (channels,)
    assert (len(set(measured.scale)) == 1) == together


@pytest.mark.parametrize("method", ["percentile", "mean_std"])
def test_an_even_image_has_scale_1(method: Any) -> None:
    measured = measure_statistics(np.full((1, 9, 9), 7, np.uint8), Normalization(method))
    assert [*measured.center, *measured.scale] == [7, 1]


def test_a_few_objects_on_an_even_background_still_have_contrast() -> None:
    image = np.full((1, 100, 100), 10, np.uint8)
    image[0, 0, 0] = 210
    measured = measure_statistics(image, Normalization())
    assert [*measured.center, *measured.scale] == [10, 200]


@pytest.mark.parametrize("method", ["percentile", "mean_std"])
@pytest.mark.parametrize("dtype", ["u1", ">u2", "f4"])
def test_images_with_a_bright_background_are_turned_around(dtype: str, method: Any) -> None:
    inverting = Normalization(method, low=1, high=99, bright_background="invert")
    dark = np.where(np.random.default_rng(0).random((3, 40, 50)) < 0.2, 200, 10 + noise(3) % 40).astype(dtype)
    bright = (250 - dark.astype(float)).astype(dtype)

    def network_input(image: NDArray[Any]) -> NDArray[np.float32]:
        return Normalizer(inverting)(
            torch.from_numpy(image.astype(np.float32))[None],
            *(torch.from_numpy(values)[None] for values in astuple(measure_statistics(image, inverting))),
        ).numpy()

    kept = measure_statistics(dark, Normalization(method, low=1, high=99))
    np.testing.assert_array_equal(measure_statistics(dark, inverting).center, kept.center)
    np.testing.assert_array_equal(measure_statistics(dark, inverting).scale, kept.scale)
    np.testing.assert_allclose(network_input(bright), network_input(dark), atol=1e-3)


def test_channels_with_values_of_their_own_are_turned_around_each_by_itself() -> None:
    image = np.stack([np.where(noise(1)[0] < 30, 200, 10), np.where(noise(1)[0] < 30, 10, 200)])
    scales = measure_statistics(image, Normalization(bright_background="invert")).scale
    assert sorted(scales < 0) == [False, True]


def test_an_even_image_is_not_turned_around() -> None:
    measured = measure_statistics(np.full((1, 9, 9), 200, np.uint8), Normalization(bright_background="invert"))
    assert [*measured.center, *measured.scale] == [200, 1]


@pytest.mark.parametrize("dtype", ["u1", ">u2", "u4", "i2", "f2", ">f4", "f8", "?"])
def test_every_real_dtype_is_measured(dtype: str) -> None:
    image = noise(1, dtype)
    measured = measure_statistics(image, Normalization("mean_std"))
    np.testing.assert_allclose(measured.center, image.astype(float).mean(), rtol=1e-3)
    assert measure_statistics(image, Normalization()).scale > 0


def test_a_small_plane_is_its_own_sample() -> None:
    image = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    np.testing.assert_array_equal(sample_pixels(ArraySource(image, "TCYX"), 1), image[1].reshape(3, -1))


def test_the_sample_of_a_large_plane_is_fixed_small_and_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "WHOLE_PLANE_PIXELS", 1000)
    monkeypatch.setattr(sampling, "SAMPLE_GRID", 4)
    monkeypatch.setattr(sampling, "SAMPLE_WINDOW", 8)
    image = np.arange(200 * 300).reshape(200, 300)
    sample = sample_pixels(ArraySource(image, "YX"), 0)
    assert sample.shape == (1, 4 * 4 * 8 * 8)
    assert sample.min() == 0
    assert sample.max() == image.max()
    assert len(np.unique(sample)) == sample.size
    np.testing.assert_array_equal(sample, sample_pixels(ArraySource(image, "YX"), 0))
    assert sample_pixels(ArraySource(image[:5], "YX"), 0).shape == (1, 5 * 4 * 8)  # narrow: its whole height


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_that_are_not_finite_are_an_error_that_names_the_image(value: float) -> None:
    with pytest.raises(ImageError, match=r"^cells\.tif has NaN or infinite pixels"):
        check_finite(np.array([[0, value]], np.float16), "cells.tif")
    check_finite(np.zeros((2, 2), np.uint8), "cells.tif")


def test_a_volume_is_measured_as_its_pixels_side_by_side() -> None:
    pixels = np.random.default_rng(0).integers(0, 2**16, (2, 5, 6, 7)).astype(np.uint16)
    for normalization in (Normalization(), Normalization("mean_std"), Normalization(bright_background="invert")):
        whole, flat = (measure_statistics(one, normalization) for one in (pixels, pixels.reshape(2, -1)))
        np.testing.assert_array_equal(whole.center, flat.center)
        np.testing.assert_array_equal(whole.scale, flat.scale)
