"""A whole plane as a small square."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.contracts import ImageSource
from unetkit.io.views.resample import Axis, resample_plane

PART_PIXELS = 2**24
"""How many pixels of the image are read at a time; one row of the result may take more."""


def read_square(source: ImageSource, plane: int, side: int) -> NDArray[Any]:
    """Read a plane resized to a square: by area where it shrinks, linearly where it grows.

    The ratio of height to width is not kept.

    Args:
        source: The image.
        plane: Number of the plane.
        side: Side of the square in pixels.

    Returns:
        (C, side, side) in the dtype of the image.

    Raises:
        ImageError: The image cannot be read.
    """
    info = source.info
    axes = Axis(info.height, side), Axis(info.width, side)
    step = max(1, PART_PIXELS // (info.width * -(-info.height // side)))
    square = np.empty((info.channels, side, side), info.dtype)
    for top in range(0, side, step):
        rows = slice(top, min(top + step, side))
        needed = axes[0].needed(rows)
        pixels = source.read(plane, (needed, slice(0, info.width)))
        for channel, stored in enumerate(pixels):
            square[channel, rows] = resample_plane(stored, (needed.start, 0), axes, rows, slice(0, side))
    return square
