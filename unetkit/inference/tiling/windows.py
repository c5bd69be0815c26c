"""The window of a tile: its raw pixels, and the values that normalise its plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.inference.tiling.grid import Tile, TileGrid
from unetkit.io.base.contracts import ImageSource, match_channels
from unetkit.models.normalizer import Normalizer
from unetkit.models.sampling import ValidNeighbours, ValidSource, sample_pixels
from unetkit.models.statistics import Statistics, check_finite


def measure_plane(
    source: ImageSource, plane: int, normalizers: Sequence[Normalizer], channels: int
) -> tuple[Statistics, ...]:
    """Return the normalisation values of a plane for each model, repeated for the planes that it sees at once.

    Pixels are read, once, only where a model measures each image.

    Args:
        source: The image, without neighbouring planes.
        plane: Number of the plane.
        normalizers: Those of the models.
        channels: Channels of the images of the models.
    """
    if all(normalizer.stored is not None for normalizer in normalizers):
        sample = np.empty((channels, 0))
    else:
        sample = match_channels(sample_pixels(source, plane), channels, source.info.name)
    return tuple(normalizer.statistics(sample) for normalizer in normalizers)


def read_window(source: ImageSource, plane: int, tile: Tile, grid: TileGrid, channels: int) -> NDArray[Any]:
    """Read the window (C, ...) of a tile, reflected where the image ends before a multiple of the stride.

    What holds no data is background.

    Raises:
        ImageError: The image has NaN or infinite pixels or another number of channels, or cannot be read.
    """
    return read_window_with_holes(source, plane, tile, grid, channels)[0]


def read_window_with_holes(
    source: ImageSource, plane: int, tile: Tile, grid: TileGrid, channels: int
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Read the window of a tile, see `read_window`, and where in it the image holds no data, None without any."""
    spans = zip(tile.spans, grid.window, grid.size, strict=True)
    place = tuple(slice(span.start, min(span.start + length, end)) for span, length, end in spans)
    holes = None
    if isinstance(source, (ValidSource, ValidNeighbours)):
        pixels, holes = source.read_with_holes(plane, place)
    else:
        pixels = source.read(plane, place)
    check_finite(pixels, source.info.name)
    pixels = match_channels(pixels, channels, source.info.name)
    missing = [length - there for length, there in zip(grid.window, pixels.shape[1:], strict=True)]
    if any(missing):
        pixels = np.pad(pixels, [(0, 0), *((0, length) for length in missing)], mode="reflect")
    return pixels, holes
