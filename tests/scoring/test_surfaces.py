from __future__ import annotations

import warnings
from math import inf

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from unetkit.scoring.surfaces import (
    Surface,
    SurfaceCounts,
    average_distance,
    compare_surfaces,
    element_areas,
    hd95,
    surface_dice,
)

SIDES = (2.0, 0.8, 0.7)


def surface_of(mask: NDArray[np.bool_], rows: int = 5, ignored: NDArray[np.bool_] | None = None) -> Surface:
    """Return the surface of a mask (z, y, x) that comes in bands of `rows` rows."""
    depth, height, _ = mask.shape
    surface = Surface(mask.shape)
    room = ((0, 1), (1, 1), (0, 0))
    wide = np.pad(mask, room)
    hidden = None if ignored is None else np.pad(ignored, room)
    for top in range(0, height + 1, rows):
        band = slice(top, min(top + rows, height + 1) + 1)
        for z in range(depth + 1):
            surface.add(z, top, wide[z, band], None if hidden is None else hidden[z, band])
    return surface


def compare(predicted: NDArray[np.bool_], true: NDArray[np.bool_], tolerance: float, rows: int = 5) -> SurfaceCounts:
    return compare_surfaces(surface_of(predicted, rows), surface_of(true, rows), SIDES, tolerance)


def blobs(seed: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return two masks that agree in part, away from the border."""
    rng = np.random.default_rng(seed)
    field, noise = (ndimage.gaussian_filter(rng.standard_normal((12, 18, 17)), 2) for _ in range(2))
    return np.pad(field > 0.02, 2), np.pad(field + 0.5 * noise > 0.02, 2)


def cube(start: tuple[int, int, int], side: tuple[int, int, int]) -> NDArray[np.bool_]:
    mask = np.zeros((20, 24, 24), bool)
    mask[tuple(slice(first, first + length) for first, length in zip(start, side, strict=True))] = True
    return mask


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_all_numbers_are_those_of_the_library_of_the_definition(seed: int) -> None:
    library = pytest.importorskip("surface_distance")
    predicted, true = blobs(seed)
    ours = compare(predicted, true, tolerance=0.9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        theirs = library.compute_surface_distances(true, predicted, SIDES)
    assert surface_dice(ours) == pytest.approx(library.compute_surface_dice_at_tolerance(theirs, 0.9), abs=1e-9)
    assert hd95(ours) == pytest.approx(library.compute_robust_hausdorff(theirs, 95), abs=1e-9)
    areas = [theirs[f"surfel_areas_{side}"] for side in ("gt", "pred")]
    away = [theirs[f"distances_{side}"] for side in ("gt_to_pred", "pred_to_gt")]
    assert [ours.true_area, ours.predicted_area] == pytest.approx([area.sum() for area in areas])
    mean = sum((area * one).sum() for area, one in zip(areas, away, strict=True)) / sum(map(np.sum, areas))
    assert average_distance(ours) == pytest.approx(mean)


def test_a_cube_has_the_area_of_its_faces_but_for_its_edges() -> None:
    counts = compare(cube((2, 2, 2), (12, 16, 18)), cube((2, 2, 2), (12, 16, 18)), 0)
    z, y, x = np.multiply((12, 16, 18), SIDES)
    assert counts.true_area == pytest.approx(2 * (z * y + z * x + y * x), rel=0.05)
    assert counts.true_area < 2 * (z * y + z * x + y * x)  # marching cubes cuts the corners
    assert (surface_dice(counts), hd95(counts), average_distance(counts)) == (1, 0, 0)


@pytest.mark.parametrize(("axis", "steps"), [(0, 1), (0, 2), (1, 3), (2, 2)])
def test_a_shifted_cube_is_as_far_as_it_was_shifted(axis: int, steps: int) -> None:
    start = [4, 4, 4]
    start[axis] += steps
    moved = cube((start[0], start[1], start[2]), (8, 10, 12))
    shift = steps * SIDES[axis]
    counts = compare(moved, cube((4, 4, 4), (8, 10, 12)), tolerance=shift)
    assert hd95(counts) == pytest.approx(shift)
    assert surface_dice(counts) == 1
    assert 0 < average_distance(counts) < shift
    assert surface_dice(compare(moved, cube((4, 4, 4), (8, 10, 12)), tolerance=0.99 * shift)) < 0.9


def test_where_one_side_is_empty_distances_are_infinite() -> None:
    nothing, something = np.zeros((20, 24, 24), bool), cube((4, 4, 4), (8, 8, 8))
    for counts in (compare(nothing, something, 1.0), compare(something, nothing, 1.0)):
        assert (surface_dice(counts), hd95(counts), average_distance(counts)) == (0, inf, inf)
    both = compare(nothing, nothing, 1.0)
    assert (surface_dice(both), hd95(both), average_distance(both)) == (1, 0, 0)


def test_bands_change_nothing() -> None:
    predicted, true = blobs(4)
    whole = compare(predicted, true, 0.9, rows=100)
    for rows in (1, 3, 22):
        assert compare(predicted, true, 0.9, rows) == whole


def test_the_end_of_the_volume_closes_an_object() -> None:
    full = np.ones((4, 5, 6), bool)
    inner = np.pad(full, 1)
    assert compare(full, full, 0).true_area == pytest.approx(compare(inner, inner, 0).true_area)


def test_elements_at_what_is_not_annotated_are_not_counted_but_are_near() -> None:
    true, predicted = cube((4, 4, 4), (8, 10, 12)), cube((4, 4, 4), (8, 10, 8))
    ignored = np.zeros_like(true)
    ignored[:, :, 12:] = True
    counts = compare_surfaces(
        surface_of(predicted & ~ignored, ignored=ignored), surface_of(true & ~ignored, ignored=ignored), SIDES, 0.0
    )
    assert surface_dice(counts) == 1
    assert counts.true_area < compare(predicted, true, 0).true_area
    assert average_distance(counts) == 0


def test_areas_are_those_of_known_pieces() -> None:
    areas = element_areas((3.0, 2.0, 1.0))
    assert areas[0] == areas[255] == 0
    assert areas[0b00001111] == pytest.approx(2 * 1)  # a face across Z
    assert areas[0b01010101] == pytest.approx(3 * 2)  # a face across X
    corner = np.linalg.norm(np.cross((-1.5, 1, 0), (-1.5, 0, 0.5))) / 2
    assert areas[0b00000001] == pytest.approx(corner)
    assert np.array_equal(areas, areas[::-1])


def test_pooled_surfaces_have_no_percentile() -> None:
    counts = compare(cube((4, 4, 4), (8, 8, 8)), cube((4, 4, 5), (8, 8, 8)), 0.5)
    pooled = counts + counts
    assert hd95(pooled) is None
    assert surface_dice(pooled) == pytest.approx(surface_dice(counts))
    assert average_distance(pooled) == pytest.approx(average_distance(counts))
