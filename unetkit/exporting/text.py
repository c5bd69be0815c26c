"""Numbers as text, many at a time: what makes files of outlines and measurements quick without further libraries."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

DIGITS = 7
"""Significant digits of fractions."""

MOST_SHORT = 10**6
"""Numbers below this fit into 8 bytes with the two signs beside them; numpy copies 8 bytes quickly."""


class PointText:
    """Points as text, looked up in tables that grow with the numbers."""

    def __init__(self) -> None:
        self._size = 0

    def rings(self, points: NDArray[np.int32], starts: NDArray[np.intp]) -> list[str]:
        """Return for each ring its points as "[x,y],[x,y],...".

        Args:
            points: (P, 2) numbers (x, y), at least 0.
            starts: (K + 1,) where each ring begins, and P.
        """
        self._grow(int(points.max()) + 1)
        text = np.empty((len(points), 2), self._x.dtype)
        text[:, 0] = self._x.take(points[:, 0])
        text[:, 1] = self._y.take(points[:, 1])
        last = starts[1:] - 1
        text[last, 1] = self._last_y.take(points[last, 1])
        return text.tobytes().translate(None, b"\0").decode("ascii").split("\n")[:-1]

    def _grow(self, size: int) -> None:
        """Make the tables for numbers below `size`, and some more."""
        if size <= self._size:
            return
        self._size = max(2 * self._size, 1 << 12)
        if self._size < size or self._size > MOST_SHORT:
            self._size = max(size, MOST_SHORT)
        kind = "S8" if self._size <= MOST_SHORT else "S16"
        self._x = np.array([f"[{number}," for number in range(self._size)], kind)
        self._y = np.array([f"{number}]," for number in range(self._size)], kind)
        self._last_y = np.array([f"{number}]\n" for number in range(self._size)], kind)


def texts_of(columns: Mapping[str, NDArray[Any]]) -> list[str]:
    """Return for each object its numbers as members of a JSON object: '"area":12,"solidity":0.9123457'.

    Numbers that are not known (NaN) or not finite are left out, since JSON has none.

    Args:
        columns: (N,) numbers, whole numbers or truth values (1 and 0) by name; at least one.
    """
    formats = [_format(name, column.dtype) for name, column in columns.items()]
    rows = list(zip(*(column.tolist() for column in columns.values()), strict=True))
    line = ",".join(formats)
    texts = [line % row for row in rows]
    known = np.logical_and.reduce([np.isfinite(column) for column in columns.values()])
    for at in np.flatnonzero(~known):
        texts[at] = _known(formats, rows[at])
    return texts


def _format(name: str, dtype: np.dtype[Any]) -> str:
    return f"{json.dumps(name)}:".replace("%", "%%") + (f"%.{DIGITS}g" if dtype.kind == "f" else "%d")


def _known(formats: Sequence[str], row: Sequence[float]) -> str:
    return ",".join(one % value for one, value in zip(formats, row, strict=True) if np.isfinite(value))
