"""Which images differ from the others of a folder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LEAST_IMAGES = 8
"""Of fewer images none is an outlier."""

MOST_DEVIATION = 3.5
"""In robust standard deviations (Iglewicz and Hoaglin 1993, How to detect and handle outliers)."""

LEAST_FACTOR = 2.0
"""By which an outlier differs at least, whatever the deviations are: equal images have none."""

RULE = (
    f"more than {MOST_DEVIATION:g} robust standard deviations (1.4826 times the median absolute deviation, of the "
    f"logarithms) from the median of all images, and at least {LEAST_FACTOR:g} times as much or as little"
)
"""When a value is far from the others, in words."""


def far_from_others(values: Sequence[float]) -> list[int]:
    """Return for each value 1 if it is far above the others, -1 if it is far below, else 0.

    Args:
        values: From 0; NaN where there is none. A zero counts as half of the smallest value above it.

    >>> far_from_others([10, 11, 12, 10, 11, 12, 10, 40, 0])
    [0, 0, 0, 0, 0, 0, 0, 1, -1]
    """
    given = np.asarray(values, np.float64)
    known = np.isfinite(given)
    above = given[known & (given > 0)]
    if known.sum() < LEAST_IMAGES or not len(above):
        return [0] * len(values)
    logs = np.log(np.maximum(np.where(known, given, above[0]), above.min() / 2))
    away = np.where(known, logs - np.median(logs[known]), 0)
    bound = max(MOST_DEVIATION * 1.4826 * float(np.median(np.abs(away[known]))), np.log(LEAST_FACTOR) - 1e-9)
    far: list[int] = (np.sign(away) * (np.abs(away) > bound)).astype(int).tolist()
    return far
