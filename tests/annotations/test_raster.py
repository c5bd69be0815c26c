"""Polygons to pixels, compared with shapely, which asks for each centre."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial import Delaunay

from unetkit.annotations import spans
from unetkit.annotations.objects import Part, Runs, bitmap_runs, ellipse
from unetkit.annotations.raster import Layer, Tally, paint
from unetkit.annotations.spans import Box

HEIGHT, WIDTH = 37, 53
WHOLE = Box(0, HEIGHT, 0, WIDTH)
CENTRES = shapely.points(*(np.mgrid[:HEIGHT, :WIDTH][::-1] + 0.5))


def layer(parts: list[Part], planes: list[int] | None = None) -> Layer:
    return Layer.of(parts, range(1, len(parts) + 1), planes or [-1] * len(parts))


def painted(one: Layer, box: Box = WHOLE, plane: int = 0, tally: Tally | None = None) -> NDArray[np.uint16]:
    canvas = np.zeros((box.bottom - box.top, box.right - box.left), np.uint16)
    paint(canvas, one, box, plane, tally)
    return canvas


def stars(seed: int, count: int, points: int = 9) -> list[Part]:
    """Return polygons that do not cross themselves, some of them partly outside of the image."""
    rng = np.random.default_rng(seed)
    parts: list[Part] = []
    for _ in range(count):
        angles = np.sort(rng.uniform(0, 2 * np.pi, points))
        radii, centre = rng.uniform(1, 20, points), rng.uniform((0, 0), (WIDTH, HEIGHT))
        star = centre + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        parts.append((star[:: rng.choice([-1, 1])],))
    return parts


def by_centres(parts: list[Part]) -> NDArray[np.uint16]:
    expected = np.zeros((HEIGHT, WIDTH), np.uint16)
    for number, (outer, *holes) in enumerate(parts, start=1):
        expected[shapely.contains(shapely.Polygon(outer, holes), CENTRES)] = number
    return expected


@given(st.integers(0, 2**32), st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_a_pixel_belongs_to_the_last_polygon_that_holds_its_centre(seed: int, count: int) -> None:
    parts = stars(seed, count)
    assert np.array_equal(painted(layer(parts)), by_centres(parts))


@given(st.integers(0, 2**32), st.sampled_from([1, 2, 4]))
@settings(max_examples=40, deadline=None)
def test_neighbours_share_no_pixel_and_leave_none_out(seed: int, parts_of_pixel: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.integers(0, (WIDTH * parts_of_pixel, HEIGHT * parts_of_pixel), (25, 2)) / parts_of_pixel
    points = np.unique(np.vstack([points, [(0, 0), (WIDTH, 0), (0, HEIGHT), (WIDTH, HEIGHT)]]), axis=0)
    triangles: list[Part] = [(points[corners][:: rng.choice([-1, 1])],) for corners in Delaunay(points).simplices]
    times = sum((painted(layer([one])) > 0).astype(int) for one in triangles)
    assert (times == 1).all()


@given(st.integers(0, 2**32), st.data())
@settings(max_examples=30, deadline=None)
def test_windows_and_bounds_of_memory_change_nothing(seed: int, data: st.DataObject) -> None:
    one = layer([*stars(seed, 6), bitmap_runs(painted(layer(stars(seed + 1, 3))) > 0, 0, 0), *stars(seed + 2, 3)])
    whole, tally = painted(one), Tally(one)
    top, left = data.draw(st.integers(0, HEIGHT)), data.draw(st.integers(0, WIDTH))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spans, "MOST_CROSSINGS", data.draw(st.integers(1, 40)))
        patch.setattr("unetkit.annotations.raster.MOST_POINTS", data.draw(st.integers(1, 60)))
        for box in (
            Box(0, top, 0, left),
            Box(0, top, left, WIDTH),
            Box(top, HEIGHT, 0, left),
            Box(top, HEIGHT, left, WIDTH),
        ):
            assert np.array_equal(painted(one, box, 0, tally), whole[box.top : box.bottom, box.left : box.right])
    together = Tally(one)
    painted(one, WHOLE, 0, together)
    assert np.array_equal(tally.pixels, together.pixels)


def test_holes_and_islands_in_them_are_even_and_odd() -> None:
    square = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], float)
    rings = (square * 30 + 2, (square * 20 + 7)[::-1], square * 10 + 12)
    found = painted(layer([rings]))
    assert found.sum() == 900 - 400 + 100
    assert found[3, 3] == 1
    assert found[8, 8] == 0
    assert found[15, 15] == 1


@pytest.mark.parametrize("shift", [0.0, 0.25, 0.5])
def test_a_closed_ring_is_the_same_as_an_open_one(shift: float) -> None:
    star = stars(3, 1)[0][0] + shift
    assert np.array_equal(painted(layer([(star,)])), painted(layer([(np.vstack([star, star[:1]]),)])))


def test_a_plane_shows_its_own_objects_and_those_of_all_planes() -> None:
    one = layer(stars(0, 3), [0, 1, -1])
    assert set(np.unique(painted(one, plane=0))) <= {0, 1, 3}
    assert set(np.unique(painted(one, plane=1))) <= {0, 2, 3}


def test_rings_that_cross_themselves_around_pixels_are_noticed() -> None:
    bow_tie = np.array([(2, 2), (30, 30), (30, 2), (2, 30)], float)
    twice = np.array([(5, 5), (30, 5), (30, 30), (10, 30), (10, 8), (25, 8), (25, 20), (5, 20)], float)
    parts: list[Part] = [(bow_tie,), *stars(1, 5), (twice,), (np.array([(2, 2), (9, 2), (9, 9)], float), bow_tie + 3)]
    one = layer(parts)
    tally = Tally(one)
    for top in range(0, HEIGHT, 5):  # the two halves of a bow tie lie in different boxes
        painted(one, Box(top, min(top + 5, HEIGHT), 0, WIDTH), 0, tally)
    assert tally.crossed.tolist() == [True, *[False] * 5, True, True]


def test_points_and_lines_cover_nothing() -> None:
    parts: list[Part] = [
        (np.zeros((0, 2)),),
        (np.ones((1, 2)),),
        (np.array([(1, 1), (9.0, 20)]),),
        (),
        (np.ones((5, 2)),),
        *(ellipse((5.5, 5.5), radii) for radii in ((0, 0), (3, 0), (0, 3))),
    ]
    one = layer(parts)
    tally = Tally(one)
    assert not painted(one, WHOLE, 0, tally).any()
    assert not tally.pixels.any()


@given(st.floats(-5, 60), st.floats(-5, 45), st.floats(0.1, 30), st.floats(0.1, 30))
@settings(max_examples=40, deadline=None)
def test_an_ellipse_covers_the_centres_inside_of_it(x: float, y: float, across: float, down: float) -> None:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    distance = ((columns - x) / across) ** 2 + ((rows - y) / down) ** 2
    sure = abs(distance - 1) > 1e-9
    found = painted(layer([ellipse((x, y), (across, down))])) > 0
    assert np.array_equal(found[sure], (distance < 1)[sure])


def test_pixels_become_runs_and_are_painted_back() -> None:
    pixels = np.random.default_rng(0).random((10, 20)) > 0.5
    runs = bitmap_runs(pixels, 4, -3)
    assert isinstance(runs, Runs)
    assert np.array_equal(painted(layer([runs]))[4:14, :17] > 0, pixels[:, 3:])
