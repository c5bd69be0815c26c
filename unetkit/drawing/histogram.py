"""Histograms as SVG inside of an HTML page, in the page's colours."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, log10

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from unetkit.foundation.names import printable

BARS = 32

LOG_RATIO = 8
"""From this ratio of the largest to the smallest value on, the axis is logarithmic."""

MOST_TICKS = 9


@dataclass(frozen=True)
class HistogramAxis:
    """An axis that several histograms share.

    Attributes:
        edges: (BARS + 1,) the borders of the bars, ascending.
        logarithmic: Whether bars are equally wide on a logarithmic scale.
    """

    edges: NDArray[np.float64]
    logarithmic: bool

    def count(self, values: NDArray[np.floating], weights: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return how many values (N,), each counted as often as its weight says, are in each bar."""
        place = np.clip(np.searchsorted(self.edges, values, side="right") - 1, 0, len(self.edges) - 2)
        return np.bincount(place, weights, minlength=len(self.edges) - 1).astype(np.int64)

    def place(self, value: float) -> float:
        """Return where a value lies along the axis, 0 to 1."""
        low, high = self.edges[0], self.edges[-1]
        if self.logarithmic:
            return float(np.log(value / low) / np.log(high / low))
        return float((value - low) / (high - low))


def make_axis(smallest: float, largest: float) -> HistogramAxis:
    """Return an axis from the smallest to the largest of some values above 0."""
    if largest > smallest * LOG_RATIO:
        return HistogramAxis(np.geomspace(smallest, largest * 1.001, BARS + 1), logarithmic=True)
    return HistogramAxis(np.linspace(smallest * 0.9, largest * 1.1, BARS + 1), logarithmic=False)


def small_histogram(counts: NDArray[np.integer], description: str) -> Markup:
    """Return bars without numbers, 240 x 40; they may be stretched."""
    content = _bars(counts, 240, 40) + Markup('<path class="axis" d="M0 40.5H240"/>')
    return _svg(240, 41, description, content, fit="none")


def histogram(axis: HistogramAxis, counts: NDArray[np.integer], label: str, description: str) -> Markup:
    """Return bars over an axis with numbers and a label, such as "area in µm²"; 640 x 190."""
    width, height = 640, 150
    parts = [_bars(counts, width, height), Markup('<path class="axis" d="M0 {0}.5H{1}"/>').format(height, width)]
    for value in ticks(axis):
        x = round(axis.place(value) * width, 1)
        anchor = "start" if x < 20 else "end" if x > width - 20 else "middle"
        parts.append(
            Markup('<path class="axis" d="M{0} {1}v5"/><text x="{0}" y="{2}" text-anchor="{3}">{4}</text>').format(
                x, height, height + 19, anchor, f"{value:,g}" if value < 1e6 else f"{value:.0e}"
            )
        )
    scale = ", logarithmic" if axis.logarithmic else ""
    parts.append(
        Markup('<text x="{}" y="{}" text-anchor="middle">{}{}</text>').format(width // 2, height + 38, label, scale)
    )
    return _svg(width, height + 44, description, Markup("").join(parts))


def ticks(axis: HistogramAxis) -> list[float]:
    """Return round numbers inside of an axis, few enough to be written beside each other."""
    low, high = float(axis.edges[0]), float(axis.edges[-1])
    if axis.logarithmic:
        decades = range(floor(log10(low)), ceil(log10(high)) + 1)
        for digits in ((1, 2, 5), (1, 3), (1,)):
            found = [digit * 10.0**decade for decade in decades for digit in digits]
            inside = [value for value in found if low <= value <= high]
            if len(inside) <= MOST_TICKS:
                return inside
        return inside[:: ceil(len(inside) / MOST_TICKS)]
    step = 10.0 ** floor(log10((high - low) / 2))
    step = next(step * part for part in (1, 2, 5, 10) if (high - low) / (step * part) <= MOST_TICKS)
    return [step * number for number in range(ceil(low / step), floor(high / step) + 1)]


def _bars(counts: NDArray[np.integer], width: int, height: int) -> Markup:
    """Return one path for all bars; the highest reaches the top, and none that counts anything is invisible."""
    most, each = max(int(counts.max(initial=0)), 1), width / max(len(counts), 1)
    path = "".join(
        f"M{i * each:.4g} {height}v-{max(count / most * (height - 2), 1):.4g}h{each * 0.9:.4g}V{height}z"
        for i, count in enumerate(counts.tolist())
        if count
    )
    return Markup('<path class="bars" d="{}"/>').format(path)


def _svg(width: int, height: int, description: str, content: Markup, fit: str = "xMidYMid") -> Markup:
    opening = '<svg viewBox="0 0 {} {}" width="{}" height="{}" preserveAspectRatio="{}" role="img" aria-label="{}">'
    label = escape(printable(description))
    return Markup(opening + "{}</svg>").format(width, height, width, height, fit, label, content)
