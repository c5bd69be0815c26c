"""The values of large objects do not stay in memory, and have the same statistics."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from object_tables import measure_rows

from unetkit.objects import open_values
from unetkit.objects.intensity import STATISTICS
from unetkit.objects.open_values import OpenValues


@pytest.fixture
def low_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_values, "LARGE_PIXELS", 500)
    monkeypatch.setattr(open_values, "MOST_PIXELS", 1000)


def picture() -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    labels = np.zeros((60, 50), np.uint8)
    labels[2:58, 3:40], labels[5:9, 42:47], labels[20:59, 41:48] = 7, 2, 3
    return labels, np.random.default_rng(0).integers(0, 60000, (2, 60, 50)).astype(np.uint16)


@pytest.mark.parametrize(
    "dtype", ["uint8", "int16", "uint16", "float16", "int32", "uint32", "float32", "int64", "float64"]
)
def test_the_statistics_of_large_objects_are_those_of_their_pixels(low_limits: None, dtype: str) -> None:
    labels, image = picture()
    image = (image.astype(np.float64) / 3 - 9000).astype(dtype) if dtype[0] in "fi" else image.astype(dtype)
    found = measure_rows(labels, image, heights=[4] * 15)
    for place, label in enumerate(found["label"]):
        pixels = image[1][labels == label].astype(np.float64)
        for name in STATISTICS:
            np.testing.assert_allclose(found[f"c1_{name}"][place], getattr(np, name)(pixels), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_they_do_not_depend_on_the_strips(low_limits: None, dtype: str) -> None:
    labels, image = picture()
    image = (image / 3).astype(dtype)
    whole, cut = (measure_rows(labels, image, ring=3, heights=heights) for heights in ([], [3] * 20))
    for name, column in whole.items():
        assert column.tobytes() == cut[name].tobytes(), name


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_the_values_of_a_large_object_do_not_stay_in_memory(low_limits: None, dtype: type) -> None:
    kept = OpenValues(1)
    values = np.full((1, 100), 9, dtype)
    for _ in range(40):
        kept.add(np.array([5]), np.array([100], np.int32), values)
        assert sum(part.values.size for part in kept._parts) <= open_values.MOST_PIXELS
    pixels, (found,) = kept.take(np.array([5]))
    assert pixels.tolist() == [4000]
    assert found["sum"].tolist() == [36000]


@pytest.mark.parametrize("large", [1, 100])
def test_a_value_that_is_no_number_makes_no_statistic(large: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_values, "LARGE_PIXELS", large)
    labels = np.array([[1, 1, 2]], np.uint8)
    found = measure_rows(labels, np.array([[[np.nan, 1, 5]]], np.float32))
    for name in STATISTICS:
        assert np.isnan(found[f"c0_{name}"][0])
        assert found[f"c0_{name}"][1] == (0 if name == "std" else 5)
