from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import skimage.measure
import tifffile
from numpy.typing import NDArray

from unetkit.foundation.errors import ImageError
from unetkit.inference.overview.found import Kind, find_edges, last_labels, look_at
from unetkit.io.base.contracts import OutputSpec
from unetkit.io.files import create_sink
from unetkit.objects import label_file
from unetkit.objects.frame import Frame

SIZE = (60, 90)


@pytest.fixture
def mask() -> NDArray[np.bool_]:
    """Two planes of blobs."""
    noise = np.random.default_rng(0).random((2, SIZE[0] // 6, SIZE[1] // 6))
    return np.kron(noise < 0.3, np.ones((1, 6, 6))).astype(bool)


@pytest.fixture(autouse=True)
def _small_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_file, "STRIP_PIXELS", 7 * SIZE[1])


def number(mask: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Labels of all planes, counted on."""
    first, second = (skimage.measure.label(plane) for plane in mask)
    return np.stack([first, np.where(second > 0, second + first.max(), 0)]).astype(np.uint16)


def write(path: Path, pixels: NDArray[np.generic]) -> Path:
    tifffile.imwrite(path, pixels, metadata={"axes": "ZYX"[-pixels.ndim :]}, rowsperstrip=8)
    return path


def test_objects_of_labels_are_counted_and_measured_as_skimage_does(tmp_path: Path, mask: NDArray[np.bool_]) -> None:
    labels = number(mask)
    found, coarse = look_at(write(tmp_path / "l.tif", labels), Kind("labels"), Frame(SIZE, "Z", (2,)), (20, 30), 1)
    expected = [region.area for plane in labels for region in skimage.measure.regionprops(plane)]
    assert found.areas is not None
    assert np.repeat(found.areas.pixels, found.areas.counts).tolist() == sorted(expected)
    assert found.shares == (pytest.approx(mask.mean()),)
    np.testing.assert_allclose(coarse.shares[0], mask[1].reshape(20, 3, 30, 3).mean((1, 3)), rtol=1e-6)
    assert coarse.shrink == pytest.approx(3)


def test_regions_of_a_mask_are_those_that_touch(tmp_path: Path, mask: NDArray[np.bool_]) -> None:
    found, coarse = look_at(
        write(tmp_path / "m.tif", mask * np.uint8(255)), Kind("mask"), Frame(SIZE, "Z", (2,)), SIZE, 0
    )
    expected = [region.area for plane in number(mask) for region in skimage.measure.regionprops(plane)]
    assert found.areas is not None
    assert np.repeat(found.areas.pixels, found.areas.counts).tolist() == sorted(expected)
    np.testing.assert_array_equal(coarse.shares[0] > 0, mask[0])


def test_classes_of_a_mask_have_shares_and_no_regions(tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).integers(0, 3, SIZE).astype(np.uint8)
    found, coarse = look_at(write(tmp_path / "m.tif", pixels), Kind("mask", ("a", "b")), Frame(SIZE), (6, 9), 0)
    assert found.areas is None
    assert found.class_names == ("a", "b")
    assert found.shares == (pytest.approx((pixels == 1).mean()), pytest.approx((pixels == 2).mean()))
    np.testing.assert_allclose(coarse.shares[1], (pixels == 2).reshape(6, 10, 9, 10).mean((1, 3)), rtol=1e-6)


def test_labels_of_classes_are_told_apart_by_what_the_file_notes(tmp_path: Path) -> None:
    labels = np.zeros((1, *SIZE), np.uint16)
    labels[0, 2:5, 2:5], labels[0, 8:10, 8:10], labels[0, 20:30, 20:30] = 1, 2, 3
    notes = (("object_classes", "big, round none, small 1-2, b 3-3"),)
    create_sink(tmp_path / "l.tif", OutputSpec(SIZE, labels.dtype, notes=notes)).write([labels])
    names = ("big, round", "small", "b")
    last = last_labels(tmp_path / "l.tif", names)
    assert last == (0, 2, 3)
    assert last_labels(tmp_path / "l.tif", ("big", "b")) == ()
    found, _ = look_at(tmp_path / "l.tif", Kind("labels", names, last=last), Frame(SIZE), SIZE, 0)
    assert found.by_class == {"big, round": 0, "small": 2, "b": 1}
    assert found.shares == pytest.approx((0, 13 / labels.size, 100 / labels.size))


@pytest.mark.parametrize("output", ["probabilities", "uncertainty"])
def test_maps_have_means_and_doubts(tmp_path: Path, output: str) -> None:
    values = np.random.default_rng(4).random(SIZE).astype(np.float32)
    found, coarse = look_at(write(tmp_path / "p.tif", values), Kind(output), Frame(SIZE), (6, 9), 0)  # type: ignore[arg-type]
    assert found.areas is None
    assert found.shares == (pytest.approx(values.mean(dtype=np.float64)),)
    doubts = np.minimum(values, 1 - values) if output == "probabilities" else values
    assert coarse.edges is None
    np.testing.assert_allclose(coarse.doubts, doubts.reshape(6, 10, 9, 10).mean((1, 3)), rtol=1e-5)


def test_edges_do_not_depend_on_strips() -> None:
    labels = np.random.default_rng(5).integers(0, 3, (12, 9))
    whole = find_edges(labels, None)
    parts = [find_edges(labels[top : top + 5], labels[top - 1] if top else None) for top in range(0, 12, 5)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    square = np.zeros((6, 6), int)
    square[2:4, 2:4] = 7
    assert find_edges(square, None).sum() == 7  # the upper and left side inside, the others outside


@pytest.mark.parametrize(
    ("pixels", "output"),
    [
        (np.zeros((30, 90), np.uint16), "labels"),
        (np.zeros((2, *SIZE), np.uint16), "labels"),
        (np.zeros(SIZE, np.float32), "labels"),
        (np.zeros(SIZE, np.float32), "mask"),
        (np.zeros(SIZE, np.uint16), "mask"),
        (np.zeros(SIZE, np.uint8), "probabilities"),
    ],
)
def test_a_file_that_is_no_such_result_is_an_error(tmp_path: Path, pixels: NDArray[np.generic], output: str) -> None:
    path = write(tmp_path / "r.tif", pixels)
    with pytest.raises(ImageError, match=f"does not hold the {output} of its image"):
        look_at(path, Kind(output), Frame(SIZE), (6, 9), 0)  # type: ignore[arg-type]


@pytest.mark.parametrize("output", ["mask", "labels"])
def test_objects_of_a_volume_are_counted_once_with_their_volumes(
    tmp_path: Path, mask: NDArray[np.bool_], output: Literal["mask", "labels"]
) -> None:
    labels = skimage.measure.label(mask, connectivity=3).astype(np.uint16)
    pixels = labels if output == "labels" else mask * np.uint8(255)
    found, _ = look_at(write(tmp_path / "l.tif", pixels), Kind(output), Frame(SIZE, "Z", (2,)), (20, 30), 1, depth=2)
    assert found.areas is not None
    assert np.repeat(found.areas.pixels, found.areas.counts).tolist() == sorted(np.bincount(labels.ravel())[1:])
