"""A view of a volume as planes along any of its axes."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from math import prod
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.axes import ITEM_AXES
from unetkit.io.base.contracts import BadTile, ImageInfo, ImageSource, Window
from unetkit.io.base.stored import Step
from unetkit.io.views.volume import UM

SLAB_BYTES = 2**26
"""Most bytes of the planes that are cut out of a volume at a time, unless one plane has more."""


class ResliceSource:
    """The planes of volumes across an axis: XY, XZ or YZ.

    A plane across y or x passes many pieces of a file. So some planes beside each other, a *slab*, are cut out at once,
    and the two slabs that were read last are kept.

    Args:
        source: The image, whose items are volumes; closed with this one.
        axis: The axis of an item along which planes follow each other: 0 for XY, 1 for XZ, 2 for YZ.

    Attributes:
        info: The image as it is interpreted; the axis along which planes follow each other is called Z.
        slab: Planes that are cut out at once.
    """

    def __init__(self, source: ImageSource, axis: int) -> None:
        info = source.info
        self._source = source
        self._axis = axis
        self._depth = info.size[axis]
        self.info = _resliced(info, axis)
        plane_bytes = info.channels * prod(self.info.size) * info.dtype.itemsize
        self.slab = 1 if axis == 0 else max(1, min(self._depth, SLAB_BYTES // plane_bytes))
        self._slabs: OrderedDict[tuple[int, int], NDArray[Any]] = OrderedDict()
        self._lock = RLock()

    @property
    def bad_tiles(self) -> list[BadTile]:
        """What could not be decoded so far, in each plane that it reaches into."""
        return [
            BadTile(tile.item * self._depth + at, _without(tile.start, self._axis), _without(tile.size, self._axis))
            for tile in self._source.bad_tiles
            for at in range(tile.window[self._axis].start, tile.window[self._axis].stop)
        ]

    def read(self, item: int, window: Window) -> NDArray[Any]:
        """Return pixels (C, h, w) of one plane."""
        volume, at = divmod(item, self._depth)
        if self._axis == 0:  # as the file has it
            return self._source.read(volume, (slice(at, at + 1), *window))[:, 0]
        number, inside = divmod(at, self.slab)
        with self._lock:
            return self._read_slab(volume, number)[:, inside][:, *window].copy()

    def close(self) -> None:
        """Close the image."""
        with self._lock:
            self._slabs.clear()
        self._source.close()

    def _read_slab(self, volume: int, number: int) -> NDArray[Any]:
        """Return planes (C, n, h, w) beside each other."""
        key = volume, number
        if key not in self._slabs:
            if len(self._slabs) == 2:
                self._slabs.popitem(last=False)
            window = [slice(0, length) for length in self._source.info.size]
            window[self._axis] = slice(number * self.slab, min((number + 1) * self.slab, self._depth))
            pixels = self._source.read(volume, tuple(window))
            self._slabs[key] = np.ascontiguousarray(np.moveaxis(pixels, 1 + self._axis, 1))
        self._slabs.move_to_end(key)
        return self._slabs[key]


def _resliced(info: ImageInfo, axis: int) -> ImageInfo:
    """Return the description of the planes of volumes across an axis."""
    size = _without(info.size, axis)
    lengths = dict(zip(ITEM_AXES, (info.size[axis], *size), strict=True))
    voxel = info.pixel_size_um
    return replace(
        info,
        shape=tuple(lengths.get(letter, length) for letter, length in zip(info.axes, info.shape, strict=True)),
        plane_axes=f"{info.plane_axes}Z",
        plane_shape=(*info.plane_shape, info.size[axis]),
        size=size,
        block=_without(info.block, axis),
        pixel_size_um=None if voxel is None else tuple(voxel[i] for i in range(3) if i != axis),
        steps=(*info.steps, *(() if voxel is None else (Step("Z", voxel[axis], UM),))),
        space=None,
    )


def _without(numbers: tuple[int, ...], axis: int) -> tuple[int, ...]:
    """Return what is left of one number for each axis without that of an axis."""
    return (*numbers[:axis], *numbers[axis + 1 :])
