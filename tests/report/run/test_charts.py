from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unetkit.report.run.charts import BOTTOM, HEIGHT, LEFT, MOST_POINTS, RIGHT, TOP, WIDTH, Line, make_chart, thin_out

NUMBERS = st.floats(-1e6, 1e6, allow_subnormal=False)


def places(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in path.split())]


@given(st.lists(NUMBERS, min_size=1, max_size=30))
def test_all_points_and_ticks_lie_within_the_axes(values: list[float]) -> None:
    chart = make_chart("loss", [Line("training", list(enumerate(values, 1)))])
    assert chart is not None
    (line,) = chart.lines
    for x, y in places(line.path):
        assert LEFT - 0.1 <= x <= WIDTH - RIGHT + 0.1
        assert TOP - 0.1 <= y <= HEIGHT - BOTTOM + 0.1
    assert all(LEFT <= x <= WIDTH - RIGHT for x, _ in chart.x_ticks)
    assert all(TOP <= y <= HEIGHT - BOTTOM for y, _ in chart.y_ticks)


def test_points_lie_where_their_numbers_are_on_the_axis() -> None:
    chart = make_chart("score", [Line("Dice", [(1, 0.25), (2, 0.5), (3, 0.75)])], most=1.0)
    assert chart is not None
    ticks = {float(word): y for y, word in chart.y_ticks}
    (low, high) = (min(ticks), max(ticks))
    for (_, y), value in zip(places(chart.lines[0].path), (0.25, 0.5, 0.75), strict=True):
        expected = ticks[low] + (value - low) / (high - low) * (ticks[high] - ticks[low])
        assert y == pytest.approx(expected, abs=0.1)
    assert [(word, x) for x, word in chart.x_ticks] == [
        ("1", LEFT),
        ("2", (LEFT + WIDTH - RIGHT) / 2),
        ("3", WIDTH - RIGHT),
    ]


def test_no_score_above_1_is_on_the_axis() -> None:
    chart = make_chart("score", [Line("Dice", [(1, 0.55), (2, 0.98)])], most=1.0)
    assert chart is not None
    assert max(float(word) for _, word in chart.y_ticks) <= 1


def test_a_faint_line_has_the_colour_of_the_one_before() -> None:
    points = [(1.0, 0.5), (2.0, 0.6)]
    chart = make_chart("score", [Line("Dice", points), Line("pooled", points, faint=True), Line("IoU", points)])
    assert chart is not None
    assert [line.colour for line in chart.lines] == [1, 1, 2]


def test_without_points_there_is_no_chart() -> None:
    assert make_chart("loss", [Line("training", [])]) is None


def test_what_was_kept_is_marked_only_where_it_is_on_the_axis() -> None:
    lines = [Line("Dice", [(1.0, 0.5), (5.0, 0.6)])]
    assert [made.mark for mark in (1, 9, None) if (made := make_chart("x", lines, mark=mark))] == [LEFT, None, None]


@given(st.integers(1, 5000))
def test_a_long_line_is_thinned_out_and_keeps_its_ends(count: int) -> None:
    points = [(float(x), 0.0) for x in range(count)]
    kept = thin_out(points)
    assert len(kept) <= MOST_POINTS + 1
    assert (kept[0], kept[-1]) == (points[0], points[-1])
