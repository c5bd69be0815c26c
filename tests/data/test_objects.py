from __future__ import annotations

import numpy as np
import pytest

from unetkit.data.objects import (
    FEWEST_OBJECTS,
    describe_plain,
    find_parts,
    find_smallest,
    may_be_one_object,
    measure_objects,
    number_apart,
    number_objects,
    numbers_objects,
    to_objects,
)
from unetkit.foundation.synthetic import make_cells


def test_labels_are_kept_apart_whatever_their_size() -> None:
    large = np.array([[-3, 0, 70000], [2**31 - 1, 5, 70000]], np.int32)
    assert to_objects(large).tolist() == [[0, 0, 2], [3, 1, 2]]
    assert to_objects(large[:, 2:]).tolist() == [[1], [1]]
    assert to_objects(np.array([[65535, 0, 3]], np.uint16)).tolist() == [[65535, 0, 3]]
    assert to_objects(large).dtype == np.uint16


def test_masks_that_number_their_objects_are_told_from_those_that_do_not() -> None:
    labels = make_cells(128, 128, 0)[1]
    one_cell = np.where(labels == labels.max(), 1, 0)
    assert find_parts(labels)[0] > 1
    assert numbers_objects(labels) is True
    assert numbers_objects((labels > 0) * np.uint8(255)) is False
    assert numbers_objects(one_cell) is None
    assert numbers_objects(labels * 0) is None


def test_masks_that_do_not_number_their_objects_are_named_among_others() -> None:
    assert describe_plain({"a": True, "b": None}) == ""
    assert describe_plain({"a": False, "b": False, "c": None}).startswith("The masks do not number their objects: ")
    assert describe_plain({"a": True, "b": False}).startswith("1 of 2 masks, such as that of b, do not number their")
    assert may_be_one_object(7, 2)
    assert not may_be_one_object(255, 2)
    assert not may_be_one_object(1, 3)


def squares(*sides: int) -> np.ndarray:
    """A mask of squares that do not touch, numbered from 3."""
    mask = np.zeros((max(sides) + 2, sum(sides) + 2 * len(sides)), np.uint16)
    left = 1
    for number, side in enumerate(sides, 3):
        mask[1 : 1 + side, left : left + side] = number
        left += side + 1
    return mask


@pytest.mark.parametrize("kind", [np.uint16, np.int32])
def test_an_object_has_the_pixels_of_its_number_or_of_its_part(kind: type) -> None:
    mask = squares(4, 2, 9).astype(kind)
    assert sorted(measure_objects(mask)) == [4, 16, 81]
    assert sorted(measure_objects((mask > 0).astype(kind) * 255)) == [4, 16, 81]
    mask[mask == 4] = 3  # an object in two pieces
    assert sorted(measure_objects(mask)) == [20, 81]
    assert not measure_objects(mask * 0).size


def test_what_is_too_small_has_less_than_half_of_what_almost_all_objects_have() -> None:
    sizes = np.arange(100, 1100)
    smallest = find_smallest(np.random.default_rng(0).permutation(sizes))
    assert smallest.pixels == np.sort(sizes)[49] // 2
    assert (smallest.objects, smallest.smaller) == (1000, 0)


@pytest.mark.parametrize("count", [99, 100, 101, 1000])
def test_where_small_objects_lie_beside_large_ones_at_most_1_in_100_is_smaller(count: int) -> None:
    small = count * 3 // 100
    sizes = np.concatenate([np.arange(10, 10 + small), np.full(count - small, 5000)])
    smallest = find_smallest(sizes)
    assert smallest.smaller == (sizes < smallest.pixels).sum() <= count / 100
    assert 10 <= smallest.pixels < 10 + small


def test_few_objects_tell_nothing() -> None:
    assert find_smallest(np.full(FEWEST_OBJECTS, 50)).pixels == 25
    assert find_smallest(np.full(FEWEST_OBJECTS - 1, 50)).pixels == 0
    assert find_smallest(np.zeros(0, np.int64)).pixels == 0


def test_objects_are_labels_that_differ_or_else_what_is_connected() -> None:
    instances = np.array([[7, 7, 0, 9], [0, 0, 0, 7]])
    assert number_apart(instances, 2).tolist() == [[1, 1, 0, 2], [0, 0, 0, 1]]
    mask = np.array([[255, 255, 0, 255], [0, 0, 255, 0]], np.uint8)
    numbers = number_apart(mask, 2)
    assert len(np.unique(numbers)) == 4
    assert (numbers > 0).tolist() == (mask > 0).tolist()
    classes = np.array([[1, 2, 0, 1]], np.uint8)
    assert number_apart(classes, 3).tolist() == [[1, 3, 0, 2]]
    assert number_apart(np.ones((2, 2), np.uint8), 2).tolist() == [[1, 1], [1, 1]]
    assert number_apart(np.array([[3, 4]]), 2).tolist() == [[1, 2]]


def test_the_numbers_of_objects_are_their_own_or_those_of_the_parts() -> None:
    mask = squares(4, 2)
    mask[mask == 4] = 3
    assert np.array_equal(number_objects(mask, numbered=True), mask)
    assert np.array_equal(np.unique(number_objects(mask, numbered=False)), [0, 1, 2])


def test_parts_touch_at_an_edge_or_else_at_a_corner_too() -> None:
    labels = np.array([[5, 5, 2, 0, 5], [0, 0, 0, 5, 0]])
    assert find_parts(labels)[1].tolist() == [[1, 1, 1, 0, 1], [0, 0, 0, 1, 0]]
    assert find_parts(labels, corners=False)[0] == 3
