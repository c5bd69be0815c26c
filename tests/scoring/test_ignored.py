"""Scores of images that are annotated in part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

import unetkit.scoring.compared
from unetkit.cli import main
from unetkit.errors import DataError
from unetkit.foundation.synthetic import make_cells
from unetkit.scoring.evaluation import evaluate
from unetkit.scoring.instances import THRESHOLDS, count_overlaps, match_instances, match_overlaps
from unetkit.scoring.pixels import Counts, boundary_reach, count_pixels

SEEDS = st.integers(0, 2**32 - 1)


def small(seed: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
    """Two images of few labels, and what nobody has annotated."""
    rng = np.random.default_rng(seed)
    shape, most = (6, 8), int(rng.integers(1, 6))
    truth = np.kron(rng.integers(0, most + 1, (3, 4)), np.ones((2, 2), int))
    predicted = np.where(rng.random(shape) < rng.choice([0.1, 0.3, 1]), rng.integers(0, most + 1, shape), truth)
    ignored = np.kron(rng.random((3, 4)) < rng.choice([0.1, 0.5]), np.ones((2, 2))) > 0
    return predicted, truth, ignored


def by_definition(
    predicted: NDArray[Any], truth: NDArray[Any], ignored: NDArray[np.bool_], least: float
) -> tuple[int, int, int]:
    """Return TP, FP and FN at an IoU, for unique matches, as panoptic segmentation does (Kirillov et al. 2019).

    IoUs are those of the annotated pixels. What is not matched is no false positive if more than half of it is ignored.
    """
    found = [each for each in np.unique(predicted) if each]
    true = [each for each in np.unique(truth[~ignored]) if each]
    matched_true, right, wrong = set(), 0, 0
    for one in found:
        mask = predicted == one
        hits = []
        for other in true:
            both = (mask & (truth == other) & ~ignored).sum()
            either = ((mask | (truth == other)) & ~ignored).sum()
            hits += [other] if either and both / either >= least else []
        if hits:
            right += 1
            matched_true.update(hits)
        elif (mask & ignored).sum() * 2 <= mask.sum():
            wrong += 1
    return right, wrong, len(true) - len(matched_true)


@settings(max_examples=50, deadline=None)
@given(SEEDS)
def test_objects_are_matched_as_panoptic_segmentation_does(seed: int) -> None:
    predicted, truth, ignored = small(seed)
    counts = match_instances(predicted, truth, ignored)
    for place, least in enumerate(THRESHOLDS):
        if place == 0:  # an IoU of exactly one half is not unique
            continue
        at = counts.at(place)
        assert (at.tp, at.fp, at.fn) == by_definition(predicted, truth, ignored, least)


@settings(max_examples=50, deadline=None)
@given(SEEDS)
def test_neither_bands_nor_the_truth_below_change_how_objects_are_counted(seed: int) -> None:
    predicted, truth, ignored = small(seed)
    expected = match_instances(predicted, truth, ignored)
    assert match_instances(predicted, np.where(ignored, 9, truth), ignored) == expected
    bands = [count_overlaps(predicted[k : k + 1], truth[k : k + 1], ignored[k : k + 1]) for k in range(len(truth))]
    assert match_overlaps(bands) == expected
    assert match_instances(predicted, truth, ignored & False) == match_instances(predicted, truth)


def test_an_object_found_under_what_nobody_has_annotated_is_no_false_positive() -> None:
    truth = np.zeros((10, 30), np.uint16)
    predicted, ignored = truth.copy(), np.zeros(truth.shape, np.bool_)
    ignored[:, 15:] = True
    truth[2:8, 10:15] = 1  # it goes on to the right, where nobody has drawn it
    predicted[2:8, 10:25] = 4
    predicted[2:8, 27:] = 5
    counts = match_instances(predicted, truth, ignored)
    assert (counts.predicted, counts.true, counts.matches[0], counts.at(9).fp) == (1, 1, 1, 0)
    predicted[2:8, 10:13] = 0  # now its IoU is 0.4
    counts = match_instances(predicted, truth, ignored)
    assert (counts.predicted, counts.true, counts.matches[0]) == (0, 1, 0)
    predicted[2:8, 1:6] = 6
    assert match_instances(predicted, truth, ignored).at(0) == Counts(tp=0, fp=1, fn=1)


def test_an_object_that_is_right_only_at_low_ious_is_spared_at_high_ones() -> None:
    truth, predicted, ignored = (np.zeros((4, 40), kind) for kind in (np.uint8, np.uint8, np.bool_))
    ignored[:, 10:] = True
    truth[:, :10], predicted[:, 2:30] = 1, 1  # an IoU of 0.8 in what is annotated
    counts = match_instances(predicted, truth, ignored)
    places = {least: counts.at(place) for place, least in enumerate(THRESHOLDS)}
    assert places[0.8] == Counts(tp=1, fp=0, fn=0)
    assert places[0.85] == Counts(tp=0, fp=0, fn=1)
    assert counts.flat()["spared85"] == 1
    assert (counts + counts).at(9).fp == 0
    assert "spared85" not in match_instances(predicted, truth).flat()


def blobs(seed: int, sigma: float = 4) -> NDArray[np.bool_]:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((120, 90)), sigma)
    mask: NDArray[np.bool_] = noise > np.median(noise)
    return mask


@pytest.mark.parametrize("tolerance", [0, 1, 2, 3.5])
def test_no_count_of_pixels_depends_on_what_lies_where_nobody_has_annotated(tolerance: float) -> None:
    prediction, truth, ignored = blobs(1), blobs(1) ^ (blobs(2, 2) & blobs(3, 2)), blobs(4, 6)
    counts = count_pixels(prediction, truth, tolerance, ignored=ignored)
    for seed in range(5):
        other = [np.where(ignored, blobs(10 + seed, 1), each) for each in (prediction, truth)]
        other[seed % 2] = np.where(ignored, seed < 3, other[seed % 2])
        assert count_pixels(other[0], other[1], tolerance, ignored=ignored) == counts
    assert counts.pixels == (~ignored).sum()
    plain = count_pixels(prediction[~ignored][None], truth[~ignored][None])
    assert (counts.tp, counts.fp, counts.fn, counts.tn) == (plain.tp, plain.fp, plain.fn, plain.tn)
    assert counts.true_boundary > counts.true_boundary_hits > 0 or tolerance > 3


def test_boundaries_count_by_their_distance_to_what_nobody_has_annotated() -> None:
    prediction, truth, ignored = np.roll(blobs(1), 2, axis=1), blobs(1), blobs(4, 6)
    counts = count_pixels(prediction, truth, 2, ignored=ignored)
    edge, other = (mask & ~ndimage.binary_erosion(mask, border_value=1) for mask in (truth, prediction))
    far = ndimage.distance_transform_edt(~ignored) > 3
    near = ndimage.distance_transform_edt(~other) <= 2
    assert counts.true_boundary == (edge & far).sum()
    assert counts.true_boundary_hits == (edge & far & near).sum()


def test_bands_add_up_to_the_whole_also_with_what_nobody_has_annotated() -> None:
    prediction, truth, ignored = blobs(1), blobs(2), blobs(4, 6)
    reach, total = boundary_reach(2), Counts()
    for top in range(0, 120, 7):
        seen = slice(max(top - reach, 0), min(top + 7 + reach, 120))
        rows = slice(top - seen.start, min(top + 7, 120) - seen.start)
        total += count_pixels(prediction[seen], truth[seen], 2, rows, ignored[seen])
    assert total == count_pixels(prediction, truth, 2, ignored=ignored)


# Files


def drawn(folder: Path, ignore: int, dtype: str = "uint16") -> tuple[Path, Path, NDArray[np.bool_]]:
    """Write labels as a prediction, and as a truth of which the right half has a value instead."""
    _, labels = make_cells(96, 128, np.random.default_rng(0))
    ignored = np.zeros(labels.shape, np.bool_)
    ignored[:, 64:] = True
    tifffile.imwrite(folder / "found.tif", labels.astype(dtype))
    tifffile.imwrite(folder / "truth.tif", np.where(ignored, ignore, labels.astype(np.int32)).astype(dtype))
    return folder / "found.tif", folder / "truth.tif", ignored


@pytest.mark.parametrize(("ignore", "dtype"), [(255, "uint8"), (65535, "uint16"), (-1, "int16"), (-1, "int32")])
def test_files_are_scored_by_what_is_annotated(
    tmp_path: Path, ignore: int, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, truth, ignored = drawn(tmp_path, ignore, dtype)
    result = evaluate(found, truth, instances=True, ignore=ignore)
    assert result.pooled.dice == result.pooled.boundary_f1 == 1
    assert result.instances is not None
    assert result.instances.pooled.ap50 == 1
    assert result.rows[0].counts.pixels == (~ignored).sum()
    if ignore > 0:
        assert evaluate(found, truth).pooled.dice < 0.6
    monkeypatch.setattr(unetkit.scoring.compared, "BAND_PIXELS", 128 * 5)
    assert evaluate(found, truth, instances=True, ignore=ignore).rows == result.rows


def test_classes_are_scored_by_what_is_annotated(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, (40, 50)).astype(np.uint8)
    found = np.where(rng.random(truth.shape) < 0.8, truth, 1).astype(np.uint8)
    ignored = rng.random(truth.shape) < 0.5
    partly = np.where(ignored, 255, truth).astype(np.uint8)
    result = evaluate(found, partly, classes=3, ignore=255)
    for row in result.rows:
        expected = count_pixels(found == row.class_number, truth == row.class_number, ignored=ignored)
        assert row.counts == expected


def test_the_command_takes_the_value_and_writes_it(tmp_path: Path) -> None:
    found, truth, _ = drawn(tmp_path, 255)
    line = ["evaluate", str(found), str(truth), "--ignore", "255", "--json", str(tmp_path / "scores.json")]
    assert main([*line, "--csv", str(tmp_path / "scores.csv"), "--instances"]) == 0
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["settings"]["ignore"] == 255
    assert scores["pooled"]["dice"] == 1


def test_the_value_is_one_of_the_truth_alone() -> None:
    truth = np.zeros((8, 8), np.uint8)
    truth[2:6, 2:6] = 1
    assert evaluate(255 * truth, truth, ignore=255).pooled.dice == 1


def test_strokes_in_which_0_is_not_annotated_are_scored() -> None:
    strokes = np.array([[0, 0, 1, 1, 2, 2]], np.uint8)
    result = evaluate(np.array([[1, 0, 0, 1, 1, 1]], np.uint8), strokes, ignore=0)
    counts = result.rows[0].counts
    assert (counts.tp, counts.fp, counts.fn, counts.tn) == (2, 1, 0, 1)


def test_a_truth_without_annotation_is_an_error() -> None:
    nothing = np.full((8, 8), 255, np.uint8)
    with pytest.raises(DataError, match="is annotated"):
        evaluate(nothing, nothing, ignore=255)
