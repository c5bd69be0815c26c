"""Rings around objects: the background pixels within a distance that are nearer to one object than to all others."""

from __future__ import annotations

from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

NOWHERE = np.uint64(1 << 63)
"""Key of a pixel that has no object near."""

LABEL_BITS = 40
"""Bits of a key that hold the label; those above hold the squared distance."""


class Rings:
    """Finds the rings of one plane, row after row.

    A pixel as near to two objects belongs to the one with the lower label.

    Args:
        height: Rows of the plane.
        radius: Width of a ring, in pixels: the largest distance between the centres of a pixel of it and of the nearest
            pixel of the object.

    Attributes:
        rows: Rows that are done so far.
    """

    def __init__(self, height: int, radius: float) -> None:
        self._height = height
        self._radius = radius
        self._reach = int(radius)
        self._rows: NDArray[Any] | None = None
        self.rows = 0

    def add(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Take the next rows (h, width) of the plane.

        Returns:
            (k, width) the next rows of the rings: the label of the object whose ring it is, 0 elsewhere.
        """
        reach = self._reach
        before = np.zeros((reach, labels.shape[1]), labels.dtype) if self._rows is None else self._rows
        rows = np.concatenate([before, labels])
        if self.rows + len(rows) - reach == self._height:
            rows = np.concatenate([rows, np.zeros((reach, rows.shape[1]), rows.dtype)])
        done = max(len(rows) - 2 * reach, 0)
        self._rows = rows[done:].copy()
        self.rows += done
        return find_rings(rows, self._radius) if done else labels[:0]


def find_rings(labels: NDArray[Any], radius: float) -> NDArray[Any]:
    """Return the rings in the rows that have `int(radius)` rows above and below them.

    Args:
        labels: (h, width) labels below 2^40.
        radius: See `Rings`.
    """
    reach, farthest = int(radius), int(radius * radius + 1e-9)
    vertical = _nearest_in_columns(labels, reach)
    rings = np.zeros((len(labels) - 2 * reach, labels.shape[1]), labels.dtype)
    for row, (keys, ring) in enumerate(zip(vertical, rings, strict=True), start=reach):
        best = keys.copy()
        for step in range(1, min(isqrt(farthest), keys.size - 1) + 1):
            added = np.uint64(step * step << LABEL_BITS)
            moved = keys + added
            np.minimum(best[step:], moved[:-step], out=best[step:])
            np.minimum(best[:-step], moved[step:], out=best[:-step])
        near = (best >> np.uint64(LABEL_BITS)) <= np.uint64(farthest)
        near &= labels[row] == 0
        ring[near] = best[near] & np.uint64((1 << LABEL_BITS) - 1)
    return rings


def _nearest_in_columns(labels: NDArray[Any], reach: int) -> NDArray[np.uint64]:
    """Return a key for the nearest object above or below each pixel: its squared distance, then its label."""
    height, width = labels.shape
    keys = np.full((height - 2 * reach, width), NOWHERE, np.uint64)
    for rows in (range(height), range(height - 1, -1, -1)):
        label = np.zeros(width, np.uint64)
        distance = np.full(width, height + 1, np.uint64)  # farther than any that counts
        for row in rows:
            here = labels[row] > 0
            distance += np.uint64(1)
            distance[here] = 0
            np.copyto(label, labels[row], where=here, casting="unsafe")
            if reach <= row < height - reach:
                key = (distance * distance << np.uint64(LABEL_BITS)) | label
                key[distance > reach] = NOWHERE
                np.minimum(keys[row - reach], key, out=keys[row - reach])
    return keys
