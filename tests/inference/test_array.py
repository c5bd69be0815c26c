from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
import torch
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from unetkit.foundation.errors import ConfigError, ImageError, OutputError, UnetkitError
from unetkit.inference.array import guess_axes, predict_tiled
from unetkit.models import sampling
from unetkit.models.segmenter import Segmenter

Make = Callable[..., Segmenter]


def picture(*shape: int, dtype: Any = np.uint8) -> NDArray[Any]:
    return np.random.default_rng(1).integers(0, 60, shape).astype(dtype)


class Recording:
    """An array that remembers how many pixels were asked for at once."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.windows: list[int] = []

    def __getitem__(self, index: Any) -> NDArray[Any]:
        window: NDArray[Any] = self.array[index]
        self.windows.append(window.size)
        return window


# Tiled is the same as whole


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.tuples(st.integers(1, 120), st.integers(1, 120)),
    cores=st.integers(1, 6),
    batch=st.integers(1, 5),
    stride=st.sampled_from([1, 2]),
    classes=st.sampled_from([2, 3]),
    output=st.sampled_from(["mask", "probabilities"]),
)
def test_tiled_is_the_whole_pass_bit_by_bit(
    exact_segmenter: Make, size: tuple[int, int], cores: int, batch: int, stride: int, classes: int, output: Any
) -> None:
    segmenter = exact_segmenter(stride=stride, classes=classes)
    image = picture(*size)
    whole = predict_tiled(image, segmenter, tile=128, output=output)
    tiled = predict_tiled(image, segmenter, tile=16 + 8 * cores, batch=batch, output=output)
    if output == "mask":
        np.testing.assert_array_equal(tiled, whole)
    else:  # torch's sigmoid and softmax round the last bits differently at the end of a row
        np.testing.assert_allclose(tiled, whole, rtol=1e-6, atol=1e-7)


def test_the_number_of_threads_changes_nothing(exact_segmenter: Make) -> None:
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            results.append(predict_tiled(picture(90, 110), exact_segmenter(), tile=48, output="probabilities"))
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(*results)


def test_the_whole_pass_is_the_network_on_the_whole_image(exact_segmenter: Make) -> None:
    segmenter = exact_segmenter()
    image = picture(64, 80)
    with torch.inference_mode():
        expected = segmenter.network(torch.from_numpy(image)[None, None].float()).sigmoid()[0, 0].numpy()
    np.testing.assert_allclose(
        predict_tiled(image, segmenter, tile=32, output="probabilities"), expected, rtol=1e-6, atol=1e-7
    )


def test_a_unet_with_a_large_halo_is_close_to_the_whole_pass(tiny_segmenter: Segmenter) -> None:
    image = picture(160, 200, dtype=np.uint16)
    whole = predict_tiled(image, tiny_segmenter, tile=256, output="probabilities")
    tiled = predict_tiled(image, tiny_segmenter, tile=160, halo=64, output="probabilities")
    np.testing.assert_allclose(tiled, whole, atol=1e-3)
    narrow = predict_tiled(image, tiny_segmenter, tile=32, halo=0, output="probabilities")
    assert np.abs(narrow - whole).max() > 1e-2  # the halo is what makes it so


def test_batch_and_tile_hardly_change_a_unet(tiny_segmenter: Segmenter) -> None:
    image = picture(100, 120)
    one = predict_tiled(image, tiny_segmenter, tile=64, batch=1, output="probabilities")
    many = predict_tiled(image, tiny_segmenter, tile=64, batch=5, output="probabilities")
    np.testing.assert_allclose(one, many, atol=1e-5)


# Arrays of every kind


@pytest.mark.parametrize("kind", ["memmap", "zarr", "dask", "read-only"])
def test_anything_that_can_be_sliced_is_an_image(exact_segmenter: Make, tmp_path: Path, kind: str) -> None:
    image = picture(70, 90)
    expected = predict_tiled(image, exact_segmenter(), tile=48)
    if kind == "memmap":
        image.tofile(tmp_path / "raw")
        array: Any = np.memmap(tmp_path / "raw", np.uint8, "r", shape=image.shape)
    elif kind == "zarr":
        array = zarr.create_array(tmp_path / "image.zarr", data=image, chunks=(32, 32))
    elif kind == "dask":
        array = dask.array.from_array(image, chunks=(32, 32))  # type: ignore[no-untyped-call]
    else:
        array = image.copy()
        array.flags.writeable = False
    np.testing.assert_array_equal(predict_tiled(array, exact_segmenter(), tile=48), expected)


def test_a_zarr_array_can_be_the_output(exact_segmenter: Make, tmp_path: Path) -> None:
    image = picture(2, 70, 90)
    out = zarr.create_array(tmp_path / "mask.zarr", shape=image.shape, dtype="u1", chunks=(1, 32, 32))
    assert predict_tiled(image, exact_segmenter(), tile=48, out=out) is out
    np.testing.assert_array_equal(out[:], predict_tiled(image, exact_segmenter()))


def test_an_output_of_another_shape_or_dtype_is_an_error(exact_segmenter: Make) -> None:
    with pytest.raises(OutputError, match="shape"):
        predict_tiled(picture(70, 90), exact_segmenter(), out=np.empty((90, 70), np.uint8))
    with pytest.raises(OutputError, match="float32"):
        predict_tiled(picture(70, 90), exact_segmenter(), out=np.empty((70, 90), np.float32))


@pytest.mark.parametrize("scope", ["dataset", "image"])
def test_only_windows_are_read_of_a_large_image(
    exact_segmenter: Make, tiny_segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch, scope: str
) -> None:
    monkeypatch.setattr(sampling, "WHOLE_PLANE_PIXELS", 64 * 64)
    monkeypatch.setattr(sampling, "SAMPLE_GRID", 3)
    monkeypatch.setattr(sampling, "SAMPLE_WINDOW", 16)
    array = Recording(picture(300, 200))
    model = exact_segmenter() if scope == "dataset" else tiny_segmenter
    predict_tiled(array, model, tile=64)
    assert max(array.windows) <= 64 * 64
    assert sum(array.windows) < 6 * array.array.size


@pytest.mark.parametrize("dtype", [">u2", "<u2", "<u4", ">f4", "f8", "i8", "?"])
def test_every_real_dtype_is_an_image(tiny_segmenter: Segmenter, dtype: str) -> None:
    image = picture(30, 40) > 30 if dtype == "?" else picture(30, 40)
    expected = predict_tiled(image.astype(np.float32), tiny_segmenter, output="probabilities")
    got = predict_tiled(image.astype(dtype), tiny_segmenter, output="probabilities")
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize("dtype", ["complex64", "datetime64[s]"])
def test_pixels_that_are_no_real_numbers_are_an_error(tiny_segmenter: Segmenter, dtype: str) -> None:
    with pytest.raises(ImageError, match="has pixels of"):
        predict_tiled(np.zeros((30, 40), dtype), tiny_segmenter)


def test_one_pixel_is_an_image(tiny_segmenter: Segmenter) -> None:
    mask = predict_tiled(np.array([[7]], np.uint16), tiny_segmenter)
    assert mask.shape == (1, 1)
    assert mask.dtype == np.uint8


@pytest.mark.parametrize("shape", [(1, 100), (100, 1), (9, 17)])
def test_narrow_images_are_segmented(exact_segmenter: Make, shape: tuple[int, int]) -> None:
    whole = predict_tiled(picture(*shape), exact_segmenter(), tile=128)
    np.testing.assert_array_equal(predict_tiled(picture(*shape), exact_segmenter(), tile=24), whole)


def test_planes_and_classes_come_out_in_the_order_of_the_input(exact_segmenter: Make) -> None:
    image = picture(2, 3, 40, 50)
    model = exact_segmenter(classes=4)
    masks = predict_tiled(image, model)
    probabilities = predict_tiled(image, model, output="probabilities")
    assert masks.shape == (2, 3, 40, 50)
    assert probabilities.shape == (2, 3, 4, 40, 50)
    assert set(np.unique(masks)) <= {0, 1, 2, 3}
    np.testing.assert_array_equal(probabilities.argmax(2), masks)
    np.testing.assert_array_equal(masks[1, 2], predict_tiled(image[1, 2], model))


def test_channels_are_found_first_or_last_and_grey_is_repeated(exact_segmenter: Make) -> None:
    colour = picture(40, 50, 3)
    model = exact_segmenter(channels=3)
    expected = predict_tiled(colour, model)
    assert expected.shape == (40, 50)
    np.testing.assert_array_equal(predict_tiled(colour.transpose(2, 0, 1), model), expected)
    grey = predict_tiled(colour[..., 0], model)
    np.testing.assert_array_equal(grey, predict_tiled(np.repeat(colour[..., :1], 3, 2), model))
    np.testing.assert_array_equal(grey, predict_tiled(colour[..., :1], model))


@pytest.mark.parametrize(
    ("shape", "channels", "axes"),
    [
        ((40, 50), 1, "YX"),
        ((40, 50, 1), 1, "YXS"),
        ((40, 50, 1), 3, "YXS"),
        ((1, 40, 50), 1, "ZYX"),
        ((3, 40, 50), 1, "ZYX"),
        ((3, 40, 50), 3, "CYX"),
        ((40, 50, 3), 3, "YXS"),
        ((7, 40, 50), 3, "ZYX"),
        ((5, 3, 40, 50), 3, "ZCYX"),
        ((5, 40, 50, 3), 3, "ZYXS"),
        ((2, 3, 5, 40, 50), 1, "QTZYX"),
        ((2, 5, 4, 40, 50), 4, "TZCYX"),
        ((5, 1, 1), 1, "ZYX"),
    ],
)
def test_axes_are_guessed_from_the_number_of_channels(shape: tuple[int, ...], channels: int, axes: str) -> None:
    assert guess_axes(shape, channels) == axes


@pytest.mark.parametrize("shape", [(40,), (2, 2, 2, 2, 40, 40), (40, 50, 3), (40, 50, 4), (5, 40, 50, 2)])
def test_axes_that_cannot_be_guessed_are_an_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError):
        guess_axes(shape, 1)


def test_a_wrong_number_of_channels_is_an_error(exact_segmenter: Make) -> None:
    with pytest.raises(ImageError, match="has 2 channels, but the model takes 3"):
        predict_tiled(picture(2, 40, 50), exact_segmenter(channels=3), axes="CYX")
    with pytest.raises(ImageError, match="has 3 channels, but the model takes 1"):
        predict_tiled(picture(40, 50, 3), exact_segmenter(), axes="YXS")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("scope", ["dataset", "image"])
def test_nan_and_infinite_pixels_are_an_error(
    exact_segmenter: Make, tiny_segmenter: Segmenter, scope: str, value: float
) -> None:
    image = picture(40, 50, dtype=np.float32)
    image[33, 44] = value
    with pytest.raises(ImageError, match="NaN or infinite") as caught:
        predict_tiled(image, exact_segmenter() if scope == "dataset" else tiny_segmenter)
    assert "nan_to_num" in caught.value.remedy


def test_progress_adds_up(exact_segmenter: Make) -> None:
    done: list[int] = []
    predict_tiled(picture(3, 70, 90), exact_segmenter(), tile=48, batch=4, progress=done.append)
    assert sum(done) == 3 * 70 * 90


def test_an_empty_array_is_an_error(exact_segmenter: Make) -> None:
    with pytest.raises(ImageError, match="empty"):
        predict_tiled(np.zeros((0, 40), np.uint8), exact_segmenter())


@pytest.mark.parametrize(
    "setting", [{"tile": 50}, {"halo": 5}, {"tile": 16}, {"batch": 0}, {"threshold": 1.5}, {"output": "contour"}]
)
def test_impossible_settings_are_errors(exact_segmenter: Make, setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(setting))):
        predict_tiled(picture(40, 50), exact_segmenter(), **setting)


def test_a_halo_larger_than_the_default_tile_allows_enlarges_the_tile(exact_segmenter: Make) -> None:
    image = picture(40, 50)
    np.testing.assert_array_equal(
        predict_tiled(image, exact_segmenter(), halo=800), predict_tiled(image, exact_segmenter())
    )


# What an array says about itself, and what is none


class Named(Recording):
    """An array with names of its dimensions, as xarray's DataArray has."""

    __module__ = "xarray.core.dataarray"

    def __init__(self, array: NDArray[Any], *dims: str) -> None:
        super().__init__(array)
        self.dims = dims


