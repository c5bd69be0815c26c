"""An image at the size of a thumbnail, by its own pyramid where it has one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from unetkit.foundation.errors import UnetkitError
from unetkit.inference.engine.ensemble import Ensemble
from unetkit.inference.run.inputs import open_for
from unetkit.io.base.contracts import ImageInfo, ImageSource
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.files import list_series, open_image
from unetkit.io.views.thumbnail import read_small
from unetkit.io.views.volume import PlaneSource

LEAST_SHRINK = 4
"""Images that shrink less are read at full resolution."""

SAME_PROPORTIONS = 1.02
"""Largest factor between the proportions of a level and those of the image."""


def open_view(path: Path, ensemble: Ensemble, reading: ReadOptions) -> ImageSource:
    """Open an image as it is read, but a stained one in its colours, and volumes as their planes.

    Raises:
        ImageError: The image cannot be read.
    """
    source = open_for(path, ensemble, replace(reading, stain=None))[0]
    return PlaneSource(source) if len(source.info.size) == 3 else source


def small_size(height: int, width: int, side: int) -> tuple[int, int]:
    """Return the size (height, width) of a thumbnail whose longer side is `side`; it is not larger than the image.

    >>> small_size(1000, 500, 100), small_size(30, 60, 100), small_size(1, 5000, 100)
    ((100, 50), (30, 60), (1, 100))
    """
    scale = min(1.0, side / max(height, width))
    return max(round(height * scale), 1), max(round(width * scale), 1)


def read_thumbnail(
    source: ImageSource, path: Path, ensemble: Ensemble, reading: ReadOptions, plane: int, size: tuple[int, int]
) -> NDArray[Any]:
    """Return the raw pixels (C, h, w) of a plane at the size of a thumbnail.

    Args:
        source: The image, from `open_view`.
        path: Its file.
        ensemble: The models.
        reading: How it is read.
        plane: Number of the plane.
        size: (height, width).

    Raises:
        ImageError: The image cannot be read.
    """
    for coarser in _coarser(source.info, path, reading, size):
        try:
            opened = open_view(path, ensemble, coarser)
        except UnetkitError:  # a level that is not there, or is no image: the full resolution is
            continue
        with closing(opened) as level:
            proportions = level.info.height * source.info.width / (level.info.width * source.info.height)
            fits = 1 / SAME_PROPORTIONS < proportions < SAME_PROPORTIONS
            if fits and level.info.planes == source.info.planes and max(level.info.size) >= max(size):
                return read_small(level, plane, size)
    return read_small(source, plane, size)


def _coarser(info: ImageInfo, path: Path, reading: ReadOptions, size: tuple[int, int]) -> Iterator[ReadOptions]:
    """Yield ways to read the same field at lower resolutions, the lowest first."""
    if max(info.size) < LEAST_SHRINK * max(size) or info.block == info.size:  # one that is decoded whole has no levels
        return
    if len(reading.region or ()) > 4:  # planes of a level may be other ones
        return
    series = list_series(path)
    levels = max(len(each.levels) for each in series)
    whole = _whole(path, reading) if reading.region is not None else info
    for number in range(levels - 1, reading.level or 0, -1):
        coarser = replace(reading, level=number, pixel_size=None)
        if reading.region is not None:
            scale = _whole(path, coarser).height / whole.height
            top, left, height, width = (int(part) for part in reading.region)
            bottom, right = int((top + height) * scale), int((left + width) * scale)
            top, left = int(top * scale), int(left * scale)
            if bottom <= top or right <= left:
                continue
            coarser = replace(coarser, region=(top, left, bottom - top, right - left))
        yield coarser


def _whole(path: Path, reading: ReadOptions) -> ImageInfo:
    """Return the facts on an image of which no region is read."""
    with closing(open_image(path, replace(reading, region=None, stain=None))) as source:
        return source.info
