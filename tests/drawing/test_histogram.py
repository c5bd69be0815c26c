from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unetkit.drawing.histogram import BARS, histogram, make_axis, small_histogram, ticks

SVG = "{http://www.w3.org/2000/svg}"


def parse(markup: str) -> ElementTree.Element:
    return ElementTree.fromstring(str(markup).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


@given(st.lists(st.integers(1, 10**7), min_size=1, max_size=200))
def test_every_value_is_counted_where_numpy_counts_it(areas: list[int]) -> None:
    values, weights = np.unique(np.array(areas, float), return_counts=True)
    axis = make_axis(values[0], values[-1])
    expected, _ = np.histogram(areas, axis.edges)
    counts = axis.count(values, weights)
    assert counts.sum() == len(areas)
    np.testing.assert_array_equal(counts, expected)
    assert axis.logarithmic == (values[-1] > 8 * values[0])


@given(st.floats(1e-6, 1e9), st.floats(1, 1e7))
def test_ticks_are_few_and_lie_inside(smallest: float, ratio: float) -> None:
    axis = make_axis(smallest, smallest * ratio)
    found = ticks(axis)
    assert 1 <= len(found) <= 10
    assert found == sorted(found)
    for value in found:
        assert -1e-9 <= axis.place(value) <= 1 + 1e-9


@pytest.mark.parametrize("counts", [[0] * BARS, [1] + [0] * (BARS - 2) + [100_000]])
def test_a_bar_for_each_number_that_is_not_0(counts: list[int]) -> None:
    axis = make_axis(10, 2000)
    for markup in (
        small_histogram(np.array(counts), 'a "b" \udce4'),
        histogram(axis, np.array(counts), "area in µm²", "c"),
    ):
        svg = parse(markup)
        bars = svg.find(f"{SVG}path[@class='bars']")
        assert bars is not None
        heights = [float(each) for each in re.findall(r"v-([\d.]+)h", bars.attrib["d"])]
        assert len(heights) == np.count_nonzero(counts)
        assert all(height >= 1 for height in heights)
    texts = [text.text for text in svg.iter(f"{SVG}text")]
    assert texts == ["10", "20", "50", "100", "200", "500", "1,000", "2,000", "area in µm², logarithmic"]
