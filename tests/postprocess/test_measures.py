"""Sums of groups against the pixels themselves."""

from __future__ import annotations

import numpy as np
import pytest

from unetkit.postprocess.measures import SUMS, looks, measure_groups, moved
from unetkit.postprocess.parts import LARGEST_DISTANCE


def test_sums_are_those_of_the_pixels_wherever_the_tile_begins() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 3, (9, 12)).astype(np.int32)
    probabilities = rng.integers(1, 256, groups.shape).astype(np.uint8)
    distances = rng.integers(1, LARGEST_DISTANCE, groups.shape).astype(np.int32)
    sizes = np.bincount(groups.ravel())[1:]
    found = moved(measure_groups(groups, probabilities, distances, 2), sizes, (1000, 70000))
    for group in (1, 2):
        y, x = np.nonzero(groups == group)
        values = (probabilities[y, x].astype(int), distances[y, x].astype(int))
        y, x = y + 1000, x + 70000
        terms = (values[0], values[1], values[1] ** 2, y, x, y * y, x * x, y * x)
        assert found[group - 1].tolist() == [int(term.sum()) for term in terms]


def shape_of(mask: np.ndarray[tuple[int, int], np.dtype[np.bool_]], by: tuple[int, int] = (0, 0)) -> list[float]:
    """Return the share of its ellipse and the elongation of an object, as logarithms."""
    groups, ones = mask.astype(np.int32), np.ones(mask.shape, np.uint8)
    sizes = np.array([mask.sum()])
    return looks(moved(measure_groups(groups, ones, groups, 1), sizes, by), sizes)[0, 4:].tolist()


def test_a_disc_fills_its_ellipse_and_two_discs_do_not() -> None:
    y, x = np.mgrid[:60, :60]
    disc = np.hypot(y - 30, x - 15) < 12
    two = disc | (np.hypot(y - 30, x - 42) < 12)
    assert shape_of(disc) == pytest.approx([0, 0], abs=0.01)
    share, elongation = shape_of(two)
    assert share < -0.2
    assert elongation > 0.3


def test_a_shape_far_from_the_origin_is_the_same() -> None:
    y, x = np.mgrid[:30, :30]
    oval = np.hypot((y - 15) / 2, x - 15) < 6
    assert shape_of(oval, (200_000, 300_000)) == pytest.approx(shape_of(oval), abs=1e-3)


def test_each_sum_has_a_column() -> None:
    one = np.ones((1, 1), np.int32)
    assert measure_groups(one, one.astype(np.uint8), one, 1).shape == (1, len(SUMS))
