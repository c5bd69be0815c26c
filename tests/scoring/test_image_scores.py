from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from unetkit.foundation.console import console
from unetkit.scoring.image_scores import choose_threshold, score_images


def drawn(images: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities (n, 1) that tell labels (n,) fairly well."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, images)
    return torch.tensor(rng.beta(1 + 2 * labels, 3 - 2 * labels))[:, None].float(), torch.tensor(labels)


def test_one_class_is_scored_as_by_counting() -> None:
    probabilities, labels = drawn()
    given, truth = probabilities[:, 0].numpy(), labels.numpy().astype(bool)
    scores = score_images(probabilities, labels, ["it"], 0.4)
    pairs = given[truth][:, None] > given[~truth]
    assert scores.auroc == pytest.approx(pairs.mean(), abs=1e-6)
    assert scores.accuracy == pytest.approx(((given >= 0.4) == truth).mean())
    assert scores.sensitivity == pytest.approx((given[truth] >= 0.4).mean())
    assert scores.specificity == pytest.approx((given[~truth] < 0.4).mean())
    hits, false_alarms = int((given[truth] >= 0.4).sum()), int((given[~truth] >= 0.4).sum())
    assert scores.confusion == ((int((~truth).sum()) - false_alarms, false_alarms), (int(truth.sum()) - hits, hits))
    assert [one.name for one in scores.classes] == ["no it", "it"]


def test_two_classes_are_scored_as_the_one_that_is_the_last_of_them() -> None:
    probabilities, labels = drawn()
    one = score_images(probabilities, labels, ["it"])
    two = score_images(torch.cat([1 - probabilities, probabilities], dim=1), labels, ["none", "it"])
    assert two.flat() == pytest.approx(one.flat())
    assert two.threshold == one.threshold


def test_the_threshold_has_the_largest_sum_of_sensitivity_and_specificity() -> None:
    probabilities, labels = drawn()
    given, truth = probabilities[:, 0].double().numpy(), labels.numpy().astype(bool)

    def index(threshold: float) -> float:
        return float((given[truth] >= threshold).mean() + (given[~truth] < threshold).mean())

    chosen = choose_threshold(probabilities[:, 0], labels)
    assert index(chosen) == pytest.approx(max(index(value) for value in given))
    assert np.abs(given - chosen).min() > 1e-6  # between images, so that rounding changes no decision
    assert score_images(probabilities, labels, ["it"]).threshold == chosen


@pytest.mark.parametrize(
    ("probabilities", "labels", "expected"),
    [
        ([0.25, 1.0], [0, 1], 0.625),
        ([0.1, 0.9], [1, 0], 0.5),  # worse than chance
        ([0.3, 0.9], [1, 1], 0.5),  # nothing to compare with
        ([0.3, 0.3], [0, 1], 0.5),
        ([0.0, 0.0, 1.0], [0, 0, 1], 0.5),
    ],
)
def test_thresholds_of_few_images(probabilities: list[float], labels: list[int], expected: float) -> None:
    assert choose_threshold(torch.tensor(probabilities), torch.tensor(labels)) == expected


def test_of_more_classes_the_most_probable_counts() -> None:
    probabilities = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7], [0.2, 0.1, 0.7]])
    scores = score_images(probabilities, torch.tensor([0, 1, 2, 0]), ["a", "b", "c"])
    assert scores.threshold is None
    assert scores.accuracy == 0.75
    assert scores.confusion == ((1, 0, 1), (0, 1, 0), (0, 0, 1))
    assert [one.sensitivity for one in scores.classes] == [0.5, 1, 1]
    assert [one.specificity for one in scores.classes] == pytest.approx([1, 1, 2 / 3])
    assert scores.sensitivity == pytest.approx(2.5 / 3)
    assert scores.specificity == pytest.approx(8 / 9)
    assert scores.classes[0].auroc == pytest.approx(3.5 / 4)  # one of the pairs is even


def test_without_images_of_every_class_what_needs_them_is_left_out() -> None:
    scores = score_images(torch.full((3, 1), 0.7), torch.ones(3, dtype=torch.long), ["it"])
    assert scores.flat() == {"image_accuracy": 1, "image_sensitivity": 1}
    three = score_images(torch.eye(3)[[0, 1]], torch.tensor([0, 1]), ["a", "b", "c"])
    assert set(three.flat()) == {"image_accuracy", "image_specificity"}


def test_all_of_it_is_written_and_shown(tmp_path: Path) -> None:
    scores = score_images(*drawn(), ["[it]"])
    scores.write_json(tmp_path / "scores.json")
    written = json.loads((tmp_path / "scores.json").read_text())
    assert written["threshold"] == scores.threshold
    assert written["classes"][1]["sensitivity"] == written["sensitivity"] == scores.sensitivity
    assert sum(map(sum, written["confusion"]["truth_by_prediction"])) == written["images"] == 60
    screen = console()
    with screen.capture() as captured:
        screen.print(scores.table())
    assert "no [it]" in captured.get()
    assert f"{scores.auroc:.3f}" in captured.get()