def test_dimensions_that_have_names_are_not_guessed(exact_segmenter: Make) -> None:
    image = picture(3, 40, 56)  # of three planes, which a model of three channels would take for one image
    model = exact_segmenter(channels=3)
    expected = predict_tiled(image, model, axes="ZYX")
    assert expected.shape == (3, 40, 56)
    np.testing.assert_array_equal(predict_tiled(Named(image, "z", "y", "x"), model), expected)
    array = zarr.create_array(
        zarr.storage.MemoryStore(), data=image, chunks=(1, 32, 32), dimension_names=["z", "y", "x"]
    )
    np.testing.assert_array_equal(predict_tiled(array, model), expected)
    assert predict_tiled(Named(image, "c", "y", "x"), model).shape == (40, 56)
    assert predict_tiled(Named(image, "stain", "y", "x"), model).shape == (40, 56)
    turned = predict_tiled(Named(image.transpose(2, 1, 0), "x", "y", "c"), model)
    np.testing.assert_array_equal(turned, predict_tiled(image, model, axes="CYX"))


@pytest.mark.parametrize(
    ("given_options", "said"),
    [
        ({"model": 5}, "A int is no model of unetkit"),
        ({"model": [torch.nn.ReLU()]}, "A ReLU is no model of unetkit"),
        ({"out": [1, 2]}, "The output is a list, and no array"),
        ({"axes": 3}, "the axes '3' do not describe"),
        ({"progress": 3}, "progress is neither True nor a function"),
    ],
)
def test_arguments_of_the_wrong_kind_get_a_sentence(
    exact_segmenter: Make, given_options: dict[str, Any], said: str
) -> None:
    options = {"model": exact_segmenter(), **given_options}
    with pytest.raises(UnetkitError, match=said):
        predict_tiled(picture(20, 30), options.pop("model"), **options)
    with pytest.raises(ImageError, match="name of a file"):
        predict_tiled("a.tif", exact_segmenter())


