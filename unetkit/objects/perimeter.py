"""Perimeters of objects, counted on the rows of a label image as they come.

The perimeter is that of Benkrid and Crookes, as in `skimage.measure.perimeter`: each border pixel counts 1, sqrt(2) or
their mean by how its neighbours in the border lie. An object's border are its pixels with one of the 4 neighbours
outside. Counts are whole numbers, so they do not depend on the strips.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

WEIGHTS = (1.0, 2**0.5, (1 + 2**0.5) / 2)
"""Lengths of the kinds of border pixels."""

MARGIN = 2
"""Rows that are needed on both sides of those that are counted."""

BLOCK = (128, 1024)
"""Rows and columns that are worked on at a time, so that they stay in the processor's cache."""

_KINDS = np.zeros((5, 5), np.uint8)
"""Number of the kind, from 1, by the border pixels beside, above and below, and by the diagonal ones."""
for _straight, _diagonal, _kind in (
    *((2, 0, 1), (3, 0, 1), (2, 1, 1), (3, 1, 1), (2, 2, 1), (3, 2, 1)),
    *((0, 2, 2), (1, 3, 2)),
    *((1, 1, 3), (1, 2, 3)),
):
    _KINDS[_straight, _diagonal] = _kind


class Perimeters:
    """Counts the border pixels of the objects of one plane.

    Args:
        height: Rows of the plane.

    Attributes:
        rows: Rows that are counted so far.
    """

    def __init__(self, height: int) -> None:
        self._height = height
        self._rows: NDArray[Any] | None = None
        self._labels = np.zeros(0, np.uint64)
        self._counts = np.zeros((3, 0), np.int64)
        self.rows = 0

    def add(self, labels: NDArray[Any]) -> None:
        """Take the next rows (h, width) of the plane."""
        width = labels.shape[1]
        before = np.zeros((MARGIN, width), labels.dtype) if self._rows is None else self._rows
        known = len(before) + len(labels)
        below = MARGIN if self.rows + known - MARGIN == self._height else 0
        padded = np.zeros((known + below, width + 2 * MARGIN), labels.dtype)
        padded[: len(before), MARGIN:-MARGIN] = before
        padded[len(before) : known, MARGIN:-MARGIN] = labels
        total = max(len(padded) - 2 * MARGIN, 0)
        found = [np.zeros(0, np.uint64)]
        for top in range(0, total, BLOCK[0]):
            bottom = min(top + BLOCK[0], total) + 2 * MARGIN
            for left in range(0, width, BLOCK[1]):
                right = min(left + BLOCK[1], width) + 2 * MARGIN
                found.append(_border_kinds(padded[top:bottom, left:right]))
        self.rows += total
        self._rows = padded[total:, MARGIN:-MARGIN].copy()
        self._keep(np.concatenate(found))

    def take(self, labels: NDArray[Any]) -> NDArray[np.float64]:
        """Return the perimeters of complete objects, whose labels are ascending, and forget them."""
        place = np.minimum(np.searchsorted(labels, self._labels), len(labels) - 1)
        done = labels[place] == self._labels
        perimeters = np.zeros(len(labels))
        for counts, weight in zip(self._counts, WEIGHTS, strict=True):
            number = np.bincount(place[done], counts[done], len(labels))  # whole numbers, exact in float64
            perimeters += number * weight
        self._labels, self._counts = self._labels[~done], self._counts[:, ~done]
        return perimeters

    def _keep(self, keys: NDArray[np.uint64]) -> None:
        """Add border pixels, given as 4 times their label and their kind."""
        if not keys.size:
            return
        keys.sort()
        first = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
        number = np.diff(first, append=len(keys))
        keys = keys[first]
        counts = np.zeros((3, len(keys)), np.int64)
        counts[(keys & np.uint64(3)).astype(np.intp) - 1, np.arange(len(keys))] = number
        labels = np.concatenate([self._labels, keys >> np.uint64(2)])
        self._labels, place = np.unique(labels, return_inverse=True)
        counts = np.concatenate([self._counts, counts], axis=1)
        merged = [np.bincount(place, one, len(self._labels)) for one in counts]
        self._counts = np.stack(merged).astype(np.int64)


def _border_kinds(padded: NDArray[Any]) -> NDArray[np.uint64]:
    """Return 4 times the label plus the kind of each border pixel that has a length.

    Args:
        padded: (h, w) labels with a margin on all sides.
    """
    across, down = padded[:, 1:] == padded[:, :-1], padded[1:] == padded[:-1]
    falling, rising = padded[1:, 1:] == padded[:-1, :-1], padded[1:, :-1] == padded[:-1, 1:]
    border = padded[1:-1, 1:-1] > 0
    border &= ~(across[1:-1, 1:] & across[1:-1, :-1] & down[1:, 1:-1] & down[:-1, 1:-1])
    # pairs of border pixels of one object; their places are those of the pixels without the outermost of `padded`
    across = (across[1:-1, 1:-1] & border[:, 1:] & border[:, :-1]).view(np.uint8)
    down = (down[1:-1, 1:-1] & border[1:] & border[:-1]).view(np.uint8)
    falling = (falling[1:-1, 1:-1] & border[1:, 1:] & border[:-1, :-1]).view(np.uint8)
    rising = (rising[1:-1, 1:-1] & border[1:, :-1] & border[:-1, 1:]).view(np.uint8)
    straight = across[1:-1, 1:] + across[1:-1, :-1] + down[1:, 1:-1] + down[:-1, 1:-1]
    diagonal = falling[1:, 1:] + falling[:-1, :-1] + rising[1:, :-1] + rising[:-1, 1:]
    places = np.flatnonzero(border[1:-1, 1:-1])
    kinds = _KINDS[straight.ravel()[places], diagonal.ravel()[places]]
    counted = kinds > 0
    inner = padded[MARGIN:-MARGIN, MARGIN:-MARGIN]
    labels = inner[np.divmod(places[counted], inner.shape[1])].astype(np.uint64)
    labels <<= np.uint64(2)
    labels |= kinds[counted]
    return labels
