from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from torchmetrics.functional import classification

from unetkit.scoring.pixels import Counts, Mask, boundary_f1, boundary_reach, count_pixels, dice, inner_boundary
from unetkit.scoring.table import mean_scores, pixel_scores

MASKS = arrays(bool, (9, 13))


def blobs(seed: int, shape: tuple[int, int] = (120, 90)) -> Mask:
    noise = np.random.default_rng(seed).standard_normal(shape)
    mask: Mask = ndimage.gaussian_filter(noise, 4) > 0.02
    return mask


def boundary_f1_by_distances(prediction: Mask, truth: Mask, tolerance: float) -> float:
    """The definition by Csurka et al., with Euclidean distance transforms."""
    edges = [mask & ~ndimage.binary_erosion(mask, border_value=1) for mask in (prediction, truth)]
    distances = [ndimage.distance_transform_edt(~edge) for edge in edges]
    precision = (distances[1][edges[0]] <= tolerance).mean()
    recall = (distances[0][edges[1]] <= tolerance).mean()
    return float(2 * precision * recall / (precision + recall))


def test_pixel_scores_agree_with_torchmetrics() -> None:
    prediction, truth = blobs(1), blobs(1) ^ (blobs(2) & blobs(3))
    scores = pixel_scores(count_pixels(prediction, truth))
    tensors = torch.from_numpy(prediction.astype(np.int64)), torch.from_numpy(truth.astype(np.int64))
    assert scores.dice == pytest.approx(float(classification.binary_f1_score(*tensors)))
    assert scores.iou == pytest.approx(float(classification.binary_jaccard_index(*tensors)))
    assert scores.precision == pytest.approx(float(classification.binary_precision(*tensors)))
    assert scores.recall == pytest.approx(float(classification.binary_recall(*tensors)))
    assert scores.accuracy == pytest.approx(float(classification.binary_accuracy(*tensors)))


@pytest.mark.parametrize("tolerance", [0, 1, 1.5, 2, 3, 7.3])
def test_boundary_f1_agrees_with_distance_transforms(tolerance: float) -> None:
    prediction, truth = np.roll(blobs(4), 3, axis=0) | blobs(5), blobs(4)
    expected = boundary_f1_by_distances(prediction, truth, tolerance)
    assert 0 < expected < 1
    assert boundary_f1(count_pixels(prediction, truth, tolerance)) == pytest.approx(expected)


def test_a_shift_within_the_tolerance_costs_no_boundary_score() -> None:
    truth = np.zeros((60, 60), bool)
    truth[20:40, 20:40] = True
    assert boundary_f1(count_pixels(np.roll(truth, 2, axis=1), truth, 2)) == 1
    assert boundary_f1(count_pixels(np.roll(truth, 3, axis=1), truth, 2)) < 1


def test_the_border_of_the_image_is_no_boundary() -> None:
    mask = np.zeros((8, 8), bool)
    mask[:, :4] = True
    assert np.argwhere(inner_boundary(mask))[:, 1].tolist() == [3] * 8
    assert not inner_boundary(np.ones((5, 5), bool)).any()


def test_two_empty_masks_agree_perfectly() -> None:
    empty = np.zeros((4, 5), bool)
    scores = pixel_scores(count_pixels(empty, empty))
    assert (scores.dice, scores.iou, scores.precision, scores.recall, scores.boundary_f1) == (1, 1, 1, 1, 1)


@pytest.mark.parametrize("predicted", [True, False])
def test_one_empty_mask_scores_zero(predicted: bool) -> None:
    empty, full = np.zeros((6, 6), bool), np.zeros((6, 6), bool)
    full[2:4, 2:4] = True
    scores = pixel_scores(count_pixels(full, empty) if predicted else count_pixels(empty, full))
    assert (scores.dice, scores.iou, scores.precision, scores.recall, scores.boundary_f1) == (0, 0, 0, 0, 0)
    assert scores.accuracy == 32 / 36


@given(prediction=MASKS, truth=MASKS)
def test_scores_lie_between_zero_and_one_and_pixels_add_up(prediction: Mask, truth: Mask) -> None:
    counts = count_pixels(prediction, truth)
    assert counts.tp + counts.fp + counts.fn + counts.tn == truth.size
    scores = pixel_scores(counts)
    assert all(0 <= score <= 1 for score in scores.values())
    assert scores.dice >= scores.iou
    swapped = pixel_scores(count_pixels(truth, prediction))
    assert (swapped.dice, swapped.precision) == (scores.dice, scores.recall)
    assert swapped.boundary_f1 == pytest.approx(scores.boundary_f1)


@given(prediction=MASKS, truth=MASKS, cut=st.integers(1, 8), tolerance=st.sampled_from([0.0, 1.0, 2.0, 2.5]))
def test_counts_of_bands_add_up_to_those_of_the_whole(
    prediction: Mask, truth: Mask, cut: int, tolerance: float
) -> None:
    reach = boundary_reach(tolerance)
    upper, lower = slice(0, cut + reach), slice(max(cut - reach, 0), 9)
    parts = count_pixels(prediction[upper], truth[upper], tolerance, slice(0, cut)) + count_pixels(
        prediction[lower], truth[lower], tolerance, slice(cut - lower.start, None)
    )
    assert parts == count_pixels(prediction, truth, tolerance)


def test_pooled_and_mean_scores_differ_as_they_should() -> None:
    small, large = Counts(tp=1, fp=1), Counts(tp=90, fp=5, fn=5)
    assert dice(small + large) == pytest.approx(182 / 193)
    assert mean_scores([pixel_scores(small), pixel_scores(large)]).dice == pytest.approx((2 / 3 + 180 / 190) / 2)
