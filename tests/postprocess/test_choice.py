"""Objects chosen among regions and their joins."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from choices import choice_by, random_choice
from numpy.typing import NDArray

from unetkit.foundation.errors import ConfigError
from unetkit.postprocess.candidates import FEATURES
from unetkit.postprocess.choice import BEST, Choice
from unetkit.postprocess.labels import Labels
from unetkit.postprocess.predicted_distance import by_predicted_distance


def two_discs(probability: int = 200) -> NDArray[np.uint8]:
    """Return two touching discs (2, 40, 60): probabilities and distances."""
    y, x = np.mgrid[:40, :60]
    nearest = np.minimum(np.hypot(y - 20, x - 20), np.hypot(y - 20, x - 34))
    mask = nearest < 12
    return np.stack([mask * probability, mask * np.maximum(255 * (1 - nearest / 12), 1)]).astype(np.uint8)


def count(choice: Choice | None, plane: NDArray[np.uint8]) -> int:
    return Labels([plane], plane.shape[1:], method=by_predicted_distance(0, choice=choice)).count


def test_what_is_good_decides_whether_regions_are_one_object() -> None:
    assert count(choice_by("log size", 1, -6.5), two_discs()) == 1
    assert count(choice_by("log size", -1, 6.5), two_discs()) == 2


def test_an_object_that_is_not_good_enough_is_left_out() -> None:
    choice = choice_by("probability", 10, -5)
    assert count(choice, two_discs(250)) > 0
    assert count(choice, two_discs(60)) == 0


def test_qualities_are_those_of_the_network_in_pytorch() -> None:
    torch = pytest.importorskip("torch")
    choice, features = random_choice(), np.random.default_rng(1).normal(size=(20, len(FEATURES)))
    weights, bias, output = (torch.tensor(each).double() for each in (choice.hidden, choice.hidden_bias, choice.output))
    expected = torch.sigmoid(torch.tanh(torch.tensor(features) @ weights.T + bias) @ output).numpy() * BEST
    np.testing.assert_allclose(choice.qualities(features), expected, atol=1)


def test_numbers_that_do_not_fit_the_features_are_refused() -> None:
    with pytest.raises(ConfigError, match="do not fit"):
        replace(random_choice(), center=(0.0,))
