"""Views of an image at another pixel size, or with more or fewer pixels, resampled window by window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.contracts import BadTile, ImageInfo, ImageSource, Window
from unetkit.io.base.series import broadcast_sizes, require_pixel_size
from unetkit.io.base.windows import inside, sizes_of
from unetkit.io.views.region import resized
from unetkit.io.views.resample import Axis, resample

PART_BYTES = 32 * 2**20
"""How many bytes of stored pixels are resampled at a time; those of one pixel of the result may be more."""


class RescaledSource:
    """An image at another pixel size, resampled window by window.

    A pixel is the mean of the area that it covers (where the image shrinks) or the linear interpolation of its two
    neighbours (where it grows), along z, then y and then x. Its weights come from its place in the whole image and are
    added up in a fixed order, so a pixel has the same bits in every window.

    Args:
        source: The image, which has a pixel size; closed with this one.
        pixel_size_um: The wanted pixel size in micrometres, one for all axes of an item or one for each. The pixel size
            of the result differs a little, because its size is of whole numbers.

    Attributes:
        info: The image as it is interpreted.

    Raises:
        ImageError: The image has no pixel size.
        ConfigError: The pixel size has another number of axes than the items.
    """

    def __init__(self, source: ImageSource, pixel_size_um: float | Sequence[float]) -> None:
        info = source.info
        stored = require_pixel_size(info.pixel_size_um, info.name)
        given = (pixel_size_um,) if isinstance(pixel_size_um, float | int) else pixel_size_um
        wanted = broadcast_sizes(given, len(info.size))
        self._resample(source, [size / to for size, to in zip(stored, wanted, strict=True)])

    def _resample(self, source: ImageSource, factors: Sequence[float]) -> None:
        """See an image with so many pixels, along each axis, for one of its own."""
        lengths = source.info.size
        self._source = source
        self._axes = tuple(
            Axis(length, max(1, round(length * factor))) for length, factor in zip(lengths, factors, strict=True)
        )
        self.info: ImageInfo = _rescaled(source.info, self._axes)

    @property
    def bad_tiles(self) -> list[BadTile]:
        """What could not be decoded so far: all pixels that are computed from it."""
        found = []
        for tile in self._source.bad_tiles:
            ends = [axis.touched(part.start, part.stop) for axis, part in zip(self._axes, tile.window, strict=True)]
            start, size = tuple(first for first, _ in ends), tuple(after - first for first, after in ends)
            found.append(BadTile(tile.item, start, size))
        return found

    def read(self, item: int, window: Window) -> NDArray[Any]:
        """Return pixels (C, one size for each axis of an item) of one item."""
        info = self._source.info
        result = np.empty((info.channels, *sizes_of(window)), info.dtype)
        for part in self._parts(window):
            needed = tuple(axis.needed(wanted) for axis, wanted in zip(self._axes, part, strict=True))
            stored = self._source.read(item, needed)
            place = tuple(one.start for one in needed)
            for channel, pixels in zip(result, stored, strict=True):
                channel[inside(part, window)] = resample(pixels, place, self._axes, part)
        return result

    def close(self) -> None:
        """Close the image."""
        self._source.close()

    def _parts(self, window: Window) -> Iterator[Window]:
        """Yield a window in parts for which few bytes are read: divided along the first axis, then the next."""
        info = self._source.info
        for number, axis in enumerate(self._axes):
            one = (slice(part.start, part.start + 1) for part in window[:number])
            rest = window[number + 1 :]
            needed = [axis.needed(part) for axis, part in zip(self._axes, (*one, slice(0, 1), *rest), strict=True)]
            others = prod(part.stop - part.start for at, part in enumerate(needed) if at != number)
            step = int(PART_BYTES / (info.channels * info.dtype.itemsize * others) * axis.length / axis.stored)
            if step or number == len(self._axes) - 1:
                yield from _divided(window, number, max(step, 1))
                return


class ZoomedSource(RescaledSource):
    """An image with more pixels, or with fewer. It needs no pixel size.

    Args:
        source: The image; closed with this one.
        zoom: Pixels of the result for one of the image, along each axis of an item.

    Attributes:
        info: The image as it is interpreted.
    """

    def __init__(self, source: ImageSource, zoom: float) -> None:
        self._resample(source, [zoom] * len(source.info.size))


def _divided(window: Window, axis: int, step: int) -> Iterator[Window]:
    """Yield a window in parts: of so many pixels along an axis, of one along those before it."""
    for at, part in enumerate(window[: axis + 1]):
        width = step if at == axis else 1
        if part.stop - part.start > width:
            for start in range(part.start, part.stop, width):
                piece = slice(start, min(start + width, part.stop))
                yield from _divided((*window[:at], piece, *window[at + 1 :]), axis, step)
            return
    yield window


def _rescaled(info: ImageInfo, axes: Sequence[Axis]) -> ImageInfo:
    """Return the description of an image that is resampled along the axes of its items."""
    steps = tuple(axis.stored / axis.length for axis in axes)
    stored = info.pixel_size_um
    space = info.space and info.space.resampled(steps, tuple((step - 1) / 2 for step in steps))
    return replace(
        resized(info, tuple(axis.length for axis in axes)),
        pixel_size_um=stored
        and tuple(size * axis.stored / axis.length for size, axis in zip(stored, axes, strict=True)),
        block=tuple(max(1, length * axis.length // axis.stored) for length, axis in zip(info.block, axes, strict=True)),
        space=space,
    )
