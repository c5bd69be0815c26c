from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from image_pools import load_pool
from numpy.typing import NDArray
from scipy import ndimage

from unetkit.data.annotated import UNKNOWN
from unetkit.data.dataset import CropDataset
from unetkit.data.distance_map import make_distance_map
from unetkit.data.transforms import PRESETS, Transform
from unetkit.foundation.synthetic import write_dataset

NUCLEI = Path(__file__).parents[2] / "../shared/data/nuclei/train/masks"


def cells(seed: int, count: int = 60, size: int = 128) -> np.ndarray:
    """Labels of touching cells with background between some of them: a Voronoi diagram within discs."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    points = rng.uniform(0, size, (count, 2))
    distances = np.hypot(y[..., None] - points[:, 0], x[..., None] - points[:, 1])
    return np.where(distances.min(-1) < 11, distances.argmin(-1) + 1, 0).astype(np.uint16)


def plain_distances(labels: np.ndarray) -> np.ndarray:
    """The distance in pixels of each object's pixels to what is not the object, one object after the other."""
    distances = np.zeros(labels.shape)
    for label in np.unique(labels[labels > 0]):
        distances += ndimage.distance_transform_edt(labels == label)
    return distances


def check_distances(labels: np.ndarray) -> None:
    found, expected = make_distance_map(labels), plain_distances(labels)
    assert found.dtype == np.float32
    assert np.array_equal(found > 0, labels > 0)
    for label in np.unique(labels[labels > 0]):
        own, exact = found[labels == label], expected[labels == label]
        assert own.max() == 1
        assert np.abs(own * exact.max() - exact).max() <= 1.2 + 0.04 * exact.max()
        assert exact[own.argmax()] >= 0.96 * exact.max() - 1.2


@pytest.mark.parametrize("seed", range(4))
def test_it_holds_the_distances_that_each_object_has_by_itself(seed: int) -> None:
    check_distances(cells(seed))


def test_distances_are_within_06_pixels_and_2_percent() -> None:
    y, x = np.mgrid[:101, :101]
    for labels in (np.hypot(y - 50, x - 50) < 45, abs(y - 50) + abs(x - 50) < 45):
        exact = plain_distances(labels)
        found = make_distance_map(labels.astype(np.uint16))
        pixels = found / found[50, 5:50][labels[50, 5:50]].min()  # the outermost pixel of a row is at distance 1
        assert np.abs(pixels - exact).max() <= 0.6 + 0.02 * exact.max()


@pytest.mark.skipif(not NUCLEI.exists(), reason="no ../shared/data/nuclei")
def test_distances_in_real_nuclei() -> None:
    for path in sorted(NUCLEI.iterdir())[::60]:
        check_distances(tifffile.imread(path)[:256, :256].astype(np.uint16))


def test_there_is_a_valley_between_touching_objects() -> None:
    labels = np.zeros((20, 40), np.uint16)
    labels[3:16, 3:20], labels[3:16, 20:36] = 7, 9
    row = make_distance_map(labels)[9]
    assert row[19] == row[20] == pytest.approx(1 / 7)
    assert row[11] == row[28] == 1
    assert make_distance_map(np.minimum(labels, 1))[9, 20] == 1


def test_the_border_of_the_crop_is_not_one_of_an_object() -> None:
    whole = cells(1, size=160)
    cut = make_distance_map(whole[40:104, 40:104])
    labels = np.zeros((30, 30), np.uint16)
    labels[:, :10] = 3
    assert make_distance_map(labels)[:, 0].tolist() == [1] * 30
    inside = np.isin(whole[40:104, 40:104], np.setdiff1d(whole, _rim(whole[40:104, 40:104])))
    np.testing.assert_allclose(cut[inside], make_distance_map(whole)[40:104, 40:104][inside], rtol=1e-6)


def _rim(labels: np.ndarray) -> np.ndarray:
    return np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])


def test_crops_without_background_and_without_objects() -> None:
    assert (make_distance_map(np.full((8, 8), 65535, np.uint16)) == 1).all()
    assert (make_distance_map(np.zeros((8, 8), np.uint16)) == 0).all()


def test_plain_foreground_is_divided_into_its_parts() -> None:
    labels = np.zeros((40, 40), np.uint16)
    labels[2:7, 2:7], labels[10:31, 10:31] = 255, 255
    numbered = labels.copy()
    numbered[2:7, 2:7] = 1
    assert np.array_equal(make_distance_map(labels, numbered=False), make_distance_map(numbered))
    assert make_distance_map(labels)[4, 4] < 0.5


def test_augmented_labels_are_still_the_labels() -> None:
    labels = cells(3).copy()
    labels[labels > 0] += 65535 - labels.max()
    pixels = (labels > 0)[None].astype(np.float32)
    transform = Transform(replace(PRESETS["strong"], rotate_probability=1, elastic_probability=1), 1)
    for seed in range(8):
        _, moved = transform(pixels, labels, np.random.default_rng(seed))
        assert moved.dtype == np.uint16
        assert np.isin(moved, labels).all()
        assert 65535 in moved
        assert len(np.unique(moved)) > 0.7 * len(np.unique(labels))


