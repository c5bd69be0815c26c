"""Instance labels of a mask of any size, numbered once across all its tiles, in bounded memory.

The mask is one of planes or of volumes (*items*). It is read twice. The first time, each tile finds which of its pixels
belong together (connected components, or watershed regions, see `Method`) and what touches across its sides. From these
few numbers for each object the objects of an item are joined, and numbered on from those of the items before. The
second time the tiles do the same again, and their pixels get the numbers. Strips of tiles are *blocks* here;
`unetkit.postprocess.blocks` takes any others.

Strips are rows of a plane or planes of a volume. They lie on a grid of their own, whatever the bands are in which the
mask comes. The labels depend on neither. In memory are a band, a strip of tiles, and for each object and each tile that
it reaches into 4 bytes, with a confidence 4 more for each object, and about 30 more (where objects are
chosen by a learnt quality, about 100) for each object and each strip that it reaches into while its item is read for
the first time; of a volume also 7 bytes for each pixel of a plane.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.postprocess.blocks import MASK, draw_block, find_block, label_tile
from unetkit.postprocess.components import CONNECTED
from unetkit.postprocess.joined import Joined, Numbered
from unetkit.postprocess.method import Method
from unetkit.postprocess.strips import Strip, cut_strips


class Labels(Numbered):
    """The objects of a mask.

    Pixels that touch, diagonally too, are one object, as in skimage.measure.label, ImageJ, CellProfiler and QuPath: a
    nucleus whose outline is a thin diagonal is not torn into pieces. With the method `CONNECTED` the labels are exactly
    those of `skimage.measure.label(mask > 0)` on each plane or volume, counted on from one to the next. Other methods
    separate touching objects. Objects of two items are never joined, nor are pixels of two classes.

    Args:
        bands: (C, h, width) of planes, (C, d, height, width) of volumes, uint8: the mask, 0 for background, then the
            other channels that the method takes; with several classes (1, ...) class numbers. Bands follow each other
            along the first axis of an item, item after item. No band crosses from one into the next. They are read in
            order, twice: they can be iterated again.
        size: Pixels of a plane or volume along each axis.
        method: How objects are separated; those of a class, where there are several.
        smallest: Objects of fewer pixels become background, in pixels. They are counted after separation.
        classes: Number of classes, the background included; 1 for a mask. Each class is labelled by itself, and the
            numbers go on from class to class.
        tile: Pixels of the tiles along each axis, by default `label_tile`. They change time and memory, but not the
            labels.
    """

    def __init__(
        self,
        bands: Iterable[NDArray[np.uint8]],
        size: tuple[int, ...],
        *,
        method: Method = CONNECTED,
        smallest: int = 0,
        classes: int = MASK,
        tile: tuple[int, ...] | None = None,
    ) -> None:
        self._bands = bands
        self._size = size
        self._method = method
        self._classes = classes
        self._tile = tile or label_tile(size)
        self._joined = Joined(method, classes=classes, smallest=smallest)
        for strip in self._strips():
            faces = find_block(strip.window, strip.place, size, method, classes=classes, tile=self._tile)
            self._joined.add(strip.place, size, faces)
        numbered = self._joined.numbered
        super().__init__(numbered.last, numbered.confidences)

    def rows(self) -> Iterator[NDArray[Any]]:
        """Yield the labels (1, h, width) or (1, d, height, width) in order.

        Numbers run from 1 through all items, in each in raster order of the objects' first pixels.
        """
        for strip, numbers in zip(self._strips(), self._joined.numbers(), strict=True):
            choices: dict[str, Any] = {"classes": self._classes, "tile": self._tile}
            yield draw_block(strip.window, strip.place, self._size, self._method, numbers, self.dtype, **choices)

    def _strips(self) -> Iterator[Strip]:
        return cut_strips(self._bands, self._size, self._tile[0], self._method.margins(len(self._size))[0])
