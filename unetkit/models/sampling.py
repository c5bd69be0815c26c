"""The pixels that stand for a plane in statistics: a fixed sample of those that hold data."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.contracts import BadTile, ImageInfo, ImageSource, Window
from unetkit.models.nodata import NoData, find_nodata, typical_background
from unetkit.models.statistics import check_finite

WHOLE_PLANE_PIXELS = 2048 * 2048
"""Planes up to this size are measured whole."""

SAMPLE_GRID = 12
"""A larger plane is measured on this many windows along each axis ..."""

SAMPLE_WINDOW = 128
"""... each of this many pixels along each axis."""


@dataclass(frozen=True)
class Holes:
    """The pixels of a plane that hold no data, and what a network is shown in their place.

    Attributes:
        nodata: Which they are.
        fill: (C,) the value in their place.
    """

    nodata: NoData
    fill: NDArray[Any]

    def patch(self, pixels: NDArray[Any], top: int, left: int) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Return a window (C, h, w) of the plane with its holes filled, and where they are, None without any.

        Args:
            pixels: The window; it is not changed.
            top: Its first row in the plane.
            left: Its first column.
        """
        rows, columns = (
            np.arange(start, start + size) for start, size in zip((top, left), pixels.shape[1:], strict=True)
        )
        empty = self.nodata.mask(pixels, rows, columns)
        if not empty.any():
            return pixels, None
        return np.where(empty, self.fill[:, None, None], pixels), empty


@dataclass(frozen=True)
class Sample:
    """What stands for a plane.

    Attributes:
        pixels: (C, n) those that hold data.
        holes: The others; None if there are none.
    """

    pixels: NDArray[Any]
    holes: Holes | None


class ValidSource:
    """An image whose pixels without data are read as its background.

    Args:
        source: The image; closed with this one.

    Attributes:
        info: The image as it is interpreted.
    """

    def __init__(self, source: ImageSource) -> None:
        self.info: ImageInfo = source.info
        self._source = source
        self._sampled: tuple[int, Sample] | None = None
        self._holes: dict[int, Holes | None] = {}
        self._lock = Lock()

    @property
    def bad_tiles(self) -> list[BadTile]:
        """What could not be decoded so far."""
        return self._source.bad_tiles

    def sample(self, plane: int) -> NDArray[Any]:
        """Return the pixels (C, n) that stand for a plane, see `sample_pixels`; those of the last plane are kept."""
        with self._lock:
            return self._take(plane).pixels

    def holes(self, plane: int) -> Holes | None:
        """Return the pixels of a plane that hold no data, None if all do."""
        with self._lock:
            return self._holes[plane] if plane in self._holes else self._take(plane).holes

    def _take(self, plane: int) -> Sample:
        """Return what stands for a plane, read once for one plane after the other."""
        if self._sampled is None or self._sampled[0] != plane:
            self._sampled = None  # gone before the next is made
            self._sampled = plane, take_sample(self._source, plane)
            self._holes[plane] = self._sampled[1].holes
        return self._sampled[1]

    def read(self, item: int, window: Window) -> NDArray[Any]:
        """Return pixels (C, h, w) of one plane."""
        return self.read_with_holes(item, window)[0]

    def read_with_holes(self, item: int, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Return pixels (C, h, w) of one plane, and which of them (h, w) hold no data, None without any."""
        pixels = self._source.read(item, window)
        holes = self.holes(item)
        return (pixels, None) if holes is None else holes.patch(pixels, *(part.start for part in window))

    def close(self) -> None:
        """Close the image."""
        self._source.close()


def sample_pixels(source: ImageSource, plane: int) -> NDArray[Any]:
    """Read the pixels (C, n) that stand for a plane: all of them, or a fixed grid of windows of a large plane.

    Those that hold no data are left out. The sample depends on the size of the plane only, so it is the same on every
    run and for every tile size.

    Raises:
        ImageError: Some pixels are NaN or infinite, and no missing part of the plane.
    """
    return source.sample(plane) if isinstance(source, ValidSource) else take_sample(source, plane).pixels


def take_sample(source: ImageSource, plane: int) -> Sample:
    """Read the pixels that stand for a plane, and find out which hold no data; see `sample_pixels`.

    Raises:
        ImageError: Some pixels are NaN or infinite, and no missing part of the plane.
    """
    info = source.info
    down, across = _parts(info)
    windows = sample_windows(source, plane)
    lines = [windows[start : start + len(across)] for start in range(0, len(windows), len(across))]
    mosaic = windows[0] if len(windows) == 1 else np.concatenate([np.concatenate(line, 2) for line in lines], 1)
    rows, columns = (np.concatenate([np.arange(part.start, part.stop) for part in parts]) for parts in (down, across))
    nodata = find_nodata(mosaic, rows, columns, info.nodata)
    if nodata is None:
        pixels = np.concatenate([window.reshape(window.shape[0], -1) for window in windows], axis=1)
        check_finite(pixels, info.name)
        return Sample(pixels, None)
    pixels = mosaic[:, ~nodata.mask(mosaic, rows, columns)]
    check_finite(pixels, info.name)
    return Sample(pixels, Holes(nodata, typical_background(pixels)))


def sample_windows(source: ImageSource, plane: int) -> list[NDArray[Any]]:
    """Read the windows (C, h, w) that stand for a plane, row by row; see `sample_pixels`."""
    down, across = _parts(source.info)
    places = [(y, x) for y in down for x in across]
    # From the end, so that what the source keeps of it is the beginning, which is read next.
    return [source.read(plane, place) for place in reversed(places)][::-1]


def _parts(info: ImageInfo) -> tuple[list[slice], list[slice]]:
    """Return the rows and the columns of the windows that stand for a plane."""
    if info.height * info.width <= WHOLE_PLANE_PIXELS:
        return [slice(0, info.height)], [slice(0, info.width)]
    return _spread(info.height), _spread(info.width)


def _spread(length: int) -> list[slice]:
    """Evenly spread windows along an axis, or the whole of a short one."""
    if length <= SAMPLE_GRID * SAMPLE_WINDOW:
        return [slice(0, length)]
    starts = np.linspace(0, length - SAMPLE_WINDOW, SAMPLE_GRID).round().astype(int)
    return [slice(int(start), int(start) + SAMPLE_WINDOW) for start in starts]
