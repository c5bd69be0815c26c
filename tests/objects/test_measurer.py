"""Measurements are those of scikit-image, and the same for every way to cut a plane into strips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from object_tables import blobs, measure_rows
from PIL import Image
from skimage.measure import regionprops_table
from tifffile import imread

from unetkit.objects import measurer as measurer_module
from unetkit.objects.frame import Frame
from unetkit.objects.measurer import Measurer

NUCLEI = Path(__file__).parents[3] / "shared" / "data" / "nuclei" / "train"

SHAPES = {
    "area": "area_px",
    "centroid-0": "centroid_y_px",
    "centroid-1": "centroid_x_px",
    "bbox-0": "bbox_top_px",
    "bbox-1": "bbox_left_px",
    "bbox-2": "bbox_bottom_px",
    "bbox-3": "bbox_right_px",
    "equivalent_diameter_area": "equivalent_diameter_px",
    "perimeter": "perimeter_px",
    "axis_major_length": "major_axis_px",
    "axis_minor_length": "minor_axis_px",
    "eccentricity": "eccentricity",
    "solidity": "solidity",
}
VALUES = ("mean", "median", "min", "max", "std")
ASKED = ("label", "orientation", "inertia_tensor", "bbox", "centroid", *[name for name in SHAPES if "-" not in name])

SMALL = arrays(
    np.uint16, st.tuples(st.integers(1, 14), st.integers(1, 14)), elements=st.integers(0, 3), fill=st.just(0)
)
HEIGHTS = st.lists(st.integers(1, 5), max_size=4)


def compare(labels: NDArray[np.integer], image: NDArray[np.generic]) -> None:
    """Compare all columns with scikit-image's; the image (C, h, w) is given to it as float64."""
    ours = measure_rows(labels, image)
    pixels = np.moveaxis(image, 0, -1).astype(np.float64)
    asked = (*ASKED, *(f"intensity_{name}" for name in VALUES))
    theirs = regionprops_table(labels.astype(np.int64), pixels, properties=asked)
    np.testing.assert_array_equal(ours["label"], theirs["label"])
    for name, column in SHAPES.items():  # a line's minor axis is the root of a rounding error
        np.testing.assert_allclose(ours[column], theirs[name], rtol=1e-9, atol=1e-6, err_msg=column)
    yy, xx, yx = (theirs[f"inertia_tensor-{name}"] for name in ("1-1", "0-0", "0-1"))
    clear = np.hypot(yy - xx, yx) > 1e-9  # a circle has no direction but that of a rounding error
    turned = np.abs(ours["orientation_rad"] - theirs["orientation"])[clear]
    np.testing.assert_allclose(np.minimum(turned, np.abs(turned - np.pi)), 0, atol=1e-6)
    for channel in range(len(image)):
        for name in VALUES:
            found, true = ours[f"c{channel}_{name}"], theirs[f"intensity_{name}-{channel}"]
            np.testing.assert_allclose(found, true, rtol=1e-9, atol=1e-6, err_msg=name)


@settings(max_examples=150, deadline=None)
@given(labels=SMALL, seed=st.integers(0, 99))
def test_small_objects_in_pieces_measure_as_in_scikit_image(labels: NDArray[np.uint16], seed: int) -> None:
    if labels.any():
        compare(labels, np.random.default_rng(seed).integers(0, 256, (1, *labels.shape), np.uint8))


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64"]
)
def test_blobs_measure_as_in_scikit_image(dtype: str) -> None:
    image = (np.random.default_rng(1).normal(size=(2, 120, 150)) * 20 + 60).astype(dtype)
    compare(blobs((120, 150), 2), image)


@pytest.mark.skipif(not NUCLEI.is_dir(), reason="needs ../shared/data/nuclei")
@pytest.mark.parametrize("number", range(0, 466, 93))
def test_nuclei_measure_as_in_scikit_image(number: int) -> None:
    mask = sorted((NUCLEI / "masks").glob("*.tif"))[number]
    image = np.asarray(Image.open(NUCLEI / "images" / f"{mask.stem}.png").convert("RGB"))
    compare(imread(mask), np.moveaxis(image, -1, 0))


@settings(max_examples=60, deadline=None)
@given(labels=SMALL, heights=HEIGHTS, ring=st.sampled_from([0, 1, 2.5, 4]), kind=st.sampled_from(["uint8", "float32"]))
def test_measurements_do_not_depend_on_the_strips(
    labels: NDArray[np.uint16], heights: list[int], ring: float, kind: str
) -> None:
    image = (np.random.default_rng(0).random((2, *labels.shape)) * 255).astype(kind)
    whole = measure_rows(labels, image, ring=ring)
    cut = measure_rows(labels, image, ring=ring, heights=heights)
    assert whole.keys() == cut.keys()
    for name, column in whole.items():
        assert column.tobytes() == cut[name].tobytes(), name


def test_rows_that_are_pushed_at_once_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = blobs((90, 110), 5)
    image = np.random.default_rng(0).random((1, 90, 110))
    whole = measure_rows(labels, image, ring=3)
    monkeypatch.setattr(measurer_module, "MOST_PIXELS", 110 * 7)
    cut = measure_rows(labels, image, ring=3)
    for name, column in whole.items():
        assert column.tobytes() == cut[name].tobytes(), name


def test_lengths_are_in_micrometres_where_the_pixel_size_is_known() -> None:
    labels = blobs((60, 70), 3)
    square = measure_rows(labels, pixel_size_um=(0.5, 0.5))
    for name in ("equivalent_diameter", "perimeter", "major_axis", "minor_axis", "centroid_y", "centroid_x"):
        np.testing.assert_allclose(square[f"{name}_um"], square[f"{name}_px"] / 2)
    np.testing.assert_allclose(square["area_um2"], square["area_px"] / 4)


def test_pixels_that_are_not_square_are_measured_as_scikit_image_measures_them() -> None:
    labels = blobs((60, 70), 3)
    ours = measure_rows(labels, pixel_size_um=(0.5, 0.2))
    asked = ("area", "axis_major_length", "axis_minor_length", "centroid", "equivalent_diameter_area")
    theirs = regionprops_table(labels, properties=asked, spacing=(0.5, 0.2))
    names = ("area_um2", "major_axis_um", "minor_axis_um", "centroid_y_um", "centroid_x_um", "equivalent_diameter_um")
    for name, true in zip(names, theirs.values(), strict=False):
        if name != "equivalent_diameter_um":
            np.testing.assert_allclose(ours[name], true, rtol=1e-7, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(ours["equivalent_diameter_um"], theirs["equivalent_diameter_area"])
    assert "perimeter_um" not in ours


def test_what_touches_the_border_says_so() -> None:
    labels = np.zeros((5, 6), np.uint8)
    labels[0, 2], labels[2, 2], labels[4, 3], labels[2, 5], labels[3, 0] = 1, 2, 3, 4, 5
    assert measure_rows(labels)["touches_border"].tolist() == [True, False, True, True, True]


def test_planes_have_their_place_on_each_axis() -> None:
    frame = Frame((2, 2), "TQ", (2, 3))
    measurer = Measurer(frame, extras={"half": lambda labels: labels / 2})
    found = [each.values for _ in range(6) for each in measurer.add(np.array([[0, 7], [0, 0]]))]
    assert [(int(each["t"][0]), int(each["plane"][0])) for each in found] == [
        (t, plane) for t in range(2) for plane in range(3)
    ]
    assert list(found[0])[:4] == ["label", "t", "plane", "half"]
    assert found[0]["half"].tolist() == [3.5]
