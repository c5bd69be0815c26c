"""An image seen as another: a region of it, or the whole of it at another pixel size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import ImageError
from unetkit.io.base.contracts import BadTile, ImageInfo, ImageSource
from unetkit.io.base.series import require_pixel_size
from unetkit.io.views.resample import Axis, resample_plane

PART_BYTES = 32 * 2**20
"""Stored pixels that are resampled at a time at most (one row of the result takes what it takes)."""


class RegionSource:
    """A rectangle of an image as an image of its own.

    Args:
        source: The whole image; closed with this one.
        region: Top, left, height and width in pixels.

    Attributes:
        info: The image as it is interpreted.

    Raises:
        ImageError: The region reaches beyond the image.
    """

    def __init__(self, source: ImageSource, region: Sequence[int]) -> None:
        info = source.info
        top, left, height, width = region
        if top + height > info.height or left + width > info.width:
            raise ImageError(
                f"{info.name}: the region {','.join(map(str, region))} (y, x, height, width) reaches beyond the image, "
                f"which is {info.height} x {info.width} pixels (height x width).",
                "Give one that lies inside.",
            )
        self._source = source
        self._top, self._left = top, left
        self.info = resized(info, height, width)

    @property
    def bad_tiles(self) -> list[BadTile]:
        """What of the region could not be decoded so far."""
        moved = []
        for tile in self._source.bad_tiles:
            y0, y1 = _clip(tile.y - self._top, tile.height, self.info.height)
            x0, x1 = _clip(tile.x - self._left, tile.width, self.info.width)
            if y0 < y1 and x0 < x1:
                moved.append(BadTile(tile.plane, y0, x0, y1 - y0, x1 - x0))
        return moved

    def read(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Return pixels (C, h, w) of one plane."""
        rows = slice(rows.start + self._top, rows.stop + self._top)
        return self._source.read(plane, rows, slice(columns.start + self._left, columns.stop + self._left))

    def close(self) -> None:
        """Close the whole image."""
        self._source.close()


class RescaledSource:
    """An image at another pixel size, resampled window by window.

    A pixel is the mean of the area that it covers (where the image shrinks) or the linear interpolation of its two
    neighbours (where it grows), along y and then along x. Its weights come from its place in the whole image and are
    added up in a fixed order, so it is the same to the bit in whichever window it is read.

    Args:
        source: The image, which has a pixel size; closed with this one.
        pixel_size_um: The pixel size wanted, in micrometres. That of the result differs by as much as it takes to make
            its height and width whole numbers.

    Attributes:
        info: The image as it is interpreted.

    Raises:
        ImageError: The image has no pixel size.
    """

    def __init__(self, source: ImageSource, pixel_size_um: float) -> None:
        info = source.info
        size_y, size_x = require_pixel_size(info.pixel_size_um, info.name)
        self._source = source
        self._y = Axis(info.height, max(1, round(info.height * size_y / pixel_size_um)))
        self._x = Axis(info.width, max(1, round(info.width * size_x / pixel_size_um)))
        height, width = self._y.length, self._x.length
        self.info = replace(
            resized(info, height, width),
            pixel_size_um=(size_y * info.height / height, size_x * info.width / width),
            block=(max(1, info.block[0] * height // info.height), max(1, info.block[1] * width // info.width)),
        )

    @property
    def bad_tiles(self) -> list[BadTile]:
        """What could not be decoded so far: all pixels that have a share in it."""
        found = []
        for tile in self._source.bad_tiles:
            y0, y1 = self._y.touched(tile.y, tile.y + tile.height)
            x0, x1 = self._x.touched(tile.x, tile.x + tile.width)
            found.append(BadTile(tile.plane, y0, x0, y1 - y0, x1 - x0))
        return found

    def read(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Return pixels (C, h, w) of one plane."""
        info = self._source.info
        result = np.empty((info.channels, rows.stop - rows.start, columns.stop - columns.start), info.dtype)
        needed_x = self._x.needed(columns)
        row_bytes = info.channels * (needed_x.stop - needed_x.start) * info.dtype.itemsize
        step = max(1, int(PART_BYTES / row_bytes * self._y.length / self._y.stored))
        for top in range(rows.start, rows.stop, step):
            part = slice(top, min(top + step, rows.stop))
            needed_y = self._y.needed(part)
            place = (needed_y.start, needed_x.start)
            stored = self._source.read(plane, needed_y, needed_x)
            for channel, pixels in zip(result, stored, strict=True):
                window = channel[part.start - rows.start : part.stop - rows.start]
                window[...] = resample_plane(pixels, place, (self._y, self._x), part, columns)
        return result

    def close(self) -> None:
        """Close the image."""
        self._source.close()


def resized(info: ImageInfo, height: int, width: int) -> ImageInfo:
    """Return what an image is that has another height and width, and is the same otherwise."""
    sizes = {"Y": height, "X": width}
    shape = tuple(sizes.get(axis, size) for axis, size in zip(info.axes, info.shape, strict=True))
    block = (min(info.block[0], height), min(info.block[1], width))
    return replace(info, height=height, width=width, shape=shape, block=block)


def _clip(start: int, length: int, size: int) -> tuple[int, int]:
    return max(0, start), min(start + length, size)
