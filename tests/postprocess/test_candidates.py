"""Trees of a few regions that are written down here."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from numpy.typing import NDArray

from unetkit.postprocess.candidates import FEATURES, Candidates, find_candidates
from unetkit.postprocess.measures import SUMS
from unetkit.postprocess.parts import LARGEST_DISTANCE, Edges


def tree(peaks: list[int], edges: list[tuple[int, int, int]]) -> Candidates:
    """Return the candidates of regions of 7 pixels, which begin one after the other."""
    count = len(peaks)
    columns = np.array(edges, np.int64).reshape(-1, 3).T
    sums = np.ones((count, len(SUMS)), np.int64)
    return find_candidates(np.array(peaks), np.arange(count), np.full(count, 7), sums, Edges(*columns))


def test_regions_join_over_the_highest_saddle_first() -> None:
    found = tree([100, 80, 90], [(0, 1, 50), (1, 2, 60), (0, 2, 10)])
    assert [sorted(pair) for pair in found.parts.tolist()] == [[1, 2], [0, 3]]
    assert found.sizes.tolist() == [7, 7, 7, 14, 21]
    assert found.sums[4].tolist() == [3] * len(SUMS)


def test_a_candidate_knows_its_peak_its_saddle_and_the_deepest_saddle_inside() -> None:
    heights = tree([100, 80, 90], [(0, 1, 50), (1, 2, 60)]).heights.tolist()
    assert heights[0] == [100, 50, 0, 100]
    assert heights[1] == [80, 60, 0, 80]
    assert heights[3] == [90, 50, 20, 80]
    assert heights[4] == [100, 0, 40, 90]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_numbers_of_regions_do_not_decide_between_saddles_of_one_height(order: tuple[int, int, int]) -> None:
    peaks, first = np.array([90, 100, 100]), np.array([5, 3, 4])
    place = np.argsort(order)
    edges = Edges(*(np.array(column) for column in ([place[0], place[0]], [place[1], place[2]], [50, 50])))
    rows = list(order)
    found = find_candidates(peaks[rows], first[rows], np.full(3, 7), np.ones((3, len(SUMS)), np.int64), edges)
    assert sorted(found.parts[0].tolist()) == sorted([place[0], place[1]])


def test_the_best_set_of_candidates_is_the_best_of_all_sets() -> None:
    found = tree([100, 80, 90, 70], [(0, 1, 60), (2, 3, 50), (1, 2, 40)])
    rng = np.random.default_rng(0)
    for _ in range(50):
        gains = rng.integers(-5, 10, len(found.sizes))
        chosen = found.best(gains)
        got = sum(max(int(gains[each]), 0) for each in np.unique(chosen))
        assert got == max(sum(max(int(gains[each]), 0) for each in cover) for cover in covers(found))


def covers(found: Candidates) -> list[list[int]]:
    """Return all sets of candidates of one tree that cover each region once."""

    def below(node: int) -> list[list[int]]:
        if node < found.regions:
            return [[node]]
        one, other = found.parts[node - found.regions].tolist()
        return [[node], *(left + right for left, right in product(below(one), below(other)))]

    return below(len(found.sizes) - 1)


def test_between_equal_gains_the_larger_candidate_is_chosen() -> None:
    found = tree([100, 80], [(0, 1, 60)])
    assert found.best(np.array([2, 3, 5])).tolist() == [2, 2]
    assert found.best(np.array([2, 4, 5])).tolist() == [0, 1]


def test_regions_that_do_not_touch_are_candidates_alone() -> None:
    found = tree([100, 80], [])
    assert found.best(np.array([-1, -1])).tolist() == [0, 1]
    assert found.features().shape == (2, len(FEATURES))


def test_features_are_finite_for_a_single_pixel() -> None:
    sums: NDArray[np.int64] = np.array([[255, LARGEST_DISTANCE, LARGEST_DISTANCE**2, 3, 4, 9, 16, 12]])
    none = np.zeros(0, np.int64)
    one = np.ones(1, np.int64)
    assert np.isfinite(find_candidates(one, one, one, sums, Edges(none, none, none)).features()).all()
