from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from skimage.metrics import adapted_rand_error, variation_of_information

from unetkit.scoring.instances import count_overlaps, sum_pairs
from unetkit.scoring.regions import (
    RegionCounts,
    count_regions,
    find_regions,
    thin_borders,
    v_info,
    v_rand,
    v_rand_merge,
    v_rand_split,
    voi_merge,
    voi_split,
)

Labels = NDArray[np.int32]


def cells(seed: int, count: int = 8, size: int = 48) -> NDArray[np.bool_]:
    """Return a mask (size, size) of regions with borders between them."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0, size, (count, 2))
    places = np.indices((size, size)).reshape(2, -1).T
    nearest = np.sort(np.linalg.norm(places[:, None] - centres, axis=2), axis=1)[:, :2]
    mask: NDArray[np.bool_] = (nearest[:, 1] - nearest[:, 0] > 3).reshape(size, size)
    return mask


def compare(predicted: Labels, true: Labels, *, alone: bool = True) -> RegionCounts:
    return count_regions(sum_pairs(count_overlaps(predicted, true)), alone=alone)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("alone", [True, False])
def test_scores_are_those_of_scikit_image(seed: int, alone: bool) -> None:
    true, predicted = find_regions(cells(seed)), find_regions(cells(seed, count=9))
    counts = compare(predicted, true, alone=alone)
    numbered = predicted.copy()
    if alone:  # scikit-image has no pixels that are regions of their own
        border = numbered == 0
        numbered[border] = numbered.max() + 1 + np.arange(border.sum())
    error, precision, recall = adapted_rand_error(true, numbered, ignore_labels=(0,))
    assert v_rand(counts) == pytest.approx(1 - error, rel=0.01)
    inside = true > 0
    own = inside.sum() / inside.sum() ** 2  # pairs of a pixel with itself, which scikit-image leaves out
    assert (counts.squares - own) / (counts.true_squares - own) == pytest.approx(precision)
    assert (counts.squares - own) / (counts.predicted_squares - own) == pytest.approx(recall)
    splits, mergers = variation_of_information(true[inside], numbered[inside])
    assert (voi_split(counts), voi_merge(counts)) == pytest.approx((splits, mergers))
    assert counts.pixels == inside.sum()
    entropy = [_entropy(each[inside]) for each in (numbered, true)]
    mutual = entropy[0] - splits
    assert v_info(counts) == pytest.approx(mutual / (0.5 * sum(entropy)))


def _entropy(labels: Labels) -> float:
    shares = np.unique(labels, return_counts=True)[1] / labels.size
    return float(-(shares * np.log2(shares)).sum())


def test_two_halves_that_are_merged_or_split() -> None:
    halves = np.repeat([[1] * 4 + [2] * 4], 4, axis=0).astype(np.int32)
    one = np.ones_like(halves)
    merged, split, same = compare(one, halves), compare(halves, one), compare(7 * halves, halves)
    assert (v_rand_merge(merged), v_rand_split(merged), v_rand(merged)) == pytest.approx((0.5, 1, 2 / 3))
    assert (v_rand_merge(split), v_rand_split(split), v_rand(split)) == pytest.approx((1, 0.5, 2 / 3))
    assert (voi_split(merged), voi_merge(merged), v_info(merged)) == pytest.approx((0, 1, 0))
    assert (voi_split(split), voi_merge(split), v_info(split)) == pytest.approx((1, 0, 0))
    assert (v_rand(same), v_info(same), voi_split(same), voi_merge(same)) == pytest.approx((1, 1, 0, 0))


def test_where_there_is_nothing_scores_are_best() -> None:
    nothing, one = np.zeros((4, 4), np.int32), np.ones((4, 4), np.int32)
    for counts in (compare(one, nothing), compare(one, one)):
        assert (v_rand(counts), v_info(counts)) == (1, 1)
    assert v_rand(compare(nothing, one)) < 0.2  # all pixels are alone


def test_what_lies_on_true_borders_does_not_count() -> None:
    true = find_regions(cells(3))
    predicted = find_regions(cells(3, count=9))
    other = predicted.copy()
    other[true == 0] = 1
    assert compare(predicted, true) == compare(other, true)


def test_regions_of_a_mask_are_connected_by_sides_and_those_of_labels_are_their_numbers() -> None:
    mask = np.array([[255, 0, 255], [255, 0, 0], [0, 255, 255]], np.uint8)
    assert len(np.unique(find_regions(mask))) - 1 == 3
    assert len(np.unique(find_regions(mask, inside=False))) - 1 == 2
    labels = np.array([[5, 5, 9], [0, 0, 9], [5, 0, 0]], np.uint16)
    assert np.array_equal(find_regions(labels), labels)


@pytest.mark.parametrize("seed", [0, 1])
def test_borders_are_thinned_to_one_pixel_and_regions_stay_apart(seed: int) -> None:
    regions = find_regions(cells(seed))
    thin = thin_borders(regions)
    assert np.array_equal(thin[regions > 0], regions[regions > 0])
    assert set(np.unique(thin)) - {0} == set(np.unique(regions)) - {0}
    assert (thin == 0).sum() < (regions == 0).sum() / 2
    assert not ndimage.binary_erosion(thin == 0, np.ones((2, 2))).sum() > 3  # hardly any square of border
    for step, axis in ((1, 0), (1, 1)):
        one, other = thin.take(range(len(thin) - step), axis), thin.take(range(step, len(thin)), axis)
        assert not ((one != other) & (one > 0) & (other > 0)).any()


def test_the_width_of_borders_hardly_matters() -> None:
    true = find_regions(cells(5))
    mask = cells(5)
    scores = [
        v_rand(compare(thin_borders(find_regions(wide)), true))
        for wide in (mask, ndimage.binary_erosion(mask, iterations=2))
    ]
    assert scores == pytest.approx([1, 1], abs=0.03)
    assert v_rand(compare(find_regions(ndimage.binary_erosion(mask, iterations=2)), true)) < 0.8


def test_no_region_at_all_stays_none() -> None:
    assert not thin_borders(np.zeros((5, 5), np.int32)).any()
