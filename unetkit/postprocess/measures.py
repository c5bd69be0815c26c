"""Measures of groups of pixels that add up when groups are joined, and what follows from them for a whole object.

All sums are whole numbers, so they are the same in whatever order tiles are joined.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unetkit.postprocess.parts import LARGEST_DISTANCE, LARGEST_PREDICTED, Ints

SUMS = ("probability", "distance", "squared distance", "y", "x", "yy", "xx", "xy")
"""What is added up over the pixels of a group of a plane."""

SPREAD_OF_PIXEL = 1 / 12
"""Variance of a coordinate within one pixel. With it, objects of one line of pixels have an area, too."""


def no_sums(count: int) -> NDArray[np.int64]:
    """Return the sums of groups that are not measured."""
    return np.zeros((count, 0), np.int64)


def measure_groups(groups: Ints, probabilities: NDArray[np.uint8], distances: Ints, count: int) -> NDArray[np.int64]:
    """Return the `SUMS` (N, 8) of the groups of a tile, in coordinates of the tile.

    Args:
        groups: (h, w), 0 for background, then 1 to `count`.
        probabilities: (h, w) of the foreground, 0 to 255.
        distances: (h, w), 0 to `LARGEST_DISTANCE`.
        count: Number of groups.
    """
    y, x = np.nonzero(groups)
    numbers = groups[y, x] - 1
    distance = distances[y, x].astype(np.int64)
    terms = (probabilities[y, x], distance, distance**2, y, x, y * y, x * x, y * x)
    sums = [np.bincount(numbers, term, count) for term in terms]  # below 2**53, so that float64 holds them
    return np.stack(sums, axis=1).astype(np.int64)


def moved(sums: NDArray[np.int64], sizes: NDArray[np.int64], origin: Sequence[int]) -> NDArray[np.int64]:
    """Return the sums (N, 8) in coordinates of the plane.

    Args:
        sums: In coordinates of a tile; none stay none.
        sizes: (N,) pixels.
        origin: Where the tile begins in the plane, (y, x).
    """
    if not sums.shape[1]:
        return sums
    by_y, by_x = origin
    y, x, yy, xx, xy = sums[:, 3:].T
    places = (
        y + by_y * sizes,
        x + by_x * sizes,
        yy + 2 * by_y * y + by_y**2 * sizes,
        xx + 2 * by_x * x + by_x**2 * sizes,
        xy + by_y * x + by_x * y + by_y * by_x * sizes,
    )
    return np.column_stack([sums[:, :3], *places])


def looks(sums: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return what the sums tell of objects, in columns (N, 6).

    The logarithm of the pixels; the mean probability; the mean and the standard deviation of the distance, 0 to 1; and
    of the ellipse with the same second moments: the logarithm of the object's area as a share of its own, which is 0
    for ellipses and negative for objects with dents or gaps, and the logarithm of how elongated it is.

    Args:
        sums: (N, 8), see `SUMS`.
        sizes: (N,) pixels.
    """
    probability, distance, squared, y, x, yy, xx, xy = (sums / sizes[:, None]).T
    distance, squared = distance / LARGEST_DISTANCE, squared / LARGEST_DISTANCE**2
    down, across = yy - y * y + SPREAD_OF_PIXEL, xx - x * x + SPREAD_OF_PIXEL
    width = np.sqrt(np.maximum(down * across - (xy - x * y) ** 2, SPREAD_OF_PIXEL**2))
    return np.column_stack(
        [
            np.log(sizes),
            probability / LARGEST_PREDICTED,
            distance,
            np.sqrt(np.maximum(squared - distance**2, 0)),
            np.log(sizes / (4 * np.pi * width)),
            np.log((down + across) / (2 * width)),
        ]
    )
