"""Objects of masks, with and without a distance map, against whole-image references and across tiles and bands."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import skimage.measure
from choices import random_choice
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from unetkit.postprocess.components import CONNECTED
from unetkit.postprocess.labels import Labels
from unetkit.postprocess.method import Method
from unetkit.postprocess.parts import LARGEST_DISTANCE
from unetkit.postprocess.predicted_distance import by_predicted_distance, smooth_predicted
from unetkit.postprocess.split_by_distance import BY_DISTANCE

PREDICTED = by_predicted_distance(0)
CHOSEN = by_predicted_distance(0, choice=random_choice(least=0.0))
METHODS = {"connected": CONNECTED, "distance": BY_DISTANCE, "predicted": PREDICTED, "chosen": CHOSEN}


def label(bands: list[NDArray[np.uint8]], height: int, method: Method, **choices: object) -> NDArray[np.uint16]:
    """Return the labels (rows of all planes, width)."""
    labels = Labels(bands, (height, bands[0].shape[-1]), method=method, **choices)  # type: ignore[arg-type]
    return np.concatenate(list(labels.rows()), axis=1)[0]


def smooth_noise(height: int, width: int, sigma: float, seed: int) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), sigma)
    return blurred / max(float(blurred.std()), 1e-6)


def random_plane(height: int, width: int, seed: int, sigma: float = 3) -> NDArray[np.uint8]:
    """Return a mask of touching blobs and a random distance map (2, height, width)."""
    mask = smooth_noise(height, width, sigma, seed) > -0.3
    predicted = np.clip(smooth_noise(height, width, sigma / 2, seed + 1) * 60 + 120, 1, 255)
    return np.stack([mask * 255, mask * predicted]).astype(np.uint8)


def cone(height: int, width: int, *peaks: tuple[int, int], radius: int = 12) -> NDArray[np.uint8]:
    """Return discs (2, height, width) whose predicted distances fall from 1 at each peak to 0 at the border."""
    grid = np.mgrid[:height, :width]
    distances = np.stack([np.hypot(grid[0] - y, grid[1] - x) for y, x in peaks]).min(0)
    predicted = np.clip(1 - distances / radius, 0, 1)
    mask = distances < radius
    return np.stack([mask * 255, mask * np.maximum(predicted * 255, 1)]).astype(np.uint8)


def count(plane: NDArray[np.uint8], method: Method = PREDICTED) -> int:
    return Labels([plane], plane.shape[1:], method=method).count


# However it is cut


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(sorted(METHODS)),
    size=st.tuples(st.integers(1, 70), st.integers(1, 90)),
    tile=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    cuts=st.lists(st.integers(1, 69), max_size=4),
    seed=st.integers(0, 1000),
    sigma=st.sampled_from([0.7, 2.0, 5.0]),
)
def test_labels_depend_on_neither_tiles_nor_bands(
    name: str, size: tuple[int, int], tile: tuple[int, int], cuts: list[int], seed: int, sigma: float
) -> None:
    planes = [random_plane(*size, seed + 7 * i, sigma) for i in range(2)]
    expected = label(planes, size[0], METHODS[name], tile=size)
    bands = [
        band for plane in planes for band in np.split(plane, sorted({cut for cut in cuts if cut < size[0]}), axis=1)
    ]
    np.testing.assert_array_equal(label(bands, size[0], METHODS[name], tile=tile), expected)


@pytest.mark.parametrize("name", ["distance", "predicted", "chosen"])
def test_a_plane_of_many_tiles_is_labelled_as_one(name: str) -> None:
    plane = random_plane(300, 400, 5)
    whole = label([plane], 300, METHODS[name], tile=(300, 400))
    assert whole.max() > skimage.measure.label(plane[0] > 0).max() + 5
    np.testing.assert_array_equal(label([plane], 300, METHODS[name], tile=(64, 48)), whole)


def test_connected_are_those_of_skimage() -> None:
    plane = random_plane(120, 150, 3)
    np.testing.assert_array_equal(label([plane], 120, CONNECTED, tile=(32, 32)), skimage.measure.label(plane[0] > 0))


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_every_pixel_of_the_mask_and_no_other_has_a_label_and_an_object_is_connected(method: Method) -> None:
    plane = random_plane(120, 150, 4)
    labels = label([plane], 120, method)
    np.testing.assert_array_equal(labels > 0, plane[0] > 0)
    for number in range(1, labels.max() + 1):
        assert skimage.measure.label(labels == number, return_num=True)[1] == 1


# What is an object


@pytest.mark.parametrize("tile", [(64, 64), (16, 10)])
def test_touching_discs_with_two_peaks_are_two_objects(tile: tuple[int, int]) -> None:
    plane = cone(40, 60, (20, 20), (20, 38))
    labels = label([plane], 40, PREDICTED, tile=tile)
    assert skimage.measure.label(plane[0] > 0).max() == 1
    assert labels.max() == 2
    assert labels[20, 20] != labels[20, 38]
    areas = np.bincount(labels.ravel())[1:]
    assert abs(int(areas[0]) - int(areas[1])) < 30


def test_cells_without_a_waist_are_split_by_the_predicted_distance_map_alone() -> None:
    """A rectangle of two cells: the distance to the background has one ridge."""
    along, across = np.abs(np.sin(np.arange(60) / 60 * 2 * np.pi)), np.sin((np.arange(20) + 0.5) / 20 * np.pi)
    predicted = along[None] * across[:, None]
    plane = np.stack([np.full((20, 60), 255), np.maximum(predicted * 255, 1)]).astype(np.uint8)
    plane = np.pad(plane, ((0, 0), (5, 5), (5, 5)))
    assert count(plane[:1], BY_DISTANCE) == 1
    assert count(plane) == 2


def test_one_peak_is_one_object_even_if_its_outline_has_a_waist() -> None:
    plane = cone(60, 80, (30, 20), (30, 42), radius=13)
    predicted = 255 * (1 - np.hypot(*(np.mgrid[:60, :80] - np.array([30, 31])[:, None, None])) / 60)
    plane[1] = np.where(plane[0] > 0, predicted, 0)
    assert count(plane[:1], BY_DISTANCE) == 2
    assert count(plane) == 1


def test_a_plateau_of_the_largest_distance_is_one_object() -> None:
    plane = np.pad(np.full((2, 90, 120), 255, np.uint8), ((0, 0), (4, 4), (4, 4)))
    assert len(np.unique(label([plane], 98, PREDICTED, tile=(20, 30)))) == 2


def test_noise_does_not_split() -> None:
    plane = cone(80, 80, (40, 40), radius=35)
    noisy = plane[1] / 2 + 100 + smooth_noise(80, 80, 1, 0) * 6
    plane[1] = np.where(plane[0] > 0, np.clip(noisy, 1, 255), 0)
    raw = plane[1].astype(int)
    inside = plane[0] > 0
    neighbours = [np.roll(raw, step, axis) for axis in (0, 1) for step in (-1, 1)]
    peaks = np.logical_and.reduce([raw > neighbour for neighbour in neighbours]) & inside
    assert peaks.sum() > 20
    assert count(plane) == 1


def test_a_deep_saddle_splits_whatever_the_size_of_the_object() -> None:
    for radius in (4, 12, 40):
        side = 4 * radius
        plane = cone(
            side, 2 * side, (side // 2, side // 2), (side // 2, side // 2 + round(1.6 * radius)), radius=radius
        )
        assert count(plane) == 2, radius


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_small_objects_are_left_out_and_the_numbers_have_no_gaps(method: Method) -> None:
    plane = np.zeros((2, 40, 90), np.uint8)
    for left, side in ((5, 3), (20, 8), (40, 4), (60, 9)):
        plane[:, 10 : 10 + side, left : left + side] = 200
    assert label([plane], 40, method).max() == 4
    labels = label([plane], 40, method, smallest=17)
    assert np.bincount(labels.ravel())[1:].tolist() == [64, 81]
    assert label([plane], 40, method, smallest=16).max() == 3


@pytest.mark.parametrize("tile", [(64, 64), (16, 10)])
def test_objects_with_low_peaks_are_left_out_wherever_tiles_cut_them(tile: tuple[int, int]) -> None:
    plane = cone(40, 60, (20, 15), (20, 44))
    plane[1, :, 30:] = (plane[1, :, 30:] * 0.4).astype(np.uint8)
    plane[1] = np.where(plane[0] > 0, np.maximum(plane[1], 1), 0)
    found = {sure: label([plane], 40, by_predicted_distance(sure), tile=tile) for sure in (0.0, 0.3, 0.5, 1.0)}
    assert [labels.max() for labels in found.values()] == [2, 2, 1, 0]
    assert not found[0.5][:, 30:].any()
    np.testing.assert_array_equal(found[0.5][:, :30], found[0.0][:, :30])


@pytest.mark.parametrize("tile", [(512, 1024), (13, 17)])
@pytest.mark.parametrize("least", [0.0, 0.45])
def test_the_confidence_of_an_object_is_its_highest_peak_wherever_tiles_cut_it(
    tile: tuple[int, int], least: float
) -> None:
    planes = [random_plane(60, 90, 3), np.zeros((2, 60, 90), np.uint8), random_plane(60, 90, 9)]
    labels = Labels(planes, (60, 90), method=by_predicted_distance(least), smallest=6, tile=tile)
    found = np.concatenate(list(labels.rows()), axis=1)[0]
    peaks = np.concatenate([smooth_predicted(plane) for plane in planes]) / LARGEST_DISTANCE
    expected = [peaks[found == number].max() for number in range(1, labels.count + 1)]
    assert labels.confidences is not None
    assert labels.confidences.dtype == np.float32
    np.testing.assert_array_equal(labels.confidences, np.array(expected, np.float32))
    assert least <= labels.confidences.min() < labels.confidences.max() <= 1


@pytest.mark.parametrize("method", [CONNECTED, BY_DISTANCE], ids=["connected", "distance"])
def test_without_a_predicted_distance_map_there_is_no_confidence(method: Method) -> None:
    assert Labels([random_plane(20, 30, 0)], (20, 30), method=method).confidences is None


def test_no_objects_have_no_confidences() -> None:
    confidences = Labels([np.zeros((2, 20, 30), np.uint8)], (20, 30), method=PREDICTED).confidences
    assert confidences is not None
    assert confidences.shape == (0,)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_numbers_run_on_through_the_planes_of_a_stack_and_the_count_is_that_of_all(method: Method) -> None:
    planes = [random_plane(60, 70, seed, 2) for seed in range(3)]
    planes.insert(1, np.zeros((2, 60, 70), np.uint8))
    alone = [label([plane], 60, method) for plane in planes]
    labels = Labels(planes, (60, 70), method=method)
    stack = np.concatenate(list(labels.rows()), axis=1)[0].reshape(4, 60, 70)
    counts = [int(one.max()) for one in alone]
    assert counts[1] == 0
    assert labels.count == sum(counts) == len(np.unique(stack)) - 1 == stack.max()
    for plane, one, before in zip(stack, alone, np.cumsum([0, *counts[:-1]]), strict=True):
        np.testing.assert_array_equal(plane, np.where(one > 0, one + before, 0))


def test_labels_are_as_wide_as_the_count_of_the_whole_stack_asks_for() -> None:
    plane = np.zeros((1, 512, 512), np.uint8)
    plane[0, ::2, ::2] = 255  # 65,536 pixels that do not touch
    one, two = (Labels([plane[:, :, :510]] * planes, (512, 510)) for planes in (1, 2))
    assert (one.count, one.dtype) == (65_280, np.uint16)
    assert (two.count, two.dtype) == (130_560, np.uint32)
    assert max(int(rows.max()) for rows in two.rows()) == two.count


def test_a_band_that_crosses_into_the_next_plane_is_refused() -> None:
    with pytest.raises(ValueError, match="3 rows below its plane"):
        Labels([np.zeros((2, 13, 5), np.uint8)], (10, 5), method=PREDICTED)


# Several classes

CLASSES = np.kron(np.random.default_rng(0).integers(0, 4, (2, 9, 12)), np.ones((1, 4, 4))).astype(np.uint8)
"""Two planes of blocks of three classes and background, many of which touch."""


@pytest.mark.parametrize("tile", [(7, 9), (512, 1024)])
def test_each_class_is_labelled_by_itself_and_no_two_objects_share_a_number(tile: tuple[int, int]) -> None:
    bands = [plane[None, top : top + 5] for plane in CLASSES for top in range(0, CLASSES.shape[1], 5)]
    labels = Labels(bands, CLASSES.shape[1:], classes=4, tile=tile)
    found = np.concatenate([row[0] for row in labels.rows()]).reshape(CLASSES.shape)
    assert found.dtype == labels.dtype == np.uint16
    np.testing.assert_array_equal(found > 0, CLASSES > 0)
    for plane, mask in zip(found, CLASSES, strict=True):
        first = 1
        for value, last in enumerate(labels.last, 1):
            own = np.where(mask == value, plane, 0)
            expected = skimage.measure.label(mask == value)
            pairs = {*zip(own[own > 0], expected[own > 0], strict=True)}
            assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) == expected.max()
            assert all(first <= number <= last for number, _ in pairs)
            numbers = np.array([number for number, _ in pairs])
            assert (labels.classes_of(numbers) == value).all()
            first = last + 1
    assert found.max() == labels.count == labels.last[-1]


def test_small_objects_of_a_class_and_absent_classes_leave_no_gap() -> None:
    mask = np.zeros((1, 12, 12), np.uint8)
    mask[0, 1:4, 1:4], mask[0, 8, 8], mask[0, 6:9, 2:5] = 1, 1, 3
    labels = Labels([mask], (12, 12), classes=4, smallest=4)
    assert labels.last == (1, 1, 2)
    found = next(labels.rows())[0]
    assert (found[2, 2], found[8, 8], found[7, 3]) == (1, 0, 2)
