from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from unetkit.training.run.schedule import WARM_UP_SHARE, Schedule, rate_factor


def curve(schedule: Schedule) -> np.ndarray:
    return np.array([rate_factor(schedule, progress) for progress in np.linspace(0, 1, 201)])


@pytest.mark.parametrize("schedule", get_args(Schedule))
def test_factors_stay_between_zero_and_one(schedule: Schedule) -> None:
    factors = curve(schedule)
    assert factors.min() >= 0
    assert factors.max() == 1


def test_one_cycle_rises_to_the_full_rate_then_falls_to_zero() -> None:
    factors = curve("one_cycle")
    peak = round(WARM_UP_SHARE * 200)
    assert factors[0] == pytest.approx(0.04)
    assert factors.argmax() == peak
    assert np.all(np.diff(factors[: peak + 1]) > 0)
    assert np.all(np.diff(factors[peak:]) < 0)
    assert np.abs(np.diff(factors)).max() < 0.06  # no jump
    assert factors[-1] == pytest.approx(0, abs=1e-12)


def test_cosine_falls_from_the_full_rate_to_zero() -> None:
    factors = curve("cosine")
    assert factors[0] == 1
    assert factors[100] == pytest.approx(0.5)
    assert np.all(np.diff(factors) < 0)
    assert factors[-1] == pytest.approx(0, abs=1e-12)


def test_constant_is_constant() -> None:
    assert set(curve("constant")) == {1.0}


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine"])
def test_beyond_the_end_the_rate_does_not_rise_again(schedule: Schedule) -> None:
    assert rate_factor(schedule, 1.3) == pytest.approx(0, abs=1e-12)
