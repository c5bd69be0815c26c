"""An image seen as another: a region of it, or the whole of it at another pixel size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.errors import ImageError
from unetkit.io.image import BadTile, ImageInfo, ImageSource
from unetkit.io.pyramid import require_pixel_size

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
        self._y = _Axis(info.height, max(1, round(info.height * size_y / pixel_size_um)))
        self._x = _Axis(info.width, max(1, round(info.width * size_x / pixel_size_um)))
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
            pixels = self._source.read(plane, needed_y, needed_x)
            result[:, part.start - rows.start : part.stop - rows.start] = _restore(
                self._x.resample(self._y.resample(_widen(pixels), part, 1), columns, 2), info.dtype
            )
        return result

    def close(self) -> None:
        """Close the image."""
        self._source.close()


class _Axis:
    """Resampling along one axis, in whole-number arithmetic as far as places and weights go.

    Args:
        stored: Pixels of the image.
        length: Pixels of the result.
    """

    def __init__(self, stored: int, length: int) -> None:
        self.stored = stored
        self.length = length
        self._taps = 2 if length > stored else -(-stored // length) + (stored % length > 0)

    def needed(self, wanted: slice) -> slice:
        """Return which stored pixels a part of the result is made of."""
        first = self._first(np.array([wanted.start, wanted.stop - 1]))
        return slice(max(0, int(first[0])), min(int(first[1]) + self._taps, self.stored))

    def touched(self, start: int, stop: int) -> tuple[int, int]:
        """Return the first pixel of the result that has a share in a part of the stored ones, and the one after."""
        reach = 1 if self.length > self.stored else 0
        first = max(0, start - reach) * self.length // self.stored
        after = -(-min(stop + reach, self.stored) * self.length // self.stored)
        return min(first, self.length - 1), max(after, first + 1)

    def resample(self, pixels: NDArray[Any], wanted: slice, axis: int) -> NDArray[Any]:
        """Return a part of the result along `axis`.

        Args:
            pixels: Float pixels, which along `axis` are those that `needed` names.
            wanted: The part of the result.
            axis: The axis.
        """
        if self.length == self.stored:
            return pixels
        index = np.arange(wanted.start, wanted.stop, dtype=np.int64)
        first, start = self._first(index), self.needed(wanted).start
        total: NDArray[Any] | None = None
        for tap in range(self._taps):  # one after the other, in the same order for every pixel
            place = np.clip(first + tap, 0, self.stored - 1) - start
            weight = self._weight(index, first + tap).astype(pixels.dtype)
            share = np.take(pixels, np.clip(place, 0, pixels.shape[axis] - 1), axis)
            share *= weight.reshape([-1 if i == axis else 1 for i in range(pixels.ndim)])
            total = share if total is None else np.add(total, share, out=total)
        assert total is not None
        return total

    def _first(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the first stored pixel of each pixel of the result; before the image by one where it grows."""
        if self.length > self.stored:
            return ((2 * index + 1) * self.stored - self.length) // (2 * self.length)
        return index * self.stored // self.length

    def _weight(self, index: NDArray[np.int64], place: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the weight of the stored pixel at each place in each pixel of the result."""
        if self.length > self.stored:  # distance of the centres, in units of 1 / (2 * length)
            distance = np.abs((2 * index + 1) * self.stored - (2 * place + 1) * self.length)
            weight: NDArray[np.float64] = 1.0 - distance / (2 * self.length)
            return weight
        # overlap of the areas, in units of 1 / length
        overlap = np.minimum((index + 1) * self.stored, (place + 1) * self.length) - np.maximum(
            index * self.stored, place * self.length
        )
        share: NDArray[np.float64] = np.maximum(overlap, 0) / self.stored
        return share


def resized(info: ImageInfo, height: int, width: int) -> ImageInfo:
    """Return what an image is that has another height and width, and is the same otherwise."""
    sizes = {"Y": height, "X": width}
    shape = tuple(sizes.get(axis, size) for axis, size in zip(info.axes, info.shape, strict=True))
    block = (min(info.block[0], height), min(info.block[1], width))
    return replace(info, height=height, width=width, shape=shape, block=block)


def _clip(start: int, length: int, size: int) -> tuple[int, int]:
    return max(0, start), min(start + length, size)


def _widen(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return pixels in a float type in which means are exact enough: float32 holds integers of 16 bits."""
    small = pixels.dtype.itemsize <= 2 or pixels.dtype == np.float32
    return pixels.astype(np.float32 if small else np.float64, copy=False)


def _restore(pixels: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return pixels in the type of the image, integers rounded."""
    if dtype.kind == "f":
        return pixels.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    whole: NDArray[Any] = np.clip(np.rint(pixels), limits.min, limits.max).astype(dtype)
    return whole