@pytest.mark.parametrize("factor", [1, 2000])
def test_those_of_crops_are_those_of_the_moved_objects(tmp_path: Path, factor: int) -> None:
    write_dataset(tmp_path, 2, 96, 0)
    for path in (tmp_path / "masks").iterdir():
        tifffile.imwrite(path, tifffile.imread(path).astype(np.int32) * factor)
    settings = {"crop": (64, 64), "crops_per_epoch": 6, "foreground_share": 0.5, "seed": 0}
    pool, masks = load_pool(tmp_path)
    with_maps, without = (
        CropDataset(pool, masks, [0, 1], **settings, augmentation=PRESETS["strong"], distance_maps=wanted)
        for wanted in (True, False)
    )
    for index in range(6):
        item, other = with_maps[0, index], without[0, index]
        assert item["distance_map"].shape == (64, 64)
        assert ((item["distance_map"] > 0) == item["mask"].bool()).all()
        assert (item["distance_map"] == 1).any()
        assert all((item[name] == other[name]).all() for name in ("image", "mask"))
        assert "distance_map" not in other


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_no_known_distance_depends_on_what_lies_where_nobody_has_annotated(seed: int, numbered: bool) -> None:
    """Objects of any form, and any part of the image without annotation, filled in many ways."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((40, 48), np.uint16)
    for number in range(1, 9):
        y, x, radius = rng.integers(40), rng.integers(48), rng.integers(2, 10)
        rows, columns = np.ogrid[:40, :48]
        labels[((rows - y) ** 2 + (columns - x) ** 2 <= radius**2) & (labels == 0)] = number
    if numbered:  # each object in one piece
        pieces = [ndimage.label(labels == number)[0] for number in range(1, 9)]
        labels = sum((number * 20 + piece) * (piece > 0) for number, piece in enumerate(pieces, 1)).astype(np.uint16)
    ignored = np.zeros(labels.shape, np.bool_)
    for _ in range(3):
        y, x, height, width = rng.integers(40), rng.integers(48), rng.integers(1, 12), rng.integers(1, 12)
        ignored[y : y + height, x : x + width] = True
    found = make_distance_map(labels, numbered=numbered, ignored=ignored)
    known = found != UNKNOWN
    assert not (known & ignored).any()
    assert known[(labels == 0) & ~ignored].all()
    around = {int(value) for value in np.unique(labels[dilate(ignored)]) if value}  # what may go on there
    fillings = [labels, np.zeros_like(labels), np.full_like(labels, 99), *(np.full_like(labels, v) for v in around)]
    for filling in fillings:
        filled = np.where(ignored, filling, labels).astype(np.uint16)
        np.testing.assert_array_equal(make_distance_map(filled, numbered=numbered)[known], found[known])


def dilate(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0


def test_objects_far_from_what_nobody_has_annotated_keep_their_distances() -> None:
    labels = np.zeros((40, 40), np.uint16)
    labels[5:15, 5:15], labels[25:35, 25:35] = 1, 2
    ignored = np.zeros((40, 40), np.bool_)
    ignored[30, 35] = True
    found = make_distance_map(labels, ignored=ignored)
    np.testing.assert_array_equal(found[labels == 1], make_distance_map(labels)[labels == 1])
    assert (found[labels == 2] == UNKNOWN).all()


@pytest.mark.parametrize("spacing", [None, (1.0, 1.0, 1.0), (5.0, 1.0, 2.0)])
def test_those_of_volumes_are_exact_in_voxels_of_any_shape(spacing: tuple[float, ...] | None) -> None:
    rng = np.random.default_rng(0)
    labels = np.kron(rng.integers(0, 4, (2, 3, 3)), np.ones((4, 3, 4))).astype(np.uint16)  # boxes that touch
    found = make_distance_map(labels, spacing=spacing)
    places = np.argwhere(np.ones(labels.shape)) * np.array(spacing or (1, 1, 1))
    numbers = labels.ravel()
    apart = np.sqrt(((places[:, None] - places[None]) ** 2).sum(-1))
    apart[numbers[:, None] == numbers[None]] = np.inf
    distances = apart.min(axis=1)
    largest = {number: distances[numbers == number].max() for number in np.unique(numbers)}
    expected = [0 if number == 0 else d / largest[number] for number, d in zip(numbers, distances, strict=True)]
    assert found.ravel() == pytest.approx(expected, abs=1e-6)


def test_objects_of_a_volume_that_touch_what_is_ignored_have_no_values() -> None:
    labels = np.zeros((6, 8, 8), np.uint16)
    labels[1:3, 1:4, 1:4], labels[1:3, 5:7, 5:7] = 1, 2
    ignored = np.zeros(labels.shape, np.bool_)
    ignored[3:, 4, 4] = True  # touches the corner of 1 and of 2 only diagonally
    ignored[3:, 7, 7] = True
    found = make_distance_map(labels, ignored=ignored)
    assert (found[labels > 0] == -1).all()
    alone = make_distance_map(labels, ignored=np.zeros_like(ignored))
    assert alone.max() == 1
    assert (make_distance_map(np.ones((3, 3, 3), np.uint16)) == 1).all()  # one object fills the crop
