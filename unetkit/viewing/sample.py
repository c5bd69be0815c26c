"""A small part of an image that stands for the whole: what its values are, and where there is contrast."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.viewing.levels import Level
from unetkit.viewing.opening import Picture

SMALL_PIXELS = 2**21
"""A level of the file up to this many pixels is read whole."""

PLACES = 6
"""Along each axis of a larger one, parts at so many places are read."""

SIDE = 128
"""Side of these parts in pixels."""

PERCENTILES = (0.5, 99.7)
"""Percentiles of the values that are black and white, as in the pictures of reports."""

MOST_PLANES = 3
"""Planes of a stack that are looked at."""


def take_sample(picture: Picture) -> NDArray[Any]:
    """Return values (C, N) from all over an image.

    Raises:
        ImageError: The file cannot be read.
    """
    stored = picture.stored
    small = [level for level in stored if level.size[0] * level.size[1] <= SMALL_PIXELS]
    level = small[0] if small else stored[-1]
    planes = sorted({0, picture.info.planes // 2, picture.info.planes - 1})[:MOST_PLANES]
    parts = [_read(level, plane, whole=bool(small)) for plane in planes]
    return np.concatenate(parts, axis=1)


def _read(level: Level, plane: int, *, whole: bool) -> NDArray[Any]:
    """Return values (C, N) of one plane."""
    spans = [[slice(0, length)] if whole else _spans(length) for length in level.size]
    windows = [level.read(plane, window, lambda: True) for window in product(*spans)]
    return np.concatenate([window.reshape(len(window), -1) for window in windows], axis=1)


def _spans(length: int) -> list[slice]:
    """Return parts of an axis that are spread over all of it.

    >>> _spans(100), len(_spans(5000)), _spans(5000)[-1]
    ([slice(0, 100, None)], 6, slice(4872, 5000, None))
    """
    if length <= SIDE:
        return [slice(0, length)]
    starts = np.unique(np.linspace(0, length - SIDE, PLACES).astype(int))
    return [slice(int(start), int(start) + SIDE) for start in starts]


def contrast(values: NDArray[Any]) -> tuple[float, float]:
    """Return the values that are shown black and white; the second is the larger one.

    >>> contrast(np.zeros(5)), contrast(np.arange(1001))
    ((0.0, 1.0), (5.0, 997.0))
    """
    known = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if not known.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(known, PERCENTILES))
    if high <= low:
        low, high = float(known.min()), float(known.max())
    return (low, high) if high > low else (low, low + 1.0)
