"""Probabilities whose right temperature is known: truth is drawn from them before they are made too sure."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax

from unetkit.scoring.reliability import (
    bin_probabilities,
    calibration_error,
    fit_temperature,
    log_loss,
    to_log_probabilities,
)


def too_sure(classes: int, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Return logits (20000, classes) that are right once divided by a temperature, and the truth."""
    rng = np.random.default_rng(0)
    right = rng.normal(0, 2, (20_000, classes))
    drawn = (softmax(right, axis=1).cumsum(1) < rng.random((20_000, 1))).sum(1)
    return right * temperature, drawn


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("temperature", [0.6, 1.0, 2.5])
def test_the_temperature_that_spoiled_probabilities_is_found(classes: int, temperature: float) -> None:
    logits, truth = too_sure(classes, temperature)
    assert fit_temperature(logits, truth) == pytest.approx(temperature, rel=0.05)


def test_at_the_right_temperature_probabilities_say_how_often_they_are_right() -> None:
    logits, truth = too_sure(2, 2.5)
    before, after = (bin_probabilities(logits, truth, one) for one in (1.0, 2.5))
    assert calibration_error(before) > 0.05
    assert calibration_error(after) < 0.01
    assert sum(one.share for one in before) == pytest.approx(1)
    assert all(one.low <= one.said <= one.high for one in (*before, *after))


def test_of_several_classes_the_most_probable_one_is_judged() -> None:
    logits = np.log(np.array([[0.71, 0.2, 0.09], [0.1, 0.73, 0.17]]))
    (found,) = bin_probabilities(logits, np.array([0, 2]))
    assert (found.low, found.high, found.share) == (0.7, 0.8, 1.0)
    assert (found.said, found.right) == pytest.approx((0.72, 0.5))


def test_probabilities_become_logits_that_a_temperature_divides() -> None:
    foreground = np.array([[0.2], [0.5], [0.99]], np.float32)
    logits = to_log_probabilities(foreground)
    divided = np.exp(log_softmax(logits / 2, axis=1))[:, 1]
    assert divided == pytest.approx(expit(np.log(foreground[:, 0] / (1 - foreground[:, 0])) / 2), abs=1e-6)
    assert np.isfinite(to_log_probabilities(np.array([[0.0], [1.0]], np.float32))).all()


def test_log_loss_is_that_of_the_true_class() -> None:
    logits = np.log(np.array([[0.25, 0.75], [0.5, 0.5]]))
    assert log_loss(logits, np.array([1, 0])) == pytest.approx(-(np.log(0.75) + np.log(0.5)) / 2)
