"""The objects of all planes, joined and numbered from what their blocks tell; their pixels are not needed for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.postprocess.assembly import Assembly
from unetkit.postprocess.block_faces import BlockFaces
from unetkit.postprocess.blocks import MASK
from unetkit.postprocess.faces import Faces
from unetkit.postprocess.method import Method
from unetkit.postprocess.parts import LARGEST_DISTANCE, Window


@dataclass
class Numbered:
    """What is known of objects that are numbered, without their pixels.

    Attributes:
        last: The largest label of each class but the background, in their order: the labels of a class are those above
            the last one of the class before. A mask has one class.
        confidences: (count,) float32, 0 to 1, of each object, that of label 1 first: the highest peak of its distance
            map; None where the method has none.
    """

    last: tuple[int, ...]
    confidences: NDArray[np.float32] | None

    @property
    def count(self) -> int:
        """Number of objects of all planes; also the largest label, as no two objects share a number."""
        return self.last[-1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the labels: uint16 where that is enough, otherwise uint32."""
        return np.dtype(np.uint16 if self.count < 1 << 16 else np.uint32)

    def classes_of(self, labels: NDArray[Any]) -> NDArray[np.intp]:
        """Return the number (N,) of the class of each of some labels (N,), from 1."""
        return np.searchsorted(self.last, labels) + 1


class Joined:
    """Joins and numbers the objects of blocks. Numbers run on from plane to plane, then from class to class.

    In memory are for each object of a class and a plane about 30 bytes while that plane is joined (about 100 where
    objects are chosen by a learnt quality), the pixels along the sides of a row of blocks, and 4 bytes for each group
    of pixels of a tile.

    Args:
        method: How objects were separated.
        classes: Number of classes, as in `find_block`.
        smallest: Objects of fewer pixels become background, in pixels. They are counted after separation.
    """

    def __init__(self, method: Method, *, classes: int = MASK, smallest: int = 0) -> None:
        self._classes = [_OneClass(method, smallest) for _ in range(max(classes - 1, 1))]
        self._method = method

    def add(self, window: Window, size: tuple[int, ...], faces: BlockFaces) -> None:
        """Add the next block; blocks come in raster order, those of a row in one height, plane after plane.

        Args:
            window: Its place in the plane.
            size: Pixels of the plane along each axis.
            faces: What `find_block` gave.

        Raises:
            ValueError: It is not the next one.
        """
        for one, own in zip(self._classes, faces.classes, strict=True):
            one.add(window, size, own)

    @property
    def numbered(self) -> Numbered:
        """The objects of all planes that are whole."""
        last = tuple(int(end) for end in np.cumsum([one.count for one in self._classes]))
        if not self._method.knows_confidence:
            return Numbered(last, None)
        confidences = [np.zeros(0, np.float32), *(plane for one in self._classes for plane in one.confidences)]
        return Numbered(last, np.concatenate(confidences))

    def numbers(self) -> Iterator[NDArray[np.uint32]]:
        """Yield for each block, in the order in which they were added, the numbers (M,) that `draw_block` takes."""
        before = (0, *self.numbered.last)
        for blocks in zip(*(one.numbers for one in self._classes), strict=True):
            yield np.concatenate(
                [
                    np.where(numbers > 0, numbers + np.uint32(offset), numbers)
                    for numbers, offset in zip(blocks, before, strict=False)
                ]
            )


class _OneClass:
    """The objects of one class, numbered from 1.

    Attributes:
        count: Number of objects.
        numbers: The number of each group of the tiles of each block, 0 for background.
        confidences: Of the objects of each plane, where the method knows them.
    """

    def __init__(self, method: Method, smallest: int) -> None:
        self._method = method
        self._smallest = smallest
        self._plane: Assembly | None = None
        self._blocks: list[int] = []
        self.count = 0
        self.numbers: list[NDArray[np.uint32]] = []
        self.confidences: list[NDArray[np.float32]] = []

    def add(self, window: Window, size: tuple[int, ...], faces: Faces) -> None:
        """Add a block."""
        if self._plane is None:
            self._plane = Assembly(tuple(slice(0, extent) for extent in size), size)
        self._plane.add(window, faces)
        self._blocks.append(len(faces.tile_groups))
        if self._plane.is_whole:
            self._number(self._plane.finish(self._method))
            self._plane, self._blocks = None, []

    def _number(self, objects: Faces) -> None:
        """Number the objects of a plane that are large, high and good enough, in raster order of their first pixels."""
        found = objects.groups
        kept = (found.sizes >= self._smallest) & (found.peaks >= self._method.lowest)
        if self._method.choice is not None:
            kept &= found.qualities > self._method.strictness * self._method.choice.cost
        numbers = np.where(kept, self.count + np.cumsum(kept), 0).astype(np.uint32)
        self.numbers += np.split(numbers[objects.tile_groups], np.cumsum(self._blocks)[:-1])
        if self._method.knows_confidence:
            self.confidences.append((found.peaks[kept] / LARGEST_DISTANCE).astype(np.float32))
        self.count += int(kept.sum())
