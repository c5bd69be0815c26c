"""Outlines: the very same pixels again, whatever the object, and polygons that others take for valid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from outlining import fill, objects_of, outlined, polygons_of
from skimage.io import imread
from skimage.measure import euler_number, label

import unetkit.objects.outlines as module
from unetkit.foundation.errors import DataError
from unetkit.objects.outlines import portions, trace_outlines

MASKS = sorted((Path(__file__).parents[2].parent / "shared/data/nuclei/train/masks").glob("*.tif"))

label_images = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 2))


def check(labels: NDArray[Any]) -> None:
    """Check all that outlines promise, against shapely and skimage."""
    polygons = outlined(labels)
    assert sorted(polygons) == sorted(set(np.unique(labels).tolist()) - {0})
    np.testing.assert_array_equal(fill(polygons, labels.shape), labels)
    for number, polygon in polygons.items():
        assert shapely.is_valid(polygon), shapely.is_valid_reason(polygon)
        mask = labels == number
        assert polygon.area == mask.sum()
        pieces = list(polygon.geoms)
        connected = label(mask, connectivity=1)
        assert len(pieces) == connected.max()
        holes = sorted(1 - euler_number(connected == one, connectivity=2) for one in range(1, len(pieces) + 1))
        assert sorted(len(piece.interiors) for piece in pieces) == holes
        for piece in pieces:
            assert piece.exterior.is_ccw
            assert not any(hole.is_ccw for hole in piece.interiors)
            for ring in (piece.exterior, *piece.interiors):
                check_corners(np.asarray(ring.coords))


def check_corners(points: NDArray[Any]) -> None:
    """Check that a ring is closed, runs along the grid, and turns at each of its corners."""
    np.testing.assert_array_equal(points[0], points[-1])
    steps = np.diff(points, axis=0) != 0
    assert (steps.sum(axis=1) == 1).all()
    assert (steps[1:, 0] != steps[:-1, 0]).all()
    assert steps[0, 0] != steps[-1, 0]


@settings(max_examples=400, deadline=None)
@given(label_images)
def test_outlines_hold_the_very_same_pixels_in_valid_polygons(labels: NDArray[np.uint8]) -> None:
    check(labels)


@pytest.mark.skipif(not MASKS, reason="the masks of shared/data/nuclei are not here")
def test_outlines_of_real_masks_hold_the_very_same_pixels() -> None:
    for path in MASKS[::48]:
        check(imread(path))


@pytest.mark.parametrize(
    ("rows", "pieces", "holes"),
    [
        (["##", "##"], 1, 0),
        (["#.", ".#"], 2, 0),  # they touch in a point
        (["###", "#.#", "###"], 1, 1),
        (["##.", "#.#", "###"], 1, 1),  # the hole meets the outer ring in a point
        (["####", "#.##", "##.#", "####"], 1, 2),  # two holes meet in a point
        (["#####", "#...#", "#.#.#", "#...#", "#####"], 2, 1),  # a piece in the hole of another
        (["#.###", "..#.#", "#.###"], 3, 1),
    ],
)
def test_pieces_and_holes_are_told_apart(rows: list[str], pieces: int, holes: int) -> None:
    labels = np.array([[pixel == "#" for pixel in row] for row in rows]).astype(np.uint8)
    check(labels)
    found = list(outlined(labels)[1].geoms)
    assert (len(found), sum(len(piece.interiors) for piece in found)) == (pieces, holes)


def test_a_square_is_four_corners_and_the_first_again() -> None:
    labels = np.zeros((9, 9), np.uint8)
    labels[2:5, 3:8] = 1
    objects = objects_of(labels)
    assert objects is not None
    assert trace_outlines(objects).points.tolist() == [[3, 5], [3, 2], [8, 2], [8, 5], [3, 5]]


def test_portions_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.random.default_rng(0).integers(0, 40, (60, 50))
    whole = outlined(labels)
    monkeypatch.setattr(module, "PORTION_RUNS", 100)
    objects = objects_of(labels)
    assert objects is not None
    assert len(list(portions(objects))) > 10
    assert outlined(labels) == whole


def test_a_mask_of_a_whole_slide_is_no_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_RUNS", 100)
    objects = objects_of(np.eye(101, dtype=np.uint8) * 255)
    assert objects is not None
    with pytest.raises(DataError, match=r"outline of object 255 is too long .* --connected"):
        list(portions(objects))
    assert len(outlined(np.eye(100, dtype=np.uint8))[1].geoms) == 100


def test_places_far_away_are_told_apart() -> None:
    near = np.array([[1, 1, 0, 2], [0, 1, 2, 2]])
    objects = objects_of(near)
    assert objects is not None
    far = np.int32(2**31 - 10)
    runs = module.Runs(
        objects.runs.labels, objects.runs.rows + far, objects.runs.starts + far, objects.runs.stops + far
    )
    parts = [part for _, part in portions(module.Objects(0, objects.labels, objects.first, runs))]
    assert len(parts) == 2
    found = [polygon for part in parts for polygon in polygons_of(trace_outlines(part))]
    moved = shapely.transform(found, lambda points: points - far)
    assert moved.tolist() == list(outlined(near).values())


def test_an_object_of_a_million_corners_is_traced() -> None:
    comb = np.zeros((2, 500_000), np.uint8)
    comb[0] = 1
    comb[1, ::2] = 1
    objects = objects_of(comb)
    assert objects is not None
    outlines = trace_outlines(objects)
    assert len(outlines.points) == 1_000_003
    assert len(outlines.rings) == 2
