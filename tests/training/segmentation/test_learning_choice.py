"""Candidates that are learnt from, and the choice that is learnt."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from unetkit.postprocess.labels import Labels
from unetkit.postprocess.predicted_distance import by_predicted_distance
from unetkit.training.segmentation import learning_choice
from unetkit.training.segmentation.learning_choice import Learnt, best_iou, find_in_image, fit_choice


def discs(*columns: int, radius: int = 8, probability: int = 200) -> NDArray[np.uint8]:
    """Return discs in a row (2, 40, 120): probabilities and distances."""
    y, x = np.mgrid[:40, :120]
    nearest = np.min([np.hypot(y - 20, x - column) for column in columns], axis=0)
    mask = nearest < radius
    return np.stack([mask * probability, mask * np.maximum(255 * (1 - nearest / radius), 1)]).astype(np.uint8)


def test_each_region_and_each_join_is_worth_its_best_iou() -> None:
    bands = discs(20, 27, 70)
    truth = np.where(bands[0] > 0, np.where(np.arange(120) < 24, 1, np.where(np.arange(120) < 50, 2, 3)), 0)
    candidates, regions = find_in_image(bands)
    iou, sizes = best_iou(candidates, regions, truth)
    assert candidates.regions == 3
    assert len(iou) == 4  # the third disc touches nothing
    expected = []
    for number in range(len(iou)):
        members = [number + 1] if number < 3 else [part + 1 for part in candidates.parts[number - 3]]
        found = np.isin(regions, members)
        assert sizes[number] == found.sum()
        expected.append(max((found & (truth == k)).sum() / (found | (truth == k)).sum() for k in (1, 2, 3)))
    np.testing.assert_allclose(iou, expected)


def test_what_nobody_has_annotated_teaches_nothing() -> None:
    bands = discs(20, 70)
    truth = (bands[0] > 0) * 1
    truth[:, 45:] = 0
    assert len(Learnt.of_image(bands, truth)) == 2
    learnt = Learnt.of_image(bands, truth, np.broadcast_to(np.arange(120) > 45, truth.shape))
    assert learnt.worth.tolist() == [1.0]


def test_a_choice_learns_to_keep_pieces_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning_choice, "STEPS", 200)
    bands = discs(20, 27, 70)
    whole = np.where(bands[0] > 0, np.where(np.arange(120) < 50, 1, 2), 0)
    choice = fit_choice(Learnt.together([Learnt.of_image(bands, whole)] * 10))

    def count(method_choice: object) -> int:
        method = by_predicted_distance(0, choice=method_choice)  # type: ignore[arg-type]
        return Labels([bands], bands.shape[1:], method=method).count

    assert (count(None), count(choice)) == (3, 2)


def test_a_sample_bounds_the_candidates() -> None:
    learnt = Learnt(np.arange(50.0).reshape(5, 10), np.arange(5.0))
    some = learnt.sample(3)
    assert len(some) == 3
    np.testing.assert_array_equal(some.features[:, 0], 10 * some.worth)
