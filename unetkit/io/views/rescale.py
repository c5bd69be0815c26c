"""A view of an image at another pixel size, resampled window by window."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.contracts import BadTile, ImageSource, Window
from unetkit.io.base.series import require_pixel_size
from unetkit.io.views.region import resized
from unetkit.io.views.resample import Axis, resample_plane

PART_BYTES = 32 * 2**20
"""How many bytes of stored pixels are resampled at a time; one row of the result may take more."""


class RescaledSource:
    """An image at another pixel size, resampled window by window.

    A pixel is the mean of the area that it covers (where the image shrinks) or the linear interpolation of its two
    neighbours (where it grows), along y and then along x. Its weights come from its place in the whole image and are
    added up in a fixed order, so a pixel has the same bits in every window.

    Args:
        source: The image, which has a pixel size; closed with this one.
        pixel_size_um: The wanted pixel size in micrometres. The pixel size of the result differs a little, because its
            height and width are whole numbers.

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
        """What could not be decoded so far: all pixels that are computed from it."""
        found = []
        for tile in self._source.bad_tiles:
            ends = [
                axis.touched(part.start, part.stop) for axis, part in zip((self._y, self._x), tile.window, strict=True)
            ]
            start, size = tuple(first for first, _ in ends), tuple(after - first for first, after in ends)
            found.append(BadTile(tile.item, start, size))
        return found

    def read(self, item: int, window: Window) -> NDArray[Any]:
        """Return pixels (C, h, w) of one plane."""
        info = self._source.info
        rows, columns = window
        result = np.empty((info.channels, rows.stop - rows.start, columns.stop - columns.start), info.dtype)
        needed_x = self._x.needed(columns)
        row_bytes = info.channels * (needed_x.stop - needed_x.start) * info.dtype.itemsize
        step = max(1, int(PART_BYTES / row_bytes * self._y.length / self._y.stored))
        for top in range(rows.start, rows.stop, step):
            part = slice(top, min(top + step, rows.stop))
            needed_y = self._y.needed(part)
            place = (needed_y.start, needed_x.start)
            stored = self._source.read(item, (needed_y, needed_x))
            for channel, pixels in zip(result, stored, strict=True):
                kept = channel[part.start - rows.start : part.stop - rows.start]
                kept[...] = resample_plane(pixels, place, (self._y, self._x), part, columns)
        return result

    def close(self) -> None:
        """Close the image."""
        self._source.close()
