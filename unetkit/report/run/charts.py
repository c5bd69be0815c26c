"""Curves as SVG: where each line, tick and word lies. The template draws them, so that they follow its colours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

WIDTH, HEIGHT = 360, 230
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 20, 34

MOST_POINTS = 400
"""Most points of a line: more cannot be told apart."""

MOST_DOTS = 30
"""Up to this many points are drawn as dots too."""

SMALLEST = 1e-9
"""A single value that is smaller is drawn as 0."""

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
        name: What it shows.
        points: Numbers (x, y), in the order of x.
        faint: Whether it is drawn thin and dashed.
    """

    name: str
    points: Points
    faint: bool = False


@dataclass(frozen=True)
class Drawn:
    """A line as it is drawn.

    Attributes:
        name: What it shows.
        colour: Number of its colour, from 1.
        faint: Whether it is drawn thin and dashed.
        path: Points of an SVG polyline.
        dots: (x, y, what is said about it) of each point; empty where there are too many.
    """

    name: str
    colour: int
    faint: bool
    path: str
    dots: tuple[tuple[float, float, str], ...]


@dataclass(frozen=True)
class Chart:
    """A chart, in units of its own view.

    Attributes:
        title: What it shows.
        unit: Name of the x axis.
        lines: The lines.
        x_ticks: (x, word).
        y_ticks: (y, word).
        mark: x of a vertical line; None for none.
        mark_word: What it marks.
    """

    title: str
    unit: str
    lines: tuple[Drawn, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    mark: float | None = None
    mark_word: str = ""
    width: int = field(default=WIDTH, init=False)
    height: int = field(default=HEIGHT, init=False)
    left: int = field(default=LEFT, init=False)
    right: int = field(default=WIDTH - RIGHT, init=False)
    top: int = field(default=TOP, init=False)
    bottom: int = field(default=HEIGHT - BOTTOM, init=False)


def make_chart(
    title: str,
    lines: Sequence[Line],
    *,
    unit: str = "epoch",
    most: float | None = None,
    mark: float | None = None,
    mark_word: str = "",
) -> Chart | None:
    """Lay out a chart; None where no line has a point.

    Args:
        title: What it shows.
        lines: The lines. Those without points are left out. Two that follow each other, the second faint, share a
            colour.
        unit: Name of the x axis.
        most: Largest y that there can be, where there is one.
        mark: x of a vertical line.
        mark_word: What it marks.
    """
    lines = [line for line in lines if line.points]
    if not lines:
        return None
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    x_ticks = ticks(min(xs), max(xs), whole=True)
    y_ticks = ticks(min(ys), max(ys))
    low, high = min(y_ticks[0], *ys), max(y_ticks[-1], *ys)
    if most is not None and high > most >= max(ys):
        high, y_ticks = most, [tick for tick in y_ticks if tick <= most]
    place_x = _scale(min(xs), max(xs), LEFT, WIDTH - RIGHT)
    place_y = _scale(low, high, HEIGHT - BOTTOM, TOP)
    drawn, colour = [], 0
    for line in lines:
        colour += 0 if line.faint and colour else 1
        places = [(place_x(x), place_y(y), f"{unit} {x:g}: {line.name} {y:.4g}") for x, y in thin_out(line.points)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in places)
        dots = tuple(places) if len(places) <= MOST_DOTS and not line.faint else ()
        drawn.append(Drawn(line.name, colour, line.faint, path, dots))
    words = {tick: f"{tick:.6g}" for tick in (*x_ticks, *y_ticks)}
    return Chart(
        title,
        unit,
        tuple(drawn),
        tuple((place_x(x), words[x]) for x in x_ticks if min(xs) <= x <= max(xs)),
        tuple((place_y(y), words[y]) for y in y_ticks if low <= y <= high),
        None if mark is None or not min(xs) <= mark <= max(xs) else place_x(mark),
        mark_word,
    )


def ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    """Return about five round numbers that surround a range.

    >>> ticks(0.62, 0.94)
    [0.6, 0.7, 0.8, 0.9, 1.0]
    >>> ticks(1, 3, whole=True)
    [1.0, 2.0, 3.0]
    >>> ticks(0, 0)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    from matplotlib.ticker import MaxNLocator

    if high <= low:
        low, high = (low, low + 1) if whole or abs(low) < SMALLEST else (low - abs(low) / 10, low + abs(low) / 10)
    found = MaxNLocator(5, integer=whole, min_n_ticks=2, steps=[1, 2, 5, 10]).tick_values(low, high)
    return [round(float(tick), 12) for tick in found]


def thin_out(points: Points) -> Points:
    """Return at most about `MOST_POINTS` points at even distances, the last one among them."""
    step = -(-len(points) // MOST_POINTS)
    kept = list(points[::step])
    return kept if kept[-1] == points[-1] else [*kept, points[-1]]


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """Return a function that maps a range to another; the middle of the other where the range is a point."""
    if high <= low:
        return lambda _: (start + end) / 2
    return lambda value: round(start + (value - low) / (high - low) * (end - start), 2)
