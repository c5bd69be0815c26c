from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from unetkit.drawing.cuts import GAP, MOST_PIXELS, plan_cuts


def test_the_three_planes_through_a_point_lie_side_by_side() -> None:
    volume = np.arange(3 * 4 * 5).reshape(3, 4, 5)
    inside = np.zeros((3, 4, 5), bool)
    inside[2, 1, 3] = True
    laid = plan_cuts(volume.shape, inside).of(volume, between=-1)
    assert laid.shape == (4 + GAP + 3, 5 + GAP + 3)
    assert np.array_equal(laid[:4, :5], volume[2])
    assert np.array_equal(laid[:4, 5 + GAP :], volume[:, :, 3].T)
    assert np.array_equal(laid[4 + GAP :, :5], volume[:, 1])
    assert (laid[4:, 5:] == -1).all()
    assert (laid[4 : 4 + GAP] == -1).all()


def test_the_cuts_go_through_the_foreground_even_where_its_middle_is_empty() -> None:
    ring = np.zeros((9, 9, 9), bool)
    ring[4, 1:8, 1:8] = True
    ring[4, 2:7, 2:7] = False
    assert ring[plan_cuts(ring.shape, ring).point]
    assert plan_cuts(ring.shape, np.zeros_like(ring)).point == (4, 4, 4)


def test_a_speck_in_a_large_volume_is_found() -> None:
    speck = np.zeros((40, 301, 301), bool)
    speck[33, 7, 295] = True
    assert plan_cuts(speck.shape, speck).point == (33, 7, 295)


def test_thick_planes_are_drawn_as_thick_as_they_are() -> None:
    cuts = plan_cuts((3, 8, 8), voxel=(2.0, 0.5, 0.5))
    assert [len(along) for along in cuts.places] == [12, 8, 8]
    assert cuts.places[0].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert cuts.of(np.zeros((2, 3, 8, 8))).shape == (2, 8 + GAP + 12, 8 + GAP + 12)


@given(
    st.tuples(*[st.integers(1, 3000)] * 3),
    st.none() | st.tuples(*[st.floats(0.01, 10)] * 3),
)
def test_cuts_of_any_volume_stay_small(size: tuple[int, ...], voxel: tuple[float, ...] | None) -> None:
    deep, high, wide = (len(along) for along in plan_cuts(size, voxel=voxel).places)
    assert max(high, wide) + deep <= MOST_PIXELS + 2
    for along, length in zip(plan_cuts(size, voxel=voxel).places, size, strict=True):
        assert along[0] >= 0
        assert along[-1] < length
