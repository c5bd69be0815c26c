"""Outputs of resampled images come in the pixels of the image: classes by the nearest, fractions between them."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray
from volumes import volume

import unetkit
from unetkit.errors import ConfigError
from unetkit.inference.tiling import blocks
from unetkit.io.files import open_image
from unetkit.models.segmenter import Segmenter

Make = Callable[..., Segmenter]
CHOICES: dict[str, Any] = {"device": "cpu", "backend": "torch", "halo": 8, "tile": "24,32,32"}


@pytest.fixture(params=[None, 3000], ids=["whole bands", "cut bands"])
def bands(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param is not None:
        monkeypatch.setattr(blocks, "BAND_BYTES", request.param)


def write_volume(path: Path, size: tuple[int, ...] = (15, 40, 34)) -> NDArray[np.uint8]:
    """Write a volume whose voxels are 2 x 1 x 1 µm large, smooth enough to have objects."""
    image = np.repeat(np.repeat(volume(*(-(-length // 5) for length in size)), 5, 1), 5, 2)
    image = np.repeat(image, 5, 0)[tuple(slice(0, length) for length in size)]
    metadata = {"axes": "ZYX", "spacing": 2, "unit": "um"}
    tifffile.imwrite(path, image, imagej=True, resolution=(1, 1), metadata=metadata)
    return image


def read(path: Path) -> NDArray[Any]:
    return np.asarray(zarr.open_group(path)["0"][:] if path.suffix == ".zarr" else tifffile.imread(path))


def take_nearest(pixels: NDArray[Any], size: tuple[int, ...]) -> NDArray[Any]:
    """Return for each pixel the one whose centre is nearest, of two the one before."""
    places = [
        np.abs((np.arange(length)[:, None] + 0.5) / length - (np.arange(there) + 0.5) / there).round(9).argmin(1)
        for length, there in zip(size, pixels.shape, strict=True)
    ]
    return pixels[np.ix_(*places)]


@pytest.mark.usefixtures("bands")
@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
@pytest.mark.parametrize("output", ["mask", "labels"])
def test_classes_of_a_volume_are_put_back_to_its_voxels(
    exact_segmenter: Make, tmp_path: Path, suffix: str, output: Any
) -> None:
    image, model = write_volume(tmp_path / "in.tif"), exact_segmenter(stride=(1, 2, 2))
    options = {**CHOICES, "model": model, "output": output, "pixel_size": "1,1.4,1.4"}
    options |= {"min_size": 0} if output == "labels" else {}
    unetkit.segment(tmp_path / "in.tif", tmp_path / f"model{suffix}", output_grid="model", **options)
    unetkit.segment(tmp_path / "in.tif", tmp_path / f"back{suffix}", **options)
    seen, back = read(tmp_path / f"model{suffix}"), read(tmp_path / f"back{suffix}")
    assert seen.shape == (30, 29, 24)
    assert len(np.unique(seen)) > 1
    np.testing.assert_array_equal(back, take_nearest(seen, image.shape))
    info = open_image(tmp_path / f"back{suffix}", dims=3).info
    assert info.pixel_size_um == pytest.approx((2.0, 1.0, 1.0))


@pytest.mark.usefixtures("bands")
@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_probabilities_of_a_volume_are_interpolated_between_its_voxels(
    exact_segmenter: Make, tmp_path: Path, suffix: str
) -> None:
    image, model = write_volume(tmp_path / "in.tif"), exact_segmenter(stride=(1, 2, 2))
    options = {**CHOICES, "model": model, "output": "probabilities", "pixel_size": "2,2,2"}
    unetkit.segment(tmp_path / "in.tif", tmp_path / f"model{suffix}", output_grid="model", **options)
    unetkit.segment(tmp_path / "in.tif", tmp_path / f"back{suffix}", **options)
    seen, back = read(tmp_path / f"model{suffix}"), read(tmp_path / f"back{suffix}")
    assert seen.shape == (15, 20, 17)
    for axis, length in enumerate(image.shape):
        centres = (np.arange(length) + 0.5) * seen.shape[axis] / length - 0.5
        seen = np.apply_along_axis(lambda row, at=centres: np.interp(at, np.arange(len(row)), row), axis, seen)
    np.testing.assert_allclose(back, seen, atol=1e-6)


def test_a_region_is_put_back_to_its_own_voxels(exact_segmenter: Make, tmp_path: Path) -> None:
    write_volume(tmp_path / "in.tif")
    model = exact_segmenter(stride=(1, 2, 2))
    options = {**CHOICES, "model": model, "pixel_size": "2,2,2"}
    unetkit.segment(tmp_path / "in.tif", tmp_path / "all.tif", **options)
    unetkit.segment(tmp_path / "in.tif", tmp_path / "part.tif", region="3,0,4,8,20,10", **options)
    assert read(tmp_path / "part.tif").shape == (8, 40, 20)


def test_planes_are_put_back_where_it_is_asked_for(exact_segmenter: Make, tmp_path: Path) -> None:
    image = volume(70, 61)
    tifffile.imwrite(tmp_path / "in.tif", image, resolution=(1e4, 1e4), resolutionunit="CENTIMETER")
    options = {**CHOICES, "model": exact_segmenter(stride=2), "pixel_size": 2.0, "tile": 32}
    for output in ("mask", "labels"):
        options |= {"output": output} | ({"min_size": 0} if output == "labels" else {})
        table = {"table": tmp_path / "objects.csv"} if output == "labels" else {}
        unetkit.segment(tmp_path / "in.tif", tmp_path / f"{output}.tif", **options)
        unetkit.segment(tmp_path / "in.tif", tmp_path / f"{output} back.tif", output_grid="input", **options, **table)
        seen, back = read(tmp_path / f"{output}.tif"), read(tmp_path / f"{output} back.tif")
        assert seen.shape == (35, 30)
        np.testing.assert_array_equal(back, take_nearest(seen, image.shape))
    with (tmp_path / "objects.csv").open() as file:
        found = [(int(row["area_px"]), float(row["intensity_sum"])) for row in csv.DictReader(file)]
    assert found == [((back == i).sum(), image[back == i].sum()) for i in range(1, back.max() + 1)]


def test_a_grid_is_chosen_only_where_pixels_are_resampled(exact_segmenter: Make, tmp_path: Path) -> None:
    write_volume(tmp_path / "in.tif")
    with pytest.raises(ConfigError, match="not resampled"):
        unetkit.segment(
            tmp_path / "in.tif", tmp_path / "out.tif", model=exact_segmenter(), output_grid="input", **CHOICES
        )
