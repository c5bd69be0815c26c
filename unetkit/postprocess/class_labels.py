"""Objects of a mask of several classes: each class is labelled by itself, and the numbers go on from class to class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.postprocess.components import CONNECTED
from unetkit.postprocess.labels import LABEL_TILE, Labels
from unetkit.postprocess.method import Method


@dataclass(frozen=True)
class OfClass:
    """Bands of class numbers, seen as masks (1, h, width) of one class: 1 where it is.

    Attributes:
        bands: (1, h, width) each.
        value: The number of the class.
    """

    bands: Iterable[NDArray[np.uint8]]
    value: int

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        return ((band == self.value).view(np.uint8) for band in self.bands)


class ClassLabels:
    """The objects of a mask of several classes; see `Labels`. Pixels of two classes are never one object.

    Args:
        bands: (1, h, width) uint8 class numbers, 0 for background. They are read twice for each class.
        height: Rows of a plane.
        classes: Number of classes, the background included.
        method: How objects of a class are separated.
        smallest: Objects of fewer pixels become background, in pixels.
        tile: Height and width of the tiles.

    Attributes:
        count: The largest label.
        dtype: uint16 where that is enough, otherwise uint32.
        last: The largest label of each class but the background, in their order: the labels of a class are those above
            the last one of the class before.
    """

    def __init__(
        self,
        bands: Iterable[NDArray[np.uint8]],
        height: int,
        classes: int,
        *,
        method: Method = CONNECTED,
        smallest: int = 0,
        tile: tuple[int, int] = LABEL_TILE,
    ) -> None:
        self._each = [
            Labels(OfClass(bands, value), height, method=method, smallest=smallest, tile=tile)
            for value in range(1, classes)
        ]
        self.last = tuple(int(last) for last in np.cumsum([labels.count for labels in self._each]))
        self.count = self.last[-1]
        self.dtype: np.dtype[Any] = np.dtype(np.uint16 if self.count < 1 << 16 else np.uint32)

    def classes_of(self, labels: NDArray[Any]) -> NDArray[np.intp]:
        """Return the number (N,) of the class of each of some labels (N,), from 1."""
        return np.searchsorted(self.last, labels) + 1

    def rows(self) -> Iterator[NDArray[Any]]:
        """Yield the labels (1, h, width) in order."""
        before = (0, *self.last)
        for strips in zip(*(labels.rows() for labels in self._each), strict=True):
            merged = np.zeros(strips[0].shape, self.dtype)
            for strip, offset in zip(strips, before, strict=False):
                np.add(strip, self.dtype.type(offset), out=merged, where=strip > 0, dtype=self.dtype)
            yield merged
