from __future__ import annotations

import numpy as np
import pytest

from unetkit.training.segmentation.choosing import choose_surely, pool_precisions, score_means, score_objects_pooled


def values(*gains: float, noise: float) -> np.ndarray:
    """Return (20 images, choices) whose mean gains over the first choice are known, with noise from image to image."""
    rng = np.random.default_rng(1)
    spread = rng.normal(0, noise, (20, len(gains) + 1))
    return 0.5 + np.array([0.0, *gains]) + spread - spread.mean(axis=0)


@pytest.mark.parametrize(
    ("gains", "noise", "errors", "chosen"),
    [
        ((0.01, 0.02), 0.0, 2.0, 2),
        ((-0.01, -0.02), 0.0, 0.0, 0),
        ((0.01, 0.02), 0.5, 1.0, 0),  # what one image gains another loses
        ((0.1, -0.1), 0.05, 2.0, 1),
    ],
)
def test_only_a_gain_beyond_what_images_differ_by_is_taken(
    gains: tuple[float, ...], noise: float, errors: float, chosen: int
) -> None:
    assert choose_surely(score_means(values(*gains, noise=noise)), 20, 0, errors) == chosen


def test_a_choice_that_loses_on_the_images_themselves_is_never_taken() -> None:
    def score(weights: np.ndarray) -> np.ndarray:
        whole = (weights == 1).all(axis=1)
        return np.stack([np.zeros(len(weights)), np.where(whole, -1.0, 1.0)], axis=1)

    assert choose_surely(score, 20, 0, 0.0) == 0


def test_precision_is_that_of_pooled_objects() -> None:
    counts = np.array([[[[8, 1, 1], [4, 4, 2]]], [[[0, 10, 0], [10, 0, 0]]]])
    assert pool_precisions(counts, np.ones((1, 2)))[0, 0].tolist() == [8 / 20, 14 / 20]
    assert score_objects_pooled(counts)(np.array([[1.0, 0.0]])).tolist() == [[pytest.approx(0.8 + 0.4)]]
