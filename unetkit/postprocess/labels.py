"""Instance labels of a mask of any size, numbered once across all its tiles, in bounded memory.

The mask is read twice. The first time, each tile finds which of its pixels belong together (connected components, or
watershed regions, see `Method`) and what touches across its sides. From these few numbers for each object the objects
of a plane are joined, and numbered on from those of the planes before. The second time the tiles do the same again, and
their pixels get the numbers. Strips of tiles are *blocks* here; `unetkit.postprocess.blocks` takes any others.

Strips lie on a grid of their own, whatever the bands are in which the mask comes. The labels depend on neither. In
memory are a band, a strip of tiles, and for each object and each tile that it reaches into 4 bytes, with a confidence 4
more for each object, and about 30 more for each object and each strip that it reaches into while its plane is read for
the first time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.postprocess.blocks import LABEL_TILE, MASK, draw_block, find_block
from unetkit.postprocess.components import CONNECTED
from unetkit.postprocess.joined import Joined, Numbered
from unetkit.postprocess.method import Method
from unetkit.postprocess.strips import Strip, cut_strips


class Labels(Numbered):
    """The objects of a mask.

    Pixels that touch, diagonally too, are one object, as in skimage.measure.label, ImageJ, CellProfiler and QuPath: a
    nucleus whose outline is a thin diagonal is not torn into pieces. With the method `CONNECTED` the labels are exactly
    those of `skimage.measure.label(mask > 0)` on each plane, counted on from plane to plane. Other methods
    separate touching objects. Objects of two planes are never joined, nor are pixels of two classes.

    Args:
        bands: (C, h, width) uint8: the mask, 0 for background, then the other channels that the method takes; with
            several classes (1, h, width) class numbers. Bands go from the top of a plane to its bottom, plane after
            plane. No band crosses from one plane into the next. They are read in order, twice: they can be iterated
            again.
        height: Rows of a plane.
        method: How objects are separated; those of a class, where there are several.
        smallest: Objects of fewer pixels become background, in pixels. They are counted after separation.
        classes: Number of classes, the background included; 1 for a mask. Each class is labelled by itself, and the
            numbers go on from class to class.
        tile: Height and width of the tiles. They change time and memory, but not the labels.
    """

    def __init__(
        self,
        bands: Iterable[NDArray[np.uint8]],
        height: int,
        *,
        method: Method = CONNECTED,
        smallest: int = 0,
        classes: int = MASK,
        tile: tuple[int, int] = LABEL_TILE,
    ) -> None:
        self._bands = bands
        self._height = height
        self._method = method
        self._classes = classes
        self._tile = tile
        self._joined = Joined(method, classes=classes, smallest=smallest)
        for strip in self._strips():
            size = height, strip.width
            faces = find_block(strip.window, strip.place, size, method, classes=classes, tile=tile)
            self._joined.add(strip.place, size, faces)
        numbered = self._joined.numbered
        super().__init__(numbered.last, numbered.confidences)

    def rows(self) -> Iterator[NDArray[Any]]:
        """Yield the labels (1, h, width) in order.

        Numbers run from 1 through all planes, in each in raster order of the objects' first pixels.
        """
        for strip, numbers in zip(self._strips(), self._joined.numbers(), strict=True):
            size = self._height, strip.width
            choices: dict[str, Any] = {"classes": self._classes, "tile": self._tile}
            yield draw_block(strip.window, strip.place, size, self._method, numbers, self.dtype, **choices)

    def _strips(self) -> Iterator[Strip]:
        return cut_strips(self._bands, self._height, self._tile[0], self._method.margin)
