from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from unetkit.foundation.errors import DataError
from unetkit.foundation.synthetic import make_cells
from unetkit.scoring.instances import (
    THRESHOLDS,
    InstanceCounts,
    count_overlaps,
    match_instances,
    match_overlaps,
)
from unetkit.scoring.table import instance_scores, mean_instance_scores

SEEDS = st.integers(0, 2**32 - 1)


def row(*values: int) -> NDArray[np.int64]:
    return np.array([values])


def few_labels(seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Two small images of at most four labels, so that ties and thresholds are met."""
    rng = np.random.default_rng(seed)
    shape, most = rng.integers(2, 5, 2), rng.integers(1, 5)
    truth = rng.integers(0, most + 1, shape)
    predicted = np.where(rng.random(shape) < rng.choice([0.2, 0.5, 1]), rng.integers(0, most + 1, shape), truth)
    return predicted.astype(np.uint16), truth.astype(np.uint16)


def all_ious(predicted: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.float64]:
    """The IoU of every predicted with every true object, one after another."""
    found = [[value for value in np.unique(labels) if value] for labels in (predicted, truth)]
    ious = np.zeros([len(values) for values in found])
    for i, one in enumerate(found[0]):
        for j, other in enumerate(found[1]):
            mask, true_mask = predicted == one, truth == other
            ious[i, j] = (mask & true_mask).sum() / (mask | true_mask).sum()
    return ious


def match_slowly(predicted: NDArray[Any], truth: NDArray[Any]) -> InstanceCounts:
    """The definition: at each threshold, the assignment of all objects to all that has the most matches."""
    ious = all_ious(predicted, truth)
    matches = [
        int((ious >= least)[linear_sum_assignment(-(ious >= least).astype(float))].sum()) for least in THRESHOLDS
    ]
    above = ious[ious > 0.5]
    return InstanceCounts(*ious.shape, tuple(matches), above.size, float(above.sum()))


def disturb(labels: NDArray[Any], seed: int) -> NDArray[Any]:
    """Shift, trim, split, merge and drop objects, and number them anew with gaps."""
    rng = np.random.default_rng(seed)
    result = np.zeros_like(labels)
    for label in np.unique(labels)[1:]:
        mask = labels == label
        kind = rng.integers(6)
        if kind == 0:
            continue
        if kind == 1:
            mask = np.roll(mask, rng.integers(1, 4), axis=rng.integers(2))
        elif kind == 2:
            mask &= np.roll(mask, 2, axis=0)
        result[mask] = 3 * label + 1
        if kind == 3:
            left = np.argwhere(mask)[:, 1] < np.median(np.argwhere(mask)[:, 1])
            result[tuple(np.argwhere(mask)[left].T)] = 3 * label + 2
        elif kind == 4:
            result[mask] = 2
    return result


def assert_same(counts: InstanceCounts, expected: InstanceCounts) -> None:
    assert (counts.predicted, counts.true, counts.matches) == (expected.predicted, expected.true, expected.matches)
    assert counts.majority_matches == expected.majority_matches
    assert counts.majority_iou == pytest.approx(expected.majority_iou, abs=1e-9)


@given(seed=SEEDS)
def test_matches_are_those_of_an_assignment_of_all_to_all(seed: int) -> None:
    predicted, truth = few_labels(seed)
    assert_same(match_instances(predicted, truth), match_slowly(predicted, truth))


@pytest.mark.parametrize("seed", range(3))
def test_disturbed_cells_are_matched_as_by_the_definition(seed: int) -> None:
    truth = make_cells(160, 200, seed=seed)[1]
    predicted = disturb(truth, seed)
    counts = match_instances(predicted, truth)
    assert 0 < counts.matches[-1] < counts.matches[0] < counts.true
    assert_same(counts, match_slowly(predicted, truth))


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_stardist(seed: int) -> None:
    stardist = pytest.importorskip("stardist.matching", exc_type=ImportError)
    truths = [make_cells(160, 200, seed=seed + i)[1].astype(np.int32) for i in range(3)]
    predictions = [disturb(truth, seed) for truth in truths]
    each = [match_instances(*pair) for pair in zip(predictions, truths, strict=True)]
    pooled = instance_scores(sum(each, InstanceCounts()))
    mean = mean_instance_scores([instance_scores(counts) for counts in each])
    for by_image, scores in ((False, pooled), (True, mean)):
        settings = {"by_image": by_image, "show_progress": False}
        theirs = stardist.matching_dataset(truths, predictions, THRESHOLDS, **settings)
        assert scores.ap == pytest.approx([one.accuracy for one in theirs])
        first, above = theirs[0], stardist.matching_dataset(truths, predictions, 0.50001, **settings)
        assert (scores.f1, scores.precision, scores.recall) == pytest.approx((first.f1, first.precision, first.recall))
        assert scores.pq == pytest.approx(above.panoptic_quality, abs=1e-6)  # at 0.5 they count pairs of exactly 0.5


# By hand


def test_a_perfect_prediction_scores_one_whatever_its_numbers() -> None:
    scores = instance_scores(match_instances(row(9, 9, 0, 3, 70000), row(1, 1, 0, 2, 4)))
    assert set(scores.values()) == {1.0}


def test_scores_of_a_case_worked_out_by_hand() -> None:
    truth = row(*[1] * 10, *[2] * 10, *[3] * 10, 0, 0)
    predicted = row(*[5] * 9, 0, *[6] * 6, *[0] * 4, *[0] * 10, 7, 7)  # IoUs 0.9 and 0.6, one missed, one too many
    counts = match_instances(predicted, truth)
    assert counts == InstanceCounts(3, 3, (2, 2, 2, 1, 1, 1, 1, 1, 1, 0), 2, 1.5)
    scores = instance_scores(counts)
    assert scores.ap == (0.5, 0.5, 0.5, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0)
    assert scores.mean_ap == pytest.approx(0.27)
    assert (scores.f1, scores.precision, scores.recall) == (2 / 3, 2 / 3, 2 / 3)
    assert (scores.sq, scores.rq, scores.pq) == (0.75, 2 / 3, 0.5)


def test_two_halves_are_one_match_and_no_panoptic_one() -> None:
    split = match_instances(row(1, 1, 2, 2), row(1, 1, 1, 1))
    merged = match_instances(row(1, 1, 1, 1), row(1, 1, 2, 2))
    assert split == InstanceCounts(2, 1, (1, *[0] * 9), 0, 0.0)
    assert merged == InstanceCounts(1, 2, (1, *[0] * 9), 0, 0.0)
    both = match_instances(row(1, 1, 2, 2, 3, 3, 3, 3), row(1, 1, 1, 1, 2, 2, 3, 3))
    assert both.matches[0] == 2
    assert instance_scores(split).pq == 0


def test_an_iou_at_a_threshold_reaches_it_exactly() -> None:
    for k, least in enumerate(THRESHOLDS):
        true = round(least * 20)
        for scale in (1, 7, 99):
            predicted = np.arange(20 * scale) < true * scale
            counts = match_instances(predicted.astype(np.uint8), np.ones(20 * scale, np.uint8))
            assert counts.matches == (1,) * (k + 1) + (0,) * (9 - k)


def test_without_any_objects_scores_are_one_and_with_those_of_one_side_zero() -> None:
    nothing, something = row(0, 0, 0), row(0, 1, 2)
    assert set(instance_scores(match_instances(nothing, nothing)).values()) == {1.0}
    for pair in ((nothing, something), (something, nothing)):
        assert set(instance_scores(match_instances(*pair)).values()) == {0.0}


def test_a_label_in_two_pieces_is_one_object() -> None:
    counts = match_instances(row(1, 0, 1), row(2, 0, 2))
    assert (counts.predicted, counts.matches[-1]) == (1, 1)


# Adding up


@given(seed=SEEDS)
def test_overlaps_of_bands_give_the_counts_of_the_whole(seed: int) -> None:
    predicted, truth = few_labels(seed)
    cut = 1 + seed % (len(truth) - 1)
    bands = [count_overlaps(predicted[rows], truth[rows]) for rows in (slice(cut), slice(cut, None))]
    assert match_overlaps(bands) == match_instances(predicted, truth)


def test_counts_add_up_and_means_are_over_images() -> None:
    perfect, missed = match_instances(row(1, 2), row(1, 2)), match_instances(row(0, 0), row(1, 1))
    assert instance_scores(perfect + missed).ap[0] == 2 / 3
    assert mean_instance_scores([instance_scores(perfect), instance_scores(missed)])["ap50"] == 0.5
    assert InstanceCounts() + perfect == perfect


def test_types_and_large_numbers_do_not_matter() -> None:
    predicted, truth = row(1, 1, 0, 2, 2, 2), row(3, 3, 3, 0, 4, 4)
    expected = match_instances(predicted, truth)
    for dtype in (np.uint8, np.uint16, np.uint32, np.int32, np.uint64):
        assert match_instances(predicted.astype(dtype), truth.astype(np.uint32) * np.uint32(2**30 - 1)) == expected


def test_ten_thousand_objects_take_no_matrix_of_all_pairs() -> None:
    labels = np.repeat(np.repeat(np.arange(1, 10001, dtype=np.int32).reshape(100, 100), 12, axis=0), 12, axis=1)
    predicted = np.roll(labels, 2, axis=1)
    tracemalloc.start()
    counts = match_instances(predicted, labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 9e7  # one byte for each pair would be 1e8
    assert (counts.true, counts.matches[0], counts.matches[5]) == (10000, 10000, 0)


# What is no label


@pytest.mark.parametrize("pixels", [row(0, 1) > 0, row(0, 1) * 0.5])
def test_masks_and_probabilities_are_refused(pixels: NDArray[Any]) -> None:
    for pair in ((pixels, row(0, 1)), (row(0, 1), pixels)):
        with pytest.raises(DataError, match=r"not instance labels.*--output labels"):
            match_instances(*pair)


def test_shapes_that_differ_and_numbers_below_zero_are_refused() -> None:
    with pytest.raises(DataError, match=r"\(1, 2\).*\(1, 3\)"):
        match_instances(row(0, 1), row(0, 1, 1))
    with pytest.raises(DataError, match="prediction has the label -1"):
        match_instances(row(-1, 1), row(0, 1))