def test_progress_true_shows_a_bar(exact_segmenter: Make, capsys: pytest.CaptureFixture[str]) -> None:
    predict_tiled(picture(40, 50), exact_segmenter(), tile=32)
    assert capsys.readouterr().err == ""
    predict_tiled(picture(40, 50), exact_segmenter(), tile=32, progress=True)
    assert "0.0/0.0 Mpx" in capsys.readouterr().err


def test_nothing_of_the_process_is_changed(exact_segmenter: Make) -> None:
    threads = torch.get_num_threads()
    predict_tiled(picture(40, 50), exact_segmenter(), tile=32, backend="torch")
    assert torch.get_num_threads() == threads
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32


# Pixels without data


@pytest.mark.parametrize("value", [0, 255])
def test_a_frame_changes_nothing_inside_it_whatever_the_tiles(exact_segmenter: Make, value: int) -> None:
    segmenter = exact_segmenter(channels=1)
    picture = np.random.default_rng(0).integers(40, 90, (80, 96), np.uint8)
    framed = np.full((120, 128), value, np.uint8)
    framed[24:104, 16:112] = picture
    results = [
        predict_tiled(framed, segmenter, output="probabilities", tile=tile, backend="torch", device="cpu")
        for tile in (32, 64, 128)
    ]
    outside = np.ones(framed.shape, np.bool_)
    outside[24:104, 16:112] = False
    for result in results:
        np.testing.assert_allclose(result, results[0], atol=1e-5)
        assert not result[outside].any()
        assert result[~outside].any()


def test_a_border_without_data_is_background_and_the_rest_as_without_it(exact_segmenter: Make) -> None:
    segmenter = exact_segmenter(channels=1)
    pixels = np.random.default_rng(0).normal(100, 20, (96, 96)).astype(np.float32)
    options = {"output": "probabilities", "tile": 64, "backend": "torch", "device": "cpu"}
    plain = predict_tiled(pixels[32:], segmenter, **options)
    for value in (-9999, np.nan):
        pixels[:32] = value
        result = predict_tiled(pixels, segmenter, **options)
        assert not result[:32].any()
        np.testing.assert_allclose(result[64:], plain[32:], atol=1e-4)
