"""Images restored by an autoencoder: a mean over 5 x 5 pixels of each channel stands for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from forwards import make_forward
from scipy.ndimage import uniform_filter
from tifffile import TiffFile, imread, imwrite
from torch import nn

from unetkit import predict_tiled, segment
from unetkit.cli import main
from unetkit.foundation.errors import ConfigError
from unetkit.inference.engine.forward import layout
from unetkit.io.base.arrays import ArraySource
from unetkit.models.normalization import Normalization
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.models.spec import ModelSpec
from unetkit.models.statistics import Statistics

RADIUS = 2


def smoother(channels: int = 1, **normalization: Any) -> Segmenter:
    """A model that restores an image as the mean around each pixel."""
    spec = ModelSpec(
        "resnet18",
        depth=3,
        decoder_channels=(8, 8, 8),
        in_channels=channels,
        task="reconstruction",
        halo=8,
        normalization=Normalization(**normalization),
    )
    side = 2 * RADIUS + 1
    network = nn.Conv2d(channels, channels, side, padding=RADIUS, groups=channels, bias=False)
    network.weight.data.fill_(1 / side**2)
    return Segmenter(spec, network).eval()


def noise(shape: tuple[int, ...], dtype: str, low: float, high: float) -> np.ndarray:
    return np.random.default_rng(0).uniform(low, high, shape).astype(dtype)


def inside(image: np.ndarray) -> np.ndarray:
    return image[..., RADIUS:-RADIUS, RADIUS:-RADIUS]


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [("uint8", 10, 240), ("uint16", 300, 60_000), ("int16", -3000, 3000), ("float32", -0.5, 0.5), ("uint32", 0, 4e9)],
)
@pytest.mark.parametrize("method", ["percentile", "mean_std"])
def test_pixels_keep_their_type_and_range(dtype: str, low: float, high: float, method: str) -> None:
    image = noise((64, 80), dtype, low, high)
    restored = predict_tiled(image, smoother(method=method), output="restored")
    assert restored.dtype == image.dtype
    expected = uniform_filter(image.astype(np.float64), 2 * RADIUS + 1)
    rounding = 0.51 if image.dtype.kind != "f" else 0
    np.testing.assert_allclose(inside(restored), inside(expected), atol=rounding + 1e-6 * (high - low))


def test_tiles_leave_no_seams() -> None:
    image = noise((200, 170), "float32", 0, 1000)
    image[:100] += 5000  # tiles that were normalised one by one would differ
    whole = predict_tiled(image, smoother(), output="restored", tile=256)
    tiled = predict_tiled(image, smoother(), output="restored", tile=64)
    np.testing.assert_allclose(tiled, whole, rtol=1e-5)


def test_an_inverted_image_comes_back_as_it_was() -> None:
    image = noise((64, 64), "uint8", 180, 250)
    image[20:30, 20:30] = 20
    model = smoother(bright_background="invert")
    np.testing.assert_allclose(
        inside(predict_tiled(image, model, output="restored")).astype(float),
        inside(uniform_filter(image.astype(np.float64), 2 * RADIUS + 1)),
        atol=0.51,
    )


def test_channels_and_planes_are_kept() -> None:
    image = noise((2, 3, 64, 64), "uint8", 10, 240)
    restored = predict_tiled(image, smoother(3), axes="ZCYX", output="restored")
    assert restored.shape == image.shape
    np.testing.assert_allclose(
        inside(restored[1, 2]).astype(float), inside(uniform_filter(image[1, 2].astype(float), 5)), atol=0.51
    )


def test_a_grey_image_stays_grey_for_a_model_of_colours() -> None:
    image = noise((64, 64), "uint8", 10, 240)
    restored = predict_tiled(image, smoother(3), output="restored")
    assert restored.shape == image.shape
    np.testing.assert_allclose(
        inside(restored).astype(float), inside(uniform_filter(image.astype(float), 5)), atol=0.51
    )


def test_the_mean_of_several_models_and_of_orientations_is_one_of_restored_images() -> None:
    image = noise((64, 64), "float32", 0, 1)
    one = predict_tiled(image, smoother(), output="restored")
    models = [smoother(), smoother(method="mean_std")]
    np.testing.assert_allclose(inside(predict_tiled(image, models, output="restored")), inside(one), atol=1e-6)
    np.testing.assert_allclose(predict_tiled(image, smoother(), output="restored", tta=True), one, atol=1e-6)


@pytest.mark.parametrize("tta", [False, True])
def test_what_a_model_adds_to_an_image_is_added_to_it(tta: bool) -> None:
    """A model that takes half of the smoothed, normalised image away."""
    image = noise((120, 90), "float32", 1000, 3000)
    model = smoother(method="percentile", low=0, high=100)
    model.spec = replace(model.spec, residual=True)
    model.network.weight.data.mul_(-0.5)  # type: ignore[union-attr, operator]
    restored = predict_tiled(image, model, output="restored", tta=tta, tile=64)
    expected = image - 0.5 * (uniform_filter(image.astype(np.float64), 5) - image.min())
    np.testing.assert_allclose(inside(restored), inside(expected), rtol=1e-4)
    assert predict_tiled(image.astype(np.uint16), model, output="restored").dtype == np.uint16
    pixels, values = torch.from_numpy(image)[None, None], model.normalizer.statistics(image.reshape(1, -1))
    normalized = (pixels - float(values.center[0])) / float(values.scale[0])
    center, scale = torch.from_numpy(values.center[None]), torch.from_numpy(values.scale[None])
    torch.testing.assert_close(model(pixels, center, scale), normalized + model.network(normalized))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "int32"])
def test_what_lies_beyond_the_range_of_the_type_is_cut_off(dtype: str) -> None:
    limits = np.iinfo(dtype)
    info = ArraySource(np.zeros((8, 8), dtype), "YX").info
    model = smoother()
    model.network.weight.data.fill_(1)  # type: ignore[union-attr, operator]  # sums
    forward = make_forward(model, kind="restored", image=info)
    huge = np.full((1, 8, 8), limits.max, dtype)
    values = [[Statistics(np.zeros(1, np.float32), np.ones(1, np.float32))]]
    kept = (slice(0, 8), slice(0, 8))
    restored = forward.submit(forward.gather([huge]), values, kept).result().astype(np.int64)
    assert (restored > 0.99 * limits.max).all()
    assert (restored <= limits.max).all()


@pytest.mark.parametrize(("dtype", "expected"), [("bool", "uint8"), ("float16", "float32"), (">u2", "uint16")])
def test_types_that_few_programs_read_become_others(dtype: str, expected: str) -> None:
    info = ArraySource(np.zeros((8, 8), dtype), "YX").info
    assert layout("restored", 1, info) == (1, np.dtype(expected))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A network of one channel that restores images, with random weights."""
    path = tmp_path / "model.safetensors"
    save_model(Segmenter(smoother().spec), path)
    return path


