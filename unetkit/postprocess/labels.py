"""Instance labels of a foreground mask of any size, numbered once across all its tiles, in bounded memory.

The mask is read twice. The first time, each tile finds which of its pixels belong together (connected components, or
watershed regions, see `Method`) and what touches across its borders. From these few numbers for each object the objects
of a plane are joined, and numbered on from those of the planes before. The second time the tiles do the same again, and
their pixels get the numbers.

Tiles lie on a grid of their own, whatever the bands are in which the mask comes. The labels depend on neither. In
memory are a band, a strip of tiles, and for each object and each tile that it reaches into 4 bytes, with a confidence 4
more for each object, and about 20 more (and 24 for each pair that touches) while its plane is read for the first time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.postprocess.components import CONNECTED
from unetkit.postprocess.method import Method
from unetkit.postprocess.parts import LARGEST_DISTANCE, Part
from unetkit.postprocess.plane import Plane
from unetkit.postprocess.strips import Strip, cut_strips

LABEL_TILE = (512, 1024)
"""Height and width of the tiles in which a mask is labelled, in pixels. Such a tile fits in a processor's cache."""


class Labels:
    """The objects of a mask.

    Pixels that touch, diagonally too, are one object, as in skimage.measure.label, ImageJ, CellProfiler and QuPath: a
    nucleus whose outline is a thin diagonal is not torn into pieces. With the method `CONNECTED` the labels are exactly
    those of `skimage.measure.label(mask > 0)` on each plane, counted on from plane to plane. Other methods
    separate touching objects. Objects of two planes are never joined.

    Args:
        bands: (C, h, width) uint8: the mask, 0 for background, then the other channels that the method takes. Bands
            go from the top of a plane to its bottom, plane after plane. No band crosses from one plane into the next.
            They are read in order, twice: they can be iterated again.
        height: Rows of a plane.
        method: How objects are separated.
        smallest: Objects of fewer pixels become background, in pixels. They are counted after separation.
        tile: Height and width of the tiles. They change time and memory, but not the labels.

    Attributes:
        count: Number of objects of all planes; also the largest label, as no two objects share a number.
        dtype: uint16 where that is enough, otherwise uint32.
        confidences: (count,) float32, 0 to 1, of each object, that of label 1 first: the highest peak of its distance
            map; None where the method has none.
    """

    def __init__(
        self,
        bands: Iterable[NDArray[np.uint8]],
        height: int,
        *,
        method: Method = CONNECTED,
        smallest: int = 0,
        tile: tuple[int, int] = LABEL_TILE,
    ) -> None:
        self._bands = bands
        self._height = height
        self._tile = tile
        self._method = method
        self._numbers: list[NDArray[np.uint32]] = []
        self.count = 0
        confidences = [np.zeros(0, np.float32)]
        for strip in self._strips():
            if strip.top == 0:
                plane = Plane(strip.window.shape[2])
            for left, part in self._parts(strip):
                plane.add(part, strip.top, left)
            if strip.bottom == height:
                numbers, peaks = plane.number(method.joining_saddle, smallest, method.lowest)
                numbers[numbers > 0] += np.uint32(self.count)
                self._numbers.append(numbers)
                self.count += len(peaks)
                if method.knows_confidence:
                    confidences.append((peaks / LARGEST_DISTANCE).astype(np.float32))
        self.confidences = np.concatenate(confidences) if method.knows_confidence else None
        self.dtype: np.dtype[Any] = np.dtype(np.uint16 if self.count < 1 << 16 else np.uint32)

    def rows(self) -> Iterator[NDArray[Any]]:
        """Yield the labels (1, h, width) in order.

        Numbers run from 1 through all planes, in each in raster order of the objects' first pixels.
        """
        planes = iter(self._numbers)
        for strip in self._strips():
            if strip.top == 0:
                numbers, done = next(planes), 0
            labels = np.empty((1, strip.bottom - strip.top, strip.window.shape[2]), self.dtype)
            for left, part in self._parts(strip):
                stop = done + len(part.peaks)
                table = np.concatenate([[0], numbers[done:stop]]).astype(self.dtype)
                labels[0, :, left : left + part.groups.shape[1]] = table[part.groups]
                done = stop
            yield labels

    def _strips(self) -> Iterator[Strip]:
        return cut_strips(self._bands, self._height, self._tile[0], self._method.margin)

    def _parts(self, strip: Strip) -> Iterator[tuple[int, Part]]:
        """Yield the left border and the part of each tile of a strip."""
        width, margin = strip.window.shape[2], self._method.margin
        for left in range(0, width, self._tile[1]):
            right, start = min(left + self._tile[1], width), max(left - margin, 0)
            window = np.ascontiguousarray(strip.window[:, :, start : right + margin])
            yield left, self._method.find(window, strip.rows, slice(left - start, right - start))
