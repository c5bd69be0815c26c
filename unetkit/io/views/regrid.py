"""From the pixels of one grid to those of another over the same field: results of a resampled image, put back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import ConfigError
from unetkit.io.base.contracts import BadTile, ImageInfo, ImageSource, Window
from unetkit.io.base.series import require_pixel_size
from unetkit.io.base.space import Space
from unetkit.io.base.windows import sizes_of
from unetkit.io.views.region import resized
from unetkit.io.views.resample import Axis, resample

PART_BYTES = 2**25
"""Most bytes of the pixels that are made at a time, unless those of one pixel of the first axis are more."""


@dataclass(frozen=True)
class RegridAxis:
    """One axis of two grids. Both may be parts of larger ones that cover the same length.

    Attributes:
        whole: How the whole of the first grid is resampled to the whole of the second.
        first: The part of the first grid, (start, stop).
        second: The part of the second grid, (start, stop).
    """

    whole: Axis
    first: tuple[int, int]
    second: tuple[int, int]

    @property
    def length(self) -> int:
        """Pixels of the part of the second grid."""
        return self.second[1] - self.second[0]

    @cached_property
    def nearest(self) -> NDArray[np.intp]:
        """(length,) number of the pixel of the first part that is nearest to each of the second; of two, the first."""
        index = np.arange(*self.second, dtype=np.int64)
        # The centre of pixel i of the second grid, (i + 1/2) / length, lies in this pixel of the first, or on its edge.
        found = ((2 * index + 1) * self.whole.stored - 1) // (2 * self.whole.length)
        return np.clip(found, self.first[0], self.first[1] - 1).astype(np.intp) - self.first[0]

    def covered(self, part: slice) -> slice:
        """Return the pixels of the second part that are nearest to some of the first part; it may be empty."""
        start, stop = np.searchsorted(self.nearest, (part.start, part.stop))
        return slice(int(start), int(stop))


@dataclass(frozen=True)
class Regrid:
    """The grid of an image that was resampled, and the grid that results are put back to.

    Attributes:
        axes: One for each axis of an item.
        pixel_size_um: Size of a pixel of the second grid along each axis, in micrometres, if it is known.
        space: Where the second grid lies, see `ImageInfo`.
    """

    axes: tuple[RegridAxis, ...]
    pixel_size_um: tuple[float, ...] | None
    space: Space | None = None

    @property
    def size(self) -> tuple[int, ...]:
        """Pixels of the second grid along each axis."""
        return tuple(axis.length for axis in self.axes)

    @property
    def region(self) -> tuple[int, ...]:
        """The second grid in the image, as `ReadOptions.region` has it."""
        return (*(axis.second[0] for axis in self.axes), *self.size)

    def covered(self, window: Window) -> Window:
        """Return the pixels of the second grid that are nearest to those of a window of the first; perhaps none.

        Windows that cover the first grid once cover the second one once.
        """
        return tuple(axis.covered(part) for axis, part in zip(self.axes, window, strict=True))

    def parts(self, window: Window, pixel_bytes: int) -> Iterator[Window]:
        """Yield what `covered` returns, in parts of bounded size along the first axis."""
        rows, *others = self.covered(window)
        step = max(1, PART_BYTES // max(1, pixel_bytes * prod(part.stop - part.start for part in others)))
        if all(part.stop > part.start for part in others):
            for start in range(rows.start, rows.stop, step):
                yield (slice(start, min(start + step, rows.stop)), *others)

    def nearest(self, pixels: NDArray[Any], window: Window, part: Window) -> NDArray[Any]:
        """Return the nearest pixels for a part of the second grid.

        Args:
            pixels: (C, one size for each axis) of a window of the first grid.
            window: That window.
            part: A part of what it covers.

        Returns:
            (C, one size for each axis).
        """
        for number, (axis, at, wanted) in enumerate(zip(self.axes, window, part, strict=True), 1):
            places = axis.nearest[wanted] - at.start
            if not np.array_equal(places, np.arange(pixels.shape[number])):
                pixels = pixels.take(places, number)
        return pixels

    def bands(
        self, places: Iterable[tuple[int, Window]], bands: Iterable[NDArray[Any]]
    ) -> Iterator[tuple[int, Window, NDArray[Any]]]:
        """Yield the item, the place and the pixels of bands of the second grid: the nearest pixels.

        Args:
            places: Item and window of each band of the first grid, which cover it once.
            bands: (C, one size for each axis of the window).
        """
        for (item, window), band in zip(places, bands, strict=True):
            for part in self.parts(window, len(band) * band.itemsize):
                yield item, part, self.nearest(band, window, part)
            del band  # before the next is made

    def rows(self, rows: Iterable[NDArray[Any]], items: int) -> Iterator[NDArray[Any]]:
        """Yield rows of the second grid from rows (C, h, ...) of the first, as sinks take them: the nearest pixels.

        Args:
            rows: As wide as the items, from the start of each to its end.
            items: Number of items.
        """
        length, *others = (axis.first[1] - axis.first[0] for axis in self.axes)
        item = top = 0
        for band in rows:
            assert item < items, "more rows than the items have"
            window = (slice(top, top + band.shape[1]), *(slice(0, size) for size in others))
            for part in self.parts(window, len(band) * band.itemsize):
                yield self.nearest(band, window, part)
            top += band.shape[1]
            item, top = (item + 1, 0) if top == length else (item, top)
            del band  # before the next is made


def make_regrid(whole: ImageInfo, read: ImageInfo, region: Sequence[int] | None, image: ImageInfo) -> Regrid:
    """Return how results of a resampled image are put back to the grid of the image.

    Args:
        whole: The resampled image.
        read: What was read of it: the same, or a region.
        region: The region, as `ReadOptions.region` has it; None for the whole image.
        image: The image as it is stored, at full resolution.

    Raises:
        ImageError: The image has no pixel size.
        ConfigError: The region is so small that no pixel of the image lies in it.
    """
    dims = len(whole.size)
    start = (0,) * dims if region is None else (*(0,) * dims, *region[: len(region) // 2])[-dims:]
    stored = require_pixel_size(image.pixel_size_um, image.name)
    resampled = require_pixel_size(whole.pixel_size_um, whole.name)
    axes = []
    for length, size, first, count, pixel, full in zip(
        whole.size, resampled, start, read.size, stored, image.size, strict=True
    ):
        # A pyramid may have dropped last pixels: the same length in pixels of the image may be less, or more, than it.
        axis = Axis(length, max(1, round(length * size / pixel)))
        ends = [-(-(2 * at * axis.length - length) // (2 * length)) for at in (first, first + count)]
        last = full if first + count == length else min(ends[1], full)
        if ends[0] >= last:
            raise ConfigError(
                f"No pixel of {image.name} has its centre in the region {','.join(map(str, region or ()))}.",
                "Give a larger region, or write on the grid of the model.",
            )
        axes.append(RegridAxis(axis, (first, first + count), (ends[0], last)))
    moved = image.space and image.space.resampled((1.0,) * dims, tuple(axis.second[0] for axis in axes))
    return Regrid(tuple(axes), stored, moved)


def unzoomed(zoomed: ImageInfo, image: ImageInfo) -> Regrid:
    """Return how results of an image with other pixels (`ZoomedSource`) are put back to its own."""
    axes = (
        RegridAxis(Axis(length, full), (0, length), (0, full))
        for length, full in zip(zoomed.size, image.size, strict=True)
    )
    return Regrid(tuple(axes), image.pixel_size_um, image.space)


class RegridSource:
    """An image on another grid, interpolated: the mean of the area where it shrinks, linear where it grows.

    Args:
        source: Pixels of the first grid; closed with this one.
        regrid: The grids.

    Attributes:
        info: The image as it is interpreted.
    """

    def __init__(self, source: ImageSource, regrid: Regrid) -> None:
        self._source = source
        self._axes = regrid.axes
        self.info = replace(resized(source.info, regrid.size), pixel_size_um=regrid.pixel_size_um, space=regrid.space)

    @property
    def bad_tiles(self) -> list[BadTile]:
        """Nothing: results have none."""
        return []

    def read(self, item: int, window: Window) -> NDArray[Any]:
        """Return pixels (C, one size for each axis) of one item."""
        # Beyond the end of the first grid the last pixels are repeated, see `make_regrid`.
        known = [self._known(axis, part) for axis, part in zip(self._axes, window, strict=True)]
        needed = tuple(
            slice(max(read.start, axis.first[0]), min(read.stop, axis.first[1]))
            for axis, read in ((axis, axis.whole.needed(part)) for axis, part in zip(self._axes, known, strict=True))
        )
        stored = self._source.read(
            item,
            tuple(
                slice(part.start - axis.first[0], part.stop - axis.first[0])
                for axis, part in zip(self._axes, needed, strict=True)
            ),
        )
        start = [part.start for part in needed]
        whole = [axis.whole for axis in self._axes]
        pixels = np.stack([resample(channel, start, whole, tuple(known)) for channel in stored])
        missing = [(0, wanted - there) for wanted, there in zip(sizes_of(window), sizes_of(tuple(known)), strict=True)]
        return np.pad(pixels, [(0, 0), *missing], mode="edge") if any(after for _, after in missing) else pixels

    def close(self) -> None:
        """Close the image."""
        self._source.close()

    @staticmethod
    def _known(axis: RegridAxis, part: slice) -> slice:
        start, stop = part.start + axis.second[0], part.stop + axis.second[0]
        return slice(min(start, axis.whole.length - 1), min(stop, axis.whole.length))