@pytest.mark.parametrize("name", ["out.tif", "out.zarr", "out.png"])
def test_segment_writes_files(saved: Path, tmp_path: Path, name: str) -> None:
    image = noise((96, 64), "uint8", 10, 240)
    imwrite(tmp_path / "in.tif", image)
    done = segment(tmp_path / "in.tif", tmp_path / name, saved, output="restored", tile=64)
    assert done[0].objects is None
    if name == "out.tif":
        assert imread(tmp_path / name).dtype == np.uint8
        with TiffFile(tmp_path / name) as file:
            assert "--output restored" in str(file.ome_metadata)


def test_images_of_different_types_in_one_folder_keep_theirs(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for dtype in ("uint8", "uint16", "float32"):
        imwrite(tmp_path / "in" / f"{dtype}.tif", noise((64, 64), dtype, 0, 255))
    for item in segment(tmp_path / "in", tmp_path / "out", saved, output="restored"):
        assert imread(item.result).dtype == item.image.stem


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--output", "mask"), "restores images and predicts no masks"),
        (("--output", "labels"), "restores images and predicts no masks"),
        (("--output", "classes"), "does not classify whole images"),
        (("--output", "restored", "--model", "nuclei"), "nuclei does not restore images. Use a model that"),
        (("--output", "restored", "--skip-empty"), "skip_empty leaves holes"),
        (("--output", "restored", "--precision", "int8"), "int8 is checked on masks"),
        (("--output", "restored", "--threshold", "0.5"), "threshold has no meaning"),
        (("--output", "restored", "--verify-seams"), "verify_seams compares masks"),
    ],
)
def test_what_is_not_possible_is_an_error(
    saved: Path, tmp_path: Path, words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    imwrite(tmp_path / "in.tif", noise((64, 64), "uint8", 0, 255))
    result = tmp_path / ("out.csv" if "classes" in words else "out.tif")
    model = () if "--model" in words else ("--model", str(saved))
    assert main(["segment", str(tmp_path / "in.tif"), str(result), *words, *model]) == 2
    assert message in capsys.readouterr().err
    assert not result.exists()


def test_a_mask_of_an_array_is_refused_too(saved: Path) -> None:
    with pytest.raises(ConfigError, match="restores images"):
        predict_tiled(np.zeros((64, 64), np.uint8), saved)
