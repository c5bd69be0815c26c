"""A view that keeps the planes that were read last, so that each is decoded once though its neighbours need it too."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from math import prod
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.contracts import BadTile, ImageInfo, ImageSource, Window
from unetkit.io.base.windows import common, inside, sizes_of
from unetkit.io.decoding.scratch import ScratchArray
from unetkit.io.views.volume import find_depth

CELL_SIZE = 512
"""Least size along each axis of what is decoded and kept at a time, in pixels."""

WHOLE_BYTES = 32 * 2**20
"""A plane that its file keeps in pieces of more bytes is read whole at once, as its pieces are decoded whole."""


@dataclass
class _Slot:
    """A place for a plane: its number from 0, and which cells are there."""

    number: int
    filled: set[tuple[int, ...]] = field(default_factory=set)


class KeptPlanes:
    """An image whose planes are kept for a while, decoded, in memory or in a temporary file.

    Reading goes from plane to plane, band by band, and each window is read from several planes. So a cache for some
    bands would decode all of them again and again; this one holds whole planes, each as far as it has been read.

    Args:
        source: The image, whose items are planes; closed with this one.
        planes: How many planes are kept; the one that was not read for the longest time goes first.
        max_bytes: Room in memory. Where it is too small for so many planes, they are in a temporary file.

    Attributes:
        info: The image as it is interpreted.

    Raises:
        ImageError: The temporary file cannot be made.
    """

    def __init__(self, source: ImageSource, planes: int, max_bytes: int) -> None:
        info = source.info
        self._source = source
        self._planes = planes
        self._whole = info.channels * prod(info.block) * info.dtype.itemsize > WHOLE_BYTES
        blocks = (1,) * len(info.size) if self._whole else info.block
        self._cell = tuple(_step(length, block) for length, block in zip(info.size, blocks, strict=True))
        self._grid = tuple(-(-length // step) for length, step in zip(info.size, self._cell, strict=True))
        self._slots: OrderedDict[int, _Slot] = OrderedDict()
        self._lock = RLock()
        shape = (planes * prod(self._grid), info.channels, *self._cell)
        nbytes = prod(shape) * info.dtype.itemsize
        self._kept: NDArray[Any] | ScratchArray
        if nbytes <= max_bytes:
            self._kept = np.empty(shape, info.dtype)
            self.info: ImageInfo = info
        else:
            self._kept = ScratchArray(shape, info.dtype.newbyteorder("="), info.name)
            self.info = replace(info, scratch_bytes=info.scratch_bytes + nbytes)

    @property
    def bad_tiles(self) -> list[BadTile]:
        """What could not be decoded so far."""
        return self._source.bad_tiles

    def read(self, item: int, window: Window) -> NDArray[Any]:
        """Return pixels (C, h, w) of one plane."""
        pixels = np.empty((self.info.channels, *sizes_of(window)), self.info.dtype)
        with self._lock:
            slot = self._slot(item)
            if self._whole:
                for place in np.ndindex(self._grid):
                    self._fill(item, slot, place)
            for place in self._beneath(window):
                cell, number = self._place(place), self._fill(item, slot, place)
                part = common(window, cell)
                kept: tuple[int | slice, ...] = (number, slice(None), *inside(part, cell))
                pixels[:, *inside(part, window)] = self._kept[kept]
        return pixels

    def close(self) -> None:
        """Close the image; what was kept is gone."""
        with self._lock:
            self._slots.clear()
            self._kept = np.empty(0)
        self._source.close()

    def _slot(self, item: int) -> _Slot:
        """Return the place of a plane, which is then the one that was read last."""
        if item not in self._slots:
            full = len(self._slots) == self._planes
            self._slots[item] = _Slot(self._slots.popitem(last=False)[1].number if full else len(self._slots))
        self._slots.move_to_end(item)
        return self._slots[item]

    def _fill(self, item: int, slot: _Slot, place: tuple[int, ...]) -> int:
        """Read a cell of a plane if it is not there yet; return the number under which it is kept."""
        number = slot.number * prod(self._grid) + int(np.ravel_multi_index(place, self._grid))
        if place not in slot.filled:
            part = self._source.read(item, self._place(place))
            edges = [(0, length - there) for length, there in zip(self._cell, part.shape[1:], strict=True)]
            self._kept[number] = np.pad(part, [(0, 0), *edges]) if any(edge[1] for edge in edges) else part
            slot.filled.add(place)
        return number

    def _place(self, place: tuple[int, ...]) -> Window:
        """Return where a cell lies in its plane."""
        each = zip(place, self._cell, self.info.size, strict=True)
        return tuple(slice(i * step, min((i + 1) * step, length)) for i, step, length in each)

    def _beneath(self, window: Window) -> Iterator[tuple[int, ...]]:
        """Yield the cells that a window lies on."""
        each = zip(window, self._cell, strict=True)
        return product(*(range(part.start // step, -(-part.stop // step)) for part, step in each))


def _step(length: int, block: int) -> int:
    """Return the size of cells along an axis of a length: some whole blocks, in which the file is decoded."""
    piece = min(max(block, 1), length)
    return min(-(-CELL_SIZE // piece) * piece, length)


def keep_planes(source: ImageSource, planes: int, max_bytes: int) -> ImageSource:
    """Return an image that decodes each plane once, though windows are read with those of neighbouring planes.

    Args:
        source: The image, whose items are planes.
        planes: How many neighbouring planes are read together, the one in the middle included.
        max_bytes: Room in memory for decoded planes; beyond it they go to a temporary file.

    Raises:
        ImageError: The temporary file cannot be made.
    """
    axis = find_depth(source.info)
    stack = 1 if axis is None else min(planes, source.info.plane_shape[axis])
    return source if stack == 1 or source.info.compression == "none" else KeptPlanes(source, stack, max_bytes)
