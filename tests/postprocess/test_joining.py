"""Groups whose first pixels, peaks and saddles are written down here."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray

from unetkit.postprocess.joining import Groups, join_groups
from unetkit.postprocess.measures import no_sums
from unetkit.postprocess.method import Method
from unetkit.postprocess.parts import LARGEST_DISTANCE, Edges
from unetkit.postprocess.split_by_distance import BY_DISTANCE

METHOD = Method(BY_DISTANCE.find, 0, saddle=0.9)


def join(
    groups: list[tuple[int, int]], edges: list[tuple[int, int, int]], outward: list[int]
) -> tuple[Groups, NDArray[np.int64], Edges]:
    """Join groups of (first pixel, peak), each of 7 pixels."""
    first, peaks = np.array(groups, np.int64).reshape(-1, 2).T
    columns = np.array(edges, np.int64).reshape(-1, 3).T
    sizes = np.full(len(first), 7)
    regions = Groups(first, peaks, sizes, no_sums(len(first)), np.zeros(len(first), np.int64))
    return join_groups(regions, Edges(*columns), np.array(outward, int), METHOD)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_low_region_between_two_of_one_height_joins_the_one_that_begins_first(order: tuple[int, int, int]) -> None:
    regions = [(10, 1000), (20, 500), (30, 1000)]
    place = [order.index(number) for number in range(3)]
    edges = [(place[0], place[1], 480), (place[2], place[1], 480)]
    groups, members, _ = join([regions[number] for number in order], edges, [])
    assert groups.first.tolist() == [10, 30]
    assert groups.sizes.tolist() == [14, 7]
    assert [members[at] for at in place] == [0, 0, 1]


def test_a_low_region_joins_over_the_higher_of_two_saddles() -> None:
    groups, members, _ = join([(10, 1000), (20, 500), (30, 900)], [(0, 1, 480), (1, 2, 481)], [])
    assert members.tolist() == [0, 1, 1]
    assert groups.peaks.tolist() == [1000, 900]


def test_a_region_that_something_beyond_touches_leaves_its_whole_cluster_open() -> None:
    """It may be a part of a higher one, and then it does not join what it would join alone."""
    regions, edges = [(10, 500), (20, 480), (30, 700)], [(0, 1, 470), (1, 2, 460)]
    assert join(regions, edges, [])[1].tolist() == [0, 0, 0]
    groups, members, left = join(regions, edges, [2, 2])
    assert members.tolist() == [0, 1, 2]
    assert [*zip(left.first, left.second, left.saddle, strict=True)] == edges
    assert len(groups) == 3


def test_an_edge_that_is_too_low_for_both_regions_ends_a_cluster() -> None:
    groups, members, left = join([(10, 500), (20, 480), (30, 700)], [(0, 1, 470), (1, 2, 400)], [2])
    assert members.tolist() == [0, 0, 1]
    assert len(left.first) == 0
    assert groups.peaks.tolist() == [500, 700]


def test_groups_that_touch_at_the_largest_distance_are_one_whatever_touches_them() -> None:
    groups, members, left = join([(30, 9), (20, 500), (10, 60)], [(0, 1, LARGEST_DISTANCE), (0, 2, 8)], [0])
    assert members.tolist() == [1, 1, 0]
    assert len(left.first) == 0
    assert (groups.first.tolist(), groups.peaks.tolist()) == ([10, 20], [60, 500])


def test_of_several_saddles_between_two_regions_the_highest_counts() -> None:
    _, members, left = join([(10, 500), (20, 480)], [(0, 1, 440), (1, 0, 470), (0, 1, 433)], [0])
    assert members.tolist() == [0, 1]
    assert [*zip(left.first, left.second, left.saddle, strict=True)] == [(0, 1, 470)]


def test_no_groups_are_none() -> None:
    groups, members, left = join([], [], [])
    assert len(groups) == len(members) == len(left.first) == 0
