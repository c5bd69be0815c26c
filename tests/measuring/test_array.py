"""Arrays are measured as files are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from object_tables import blobs
from pyarrow.parquet import read_table

import unetkit
from unetkit.foundation.errors import ConfigError, DataError

LABELS = np.stack([blobs((50, 60), seed, 1.5) for seed in range(3)])
IMAGE = np.random.default_rng(0).integers(0, 999, (3, 2, 50, 60)).astype(">u2")


def test_an_array_has_the_table_of_its_file(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "labels.tif", LABELS, metadata={"axes": "ZYX"}, ome=True)
    tifffile.imwrite(
        tmp_path / "image.tif", IMAGE, metadata={"axes": "ZCYX", "Channel": {"Name": ["DAPI", "GFP"]}}, ome=True
    )
    unetkit.measure(
        tmp_path / "labels.tif", tmp_path / "image.tif", tmp_path / "objects.parquet", ring="2.5um", pixel_size_um=0.5
    )
    expected = read_table(tmp_path / "objects.parquet").to_pydict()
    assert set(expected.pop("region")) == {"labels"}  # an array has no name
    options = {"axes": "ZYX", "channel_names": ("DAPI", "GFP"), "pixel_size_um": 0.5, "ring": 5}
    for image in (np.moveaxis(IMAGE, 1, 0), np.moveaxis(IMAGE, 1, -1)):
        found = unetkit.measure_array(LABELS, image, **options)
        assert {name: column.tolist() for name, column in found.items()} == expected


class Watched:
    """An image that notes how much of it is read at once, and cannot become an array as a whole."""

    def __init__(self, pixels: np.ndarray) -> None:
        self._pixels, self.shape, self.dtype, self.largest = pixels, pixels.shape, pixels.dtype, 0

    def __getitem__(self, index: object) -> np.ndarray:
        part = self._pixels[index]
        self.largest = max(self.largest, part.size)
        return part

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise AssertionError("read as a whole")


def test_an_image_is_read_in_parts_wherever_its_channels_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unetkit.objects.label_file.STRIP_PIXELS", 600)
    expected = unetkit.measure_array(LABELS, np.moveaxis(IMAGE, 1, 0))
    watched = Watched(IMAGE)
    found = unetkit.measure_array(LABELS, watched, axes="ZYX", image_axes="ZCYX")
    assert watched.largest == 2 * 600
    assert found["z"].tolist() == expected["plane"].tolist()
    assert all(found[name].tolist() == expected[name].tolist() for name in expected if name != "plane")


def test_truth_values_are_measured_as_0_and_1() -> None:
    found = unetkit.measure_array(LABELS[0], LABELS[0] > 0)
    assert set(found["intensity_mean"].tolist()) == {1.0}


def test_no_objects_are_columns_without_rows() -> None:
    found = unetkit.measure_array(np.zeros((4, 5), int), np.zeros((4, 5)))
    assert {len(column) for column in found.values()} == {0}
    assert {"label", "area_px", "intensity_median"} <= found.keys()


@pytest.mark.parametrize(
    ("labels", "image", "options", "problem"),
    [
        (LABELS, IMAGE[:2, 0], {}, r"shape \(2, 50, 60\)"),
        (LABELS, IMAGE[:2], {"image_axes": "ZCYX"}, r"shape \(2, 2, 50, 60\)"),
        (LABELS, [[["a"]]], {}, "array of <U1"),
        (LABELS - 2.5, None, {}, "fractions"),
        (LABELS[0, 0], None, {}, r"shape \(60,\)"),
    ],
)
def test_arrays_that_do_not_fit_are_said(
    labels: object, image: object, options: dict[str, object], problem: str
) -> None:
    with pytest.raises(DataError, match=problem):
        unetkit.measure_array(labels, image, **options)


def test_settings_of_an_image_that_is_not_there_are_refused() -> None:
    with pytest.raises(ConfigError, match="without an image"):
        unetkit.measure_array(LABELS, ring="3")
    with pytest.raises(ConfigError, match="1 names for 2 channels"):
        unetkit.measure_array(LABELS, np.moveaxis(IMAGE, 1, 0), channel_names=["DAPI"])
    with pytest.raises(ConfigError, match="same name"):
        unetkit.measure_array(LABELS, np.moveaxis(IMAGE, 1, 0), channel_names=["DAPI", "DAPI"])
