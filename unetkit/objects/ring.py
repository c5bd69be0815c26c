"""Rings around objects: the background pixels within a distance that are nearer to one object than to all others."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


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

    Each pixel has a key: the squared distance to the nearest object, then its label. The least key of a column comes
    first, then the least of the keys of all columns near, to which the squared distance of the column is added.

    Args:
        labels: (h, w).
        radius: See `Rings`.
    """
    reach, farthest = int(radius), int(radius * radius + 1e-9)
    bits = int(labels.max(initial=0)).bit_length()
    kind = np.uint32 if bits + (farthest + (reach + 1) ** 2).bit_length() <= 32 else np.uint64
    columns = _nearest_in_columns(labels, reach, kind(bits))
    rings = np.zeros((len(labels) - 2 * reach, labels.shape[1]), labels.dtype)
    moved = np.empty_like(columns[:1])[0]
    for row, (keys, ring) in enumerate(zip(columns, rings, strict=True), start=reach):
        best = keys.copy()
        for step in range(1, min(reach, keys.size - 1) + 1):
            np.add(keys, kind(step * step << bits), out=moved)
            np.minimum(best[step:], moved[:-step], out=best[step:])
            np.minimum(best[:-step], moved[step:], out=best[:-step])
        near = best < kind((farthest + 1) << bits)
        near &= labels[row] == 0
        np.copyto(ring, best & kind((1 << bits) - 1), where=near, casting="unsafe")
    return rings


def _nearest_in_columns(labels: NDArray[Any], reach: int, bits: np.unsignedinteger[Any]) -> NDArray[Any]:
    """Return the key of the nearest object above or below for each pixel of the rows that `find_rings` returns.

    Args:
        labels: (h, w).
        reach: Farthest distance that counts; all that are farther have the key of the next one.
        bits: Bits of a key that hold the label, of the type of the keys.
    """
    height, width = labels.shape
    kind = bits.dtype.type
    beyond, one = kind(reach + 1), kind(1)
    keys = np.full((height - 2 * reach, width), np.iinfo(kind).max, kind)
    for rows in (range(height), range(height - 1, -1, -1)):
        label, distance = np.zeros(width, kind), np.full(width, beyond)
        for row in rows:
            outside = labels[row] == 0
            distance += one
            np.minimum(distance, beyond, out=distance)
            distance *= outside
            np.copyto(label, labels[row], where=~outside, casting="unsafe")
            if reach <= row < height - reach:
                key = distance * distance
                key <<= bits
                key |= label
                np.minimum(keys[row - reach], key, out=keys[row - reach])
    return keys
