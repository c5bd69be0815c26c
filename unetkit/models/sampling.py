"""The pixels that stand for a plane in statistics: a fixed sample of the pixels that hold data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.contracts import BadTile, ImageInfo, ImageSource, Window
from unetkit.io.views.neighbours import NeighbourSource
from unetkit.io.views.rescale import ZoomedSource
from unetkit.models.nodata import NoData, find_nodata, typical_background
from unetkit.models.statistics import check_finite

WHOLE_PLANE_PIXELS = 2048 * 2048
"""Largest number of pixels of a plane or volume that is measured whole."""

SAMPLE_WINDOW = 128
"""Size of the windows that stand for a larger plane or volume, along each of the last two axes, in pixels."""

SAMPLE_GRID = 12
"""Windows of a plane along each axis."""

SAMPLE_SLICES = 12
"""Slices of a volume along each axis before the last two."""

SLICE_GRID = 4
"""Windows of each slice of a volume along each axis."""


@dataclass(frozen=True)
class Holes:
    """The pixels of a plane that hold no data, and what a network is shown in their place.

    Attributes:
        nodata: The pixels that hold no data.
        fill: (C,) the value in their place.
    """

    nodata: NoData
    fill: NDArray[Any]

    def patch(self, pixels: NDArray[Any], start: Sequence[int]) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Return a window (C, ...) of the plane with its holes filled, and where they are, None without any.

        Args:
            pixels: The window; it is not changed.
            start: Its first pixel in the plane, one number for each axis.
        """
        places = [np.arange(first, first + size) for first, size in zip(start, pixels.shape[1:], strict=True)]
        empty = self.nodata.mask(pixels, places)
        if not empty.any():
            return pixels, None
        return np.where(empty, self.fill.reshape(-1, *[1] * len(places)), pixels), empty


@dataclass(frozen=True)
class Sample:
    """The pixels that stand for a plane.

    Attributes:
        pixels: (C, n) pixels that hold data.
        holes: The pixels that hold no data; None if there are none.
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
        """Tiles that could not be decoded so far."""
        return self._source.bad_tiles

    def sample(self, plane: int) -> NDArray[Any]:
        """Return the pixels (C, n) that stand for a plane, see `sample_pixels`; those of the last plane are kept."""
        with self._lock:
            return self._take(plane).pixels

    def holes(self, plane: int) -> Holes | None:
        """Return the pixels of a plane that hold no data, None if all do."""
        with self._lock:
            return self._holes[plane] if plane in self._holes else self._take(plane).holes

    def know_holes(self, plane: int, holes: Holes | None) -> None:
        """Take which pixels of a plane hold no data from another process, which has sampled it."""
        with self._lock:
            self._holes[plane] = holes

    def _take(self, plane: int) -> Sample:
        """Return what stands for a plane, read once for one plane after the other."""
        if self._sampled is None or self._sampled[0] != plane:
            self._sampled = None  # gone before the next is made
            self._sampled = plane, take_sample(self._source, plane)
            self._holes[plane] = self._sampled[1].holes
        return self._sampled[1]

    def read(self, item: int, window: Window) -> NDArray[Any]:
        """Return pixels (C, ...) of one plane."""
        return self.read_with_holes(item, window)[0]

    def read_with_holes(self, item: int, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Return pixels (C, ...) of one plane, and which of them (...) hold no data, None without any."""
        pixels = self._source.read(item, window)
        holes = self.holes(item)
        return (pixels, None) if holes is None else holes.patch(pixels, [part.start for part in window])

    def zoomed(self, zoom: float) -> ValidSource:
        """Return the image with so many pixels, along each axis, for one of its own; itself for 1. Either closes it."""
        return self if zoom == 1 else ValidSource(ZoomedSource(self._source, zoom))

    def close(self) -> None:
        """Close the image."""
        self._source.close()


class ValidNeighbours(NeighbourSource):
    """Each plane of an image with its neighbours, as a network sees them; all without what holds no data.

    Args:
        source: The image.
        planes: How many planes are seen at once, an odd number.
        channels: Channels of each plane; grey is repeated.
    """

    def __init__(self, source: ValidSource, planes: int, channels: int) -> None:
        super().__init__(source, planes, channels)
        self._valid = source

    def read_with_holes(self, item: int, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Return pixels (planes * C, h, w), and which (h, w) of the plane in the middle hold no data."""
        read = {number: self._valid.read_with_holes(number, window) for number in dict.fromkeys(self.around(item))}
        return self.join({number: pixels for number, (pixels, _) in read.items()}, item), read[item][1]


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
    parts = _parts(info.size)
    windows = sample_windows(source, plane)
    mosaic = _join(windows, [len(along) for along in parts])
    places = [np.concatenate([np.arange(part.start, part.stop) for part in along]) for along in parts]
    nodata = find_nodata(mosaic, places, info.nodata)
    if nodata is None:
        pixels = np.concatenate([window.reshape(window.shape[0], -1) for window in windows], axis=1)
        check_finite(pixels, info.name)
        return Sample(pixels, None)
    pixels = mosaic[:, ~nodata.mask(mosaic, places)]
    check_finite(pixels, info.name)
    return Sample(pixels, Holes(nodata, typical_background(pixels)))


def sample_windows(source: ImageSource, plane: int) -> list[NDArray[Any]]:
    """Read the windows (C, ...) that stand for a plane, the last axis fastest; see `sample_pixels`."""
    places = list(product(*_parts(source.info.size)))
    # From the end: the source then keeps the beginning in its cache, which is read next.
    return [source.read(plane, place) for place in reversed(places)][::-1]


def _join(windows: list[NDArray[Any]], counts: Sequence[int]) -> NDArray[Any]:
    """Put windows (C, ...) side by side, so many along each axis; a single one is not copied."""
    if len(windows) == 1:
        return windows[0]
    for axis in range(len(counts), 0, -1):
        count = counts[axis - 1]
        windows = [np.concatenate(windows[i : i + count], axis) for i in range(0, len(windows), count)]
    return windows[0]


def _parts(size: tuple[int, ...]) -> list[list[slice]]:
    """Return along each axis the parts of the windows that stand for an item of this size."""
    if prod(size) <= WHOLE_PLANE_PIXELS:
        return [[slice(0, length)] for length in size]
    count = SAMPLE_GRID if len(size) == 2 else SLICE_GRID
    before = [_spread(length, SAMPLE_SLICES, 1) for length in size[:-2]]
    return before + [_spread(length, count, SAMPLE_WINDOW) for length in size[-2:]]


def _spread(length: int, count: int, window: int) -> list[slice]:
    """Return evenly spread windows along an axis, or the whole of a short one."""
    if length <= count * window:
        return [slice(0, length)]
    starts = np.linspace(0, length - window, count).round().astype(int)
    return [slice(int(start), int(start) + window) for start in starts]
