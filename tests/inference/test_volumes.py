"""Volumes from file to file: the same as in one window, whatever the tiles, the blocks and the format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray
from skimage.measure import label
from volumes import volume

import unetkit
from unetkit.errors import ImageError
from unetkit.inference.array import predict_tiled
from unetkit.inference.tiling import blocks
from unetkit.models.segmenter import Segmenter

Make = Callable[..., Segmenter]
CHOICES: dict[str, Any] = {"device": "cpu", "backend": "torch", "halo": 8}


@pytest.fixture(params=[None, 3000], ids=["whole bands", "cut bands"])
def bands(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param is not None:
        monkeypatch.setattr(blocks, "BAND_BYTES", request.param)


def whole(image: NDArray[Any], segmenter: Segmenter) -> NDArray[Any]:
    return np.asarray(predict_tiled(image, segmenter, axes="ZYX", tile=64, **CHOICES))


@pytest.mark.usefixtures("bands")
@pytest.mark.parametrize("stride", [(1, 1, 1), (1, 2, 2)])
@pytest.mark.parametrize("output", ["mask", "probabilities"])
def test_an_array_is_the_same_in_tiles(exact_segmenter: Make, stride: tuple[int, ...], output: Any) -> None:
    image, segmenter = volume(2, 29, 50, 43), exact_segmenter(stride=stride, classes=3)
    options = {**CHOICES, "axes": "TZYX", "output": output}
    expected = predict_tiled(image, segmenter, tile=64, **options)
    assert expected.shape == ((2, 29, 50, 43) if output == "mask" else (2, 3, 29, 50, 43))
    tiled = predict_tiled(image, segmenter, tile=(24, 32, 32), **options)
    # Softmax rounds differently for parts of different sizes.
    np.testing.assert_allclose(expected, tiled, atol=0 if output == "mask" else 1e-6)


@pytest.mark.usefixtures("bands")
@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_a_file_is_the_same_in_tiles(exact_segmenter: Make, tmp_path: Path, suffix: str) -> None:
    image, segmenter = volume(29, 50, 43), exact_segmenter(stride=(1, 2, 2))
    tifffile.imwrite(tmp_path / "in.tif", image, imagej=True, metadata={"axes": "ZYX", "spacing": 2, "unit": "um"})
    result = tmp_path / f"out{suffix}"
    unetkit.segment(tmp_path / "in.tif", result, model=segmenter, tile="24,32,32", **CHOICES)
    got = tifffile.imread(result) if suffix == ".tif" else zarr.open_group(result)["0"][:]
    np.testing.assert_array_equal(got.reshape(image.shape), whole(image, segmenter))


def test_one_plane_is_no_volume(exact_segmenter: Make, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "in.tif", volume(50, 43))
    with pytest.raises(ImageError, match="takes volumes"):
        unetkit.segment(tmp_path / "in.tif", tmp_path / "out.tif", model=exact_segmenter(stride=(1, 2, 2)), **CHOICES)
    assert not (tmp_path / "out.tif").exists()


@pytest.mark.usefixtures("bands")
def test_objects_are_counted_once_across_bands(exact_segmenter: Make, tmp_path: Path) -> None:
    image, segmenter = volume(29, 50, 43), exact_segmenter(stride=(1, 2, 2))
    tifffile.imwrite(tmp_path / "in.tif", image, imagej=True, metadata={"axes": "ZYX"})
    (outcome,) = unetkit.segment(
        tmp_path / "in.tif",
        tmp_path / "out.tif",
        model=segmenter,
        tile="24,32,32",
        output="labels",
        min_size=0,
        threshold=0.75,
        **CHOICES,
    )
    probabilities = predict_tiled(image, segmenter, axes="ZYX", tile=64, output="probabilities", **CHOICES)
    expected = label(probabilities >= 0.75)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif"), expected)
    assert outcome.objects == expected.max() > 1
