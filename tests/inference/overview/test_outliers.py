from __future__ import annotations

from math import nan

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from unetkit.inference.overview.outliers import far_from_others


def test_the_one_that_differs_is_marked() -> None:
    values = [*np.random.default_rng(0).normal(100, 5, 20).tolist(), 400, 20, nan]
    assert far_from_others(values) == [0] * 20 + [1, -1, 0]


def test_equal_images_and_few_images_have_no_outliers() -> None:
    assert far_from_others([7.0] * 20) == [0] * 20
    assert far_from_others([7.0] * 19 + [13]) == [0] * 20
    assert far_from_others([1, 1, 1, 100]) == [0] * 4
    assert far_from_others([0.0] * 9) == [0] * 9
    assert far_from_others([7.0] * 19 + [0]) == [0] * 19 + [-1]


@given(st.lists(st.floats(0.01, 1e6), min_size=8, max_size=30), st.floats(0.001, 1000))
def test_the_unit_does_not_matter(values: list[float], factor: float) -> None:
    logs = np.log(values)
    away = np.abs(logs - np.median(logs))
    bound = max(3.5 * 1.4826 * np.median(away), np.log(2))
    if np.abs(away - bound).min() > 1e-6:
        assert far_from_others([value * factor for value in values]) == far_from_others(values)
