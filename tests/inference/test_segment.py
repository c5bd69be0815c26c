from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray

from unetkit.foundation.errors import ConfigError, ImageError, ModelError, OutputError
from unetkit.inference.array import predict_tiled
from unetkit.inference.segment import segment
from unetkit.io.files import open_image
from unetkit.models.model_file import hash_file
from unetkit.models.segmenter import Segmenter, save_model

Make = Callable[..., Segmenter]


def picture(*shape: int, dtype: Any = np.uint8) -> NDArray[Any]:
    return np.random.default_rng(1).integers(0, 60, shape).astype(dtype)


def test_planes_pixel_size_and_the_model_are_carried_to_the_output(tiny_model: Path, tmp_path: Path) -> None:
    image = picture(2, 3, 40, 56, dtype=np.uint16)
    tifffile.imwrite(
        tmp_path / "cells.ome.tif",
        image,
        metadata={"axes": "TZYX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5},
    )
    done = segment(tmp_path / "cells.ome.tif", tmp_path / "mask.tif", tiny_model)
    assert [(one.image.name, one.result.name, one.pixels) for one in done] == [
        ("cells.ome.tif", "mask.tif", 6 * 40 * 56)
    ]
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "mask.tif"), predict_tiled(image, tiny_model))
    info = open_image(tmp_path / "mask.tif").info
    assert (info.plane_axes, info.plane_shape, info.dtype.name) == ("TZ", (2, 3), "uint8")
    assert info.pixel_size_um == pytest.approx((0.5, 0.25))
    with tifffile.TiffFile(tmp_path / "mask.tif") as file:
        description = str(file.ome_metadata)
    assert hash_file(tiny_model) in description
    assert tiny_model.name in description


def test_a_png_comes_out_as_a_png(tiny_model: Path, tmp_path: Path) -> None:
    image = picture(33, 44)
    (tmp_path / "in.png").write_bytes(imagecodecs.png_encode(image))
    segment(str(tmp_path / "in.png"), str(tmp_path / "out.png"), str(tiny_model))
    mask = imagecodecs.imread(tmp_path / "out.png")
    np.testing.assert_array_equal(mask, predict_tiled(image, tiny_model))


def test_probabilities_are_float32(tiny_model: Path, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "in.tif", picture(33, 44))
    segment(tmp_path / "in.tif", tmp_path / "out.tif", tiny_model, output="probabilities")
    values = tifffile.imread(tmp_path / "out.tif")
    assert values.dtype == np.float32
    assert 0 <= values.min() < values.max() <= 1


def test_pages_that_are_as_many_as_the_model_has_channels_are_channels(exact_segmenter: Make, tmp_path: Path) -> None:
    image = picture(4, 40, 50)
    tifffile.imwrite(tmp_path / "in.tif", image, photometric="minisblack", metadata=None)
    model = exact_segmenter(channels=4)
    segment(tmp_path / "in.tif", tmp_path / "out.tif", model)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif"), predict_tiled(image, model, axes="CYX"))


def test_a_folder_goes_into_a_folder_that_is_made(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("a.tif", "b.ome.tif"):
        tifffile.imwrite(tmp_path / "images" / name, picture(20, 30))
    totals: list[int] = []
    segment(tmp_path / "images", tmp_path / "deep/masks", tiny_model, progress=lambda name, pixels: totals.append)
    assert sorted(path.name for path in (tmp_path / "deep/masks").iterdir()) == ["a.tif", "b.tif"]
    assert sum(totals) == 2 * 20 * 30


def test_one_bad_file_of_a_folder_is_reported_and_the_others_are_done(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("a.tif", "b.tif", "c.tif"):
        tifffile.imwrite(tmp_path / "images" / name, picture(20, 30))
    (tmp_path / "images/b.tif").write_bytes(b"II*\0 and no more")
    with pytest.raises(ImageError, match=r"1 of 3 images were not segmented.*b\.tif"):
        segment(tmp_path / "images", tmp_path / "masks", tiny_model)
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == ["a.tif", "c.tif"]


def test_an_existing_output_needs_overwrite(tiny_model: Path, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "in.tif", picture(20, 30))
    (tmp_path / "out.tif").write_text("precious")
    with pytest.raises(OutputError, match=r"out\.tif exists"):
        segment(tmp_path / "in.tif", tmp_path / "out.tif", tiny_model)
    assert (tmp_path / "out.tif").read_text() == "precious"
    segment(tmp_path / "in.tif", tmp_path / "out.tif", tiny_model, overwrite=True)
    assert tifffile.imread(tmp_path / "out.tif").shape == (20, 30)


def test_a_failed_run_leaves_an_existing_output_untouched(tiny_model: Path, tmp_path: Path) -> None:
    image = picture(400, 300, dtype=np.float32)
    image[399, 299] = np.nan
    tifffile.imwrite(tmp_path / "in.tif", image)
    (tmp_path / "out.tif").write_text("precious")
    with pytest.raises(ImageError, match="NaN"):
        segment(tmp_path / "in.tif", tmp_path / "out.tif", tiny_model, overwrite=True)
    assert (tmp_path / "out.tif").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.tif", "out.tif"]


def test_mistakes_are_found_before_any_file_is_touched(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    tifffile.imwrite(tmp_path / "images/a.tif", picture(20, 30))
    for error, model, options in (
        (ModelError, tmp_path / "no.safetensors", {}),
        (ConfigError, tiny_model, {"device": "warp"}),
        (ConfigError, tiny_model, {"tile": 100}),
    ):
        with pytest.raises(error):
            segment(tmp_path / "images", tmp_path / "masks", model, **options)
    with pytest.raises(OutputError, match="is a file"):
        segment(tmp_path / "images", tiny_model, tiny_model)
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_a_missing_image_is_an_error(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="does not exist"):
        segment(tmp_path / "no.tif", tmp_path / "out.tif", tiny_model)
    assert not list(tmp_path.iterdir())


def test_a_model_from_memory_segments_files_too(tiny_segmenter: Segmenter, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "in.tif", picture(20, 30))
    segment(tmp_path / "in.tif", tmp_path / "a.tif", tiny_segmenter)
    save_model(tiny_segmenter, tmp_path / "m.safetensors")
    segment(tmp_path / "in.tif", tmp_path / "b.tif", tmp_path / "m.safetensors")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), tifffile.imread(tmp_path / "b.tif"))


def test_an_ome_zarr_is_segmented_as_one_image(tmp_path: Path, tiny_segmenter: Segmenter) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (90, 70), np.uint8)
    tifffile.imwrite(tmp_path / "same.tif", pixels)
    group = zarr.open_group(tmp_path / "in" / "cells.ome.zarr", mode="w", zarr_format=3)
    group.create_array("0", data=pixels, chunks=(32, 32))
    axes = [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    segment(tmp_path / "same.tif", tmp_path / "expected.tif", tiny_segmenter)
    segment(tmp_path / "in" / "cells.ome.zarr", tmp_path / "mask.tif", tiny_segmenter)
    segment(tmp_path / "in", tmp_path / "out", tiny_segmenter)
    for result in (tmp_path / "mask.tif", tmp_path / "out" / "cells.tif"):
        np.testing.assert_array_equal(tifffile.imread(result), tifffile.imread(tmp_path / "expected.tif"))
