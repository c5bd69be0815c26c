"""A whole plane as a small picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.contracts import ImageSource
from unetkit.io.views.resample import Axis, resample

PART_PIXELS = 2**24
"""How many pixels of the image are read at a time; one row of the result may take more."""


def read_square(source: ImageSource, plane: int, side: int) -> NDArray[Any]:
    """Read a plane resized to a square, see `read_small`; the ratio of height to width is not kept.

    Args:
        source: The image.
        plane: Number of the plane.
        side: Side of the square in pixels.

    Returns:
        (C, side, side) in the dtype of the image.

    Raises:
        ImageError: The image cannot be read.
    """
    return read_small(source, plane, side, side)


def read_small(source: ImageSource, plane: int, height: int, width: int) -> NDArray[Any]:
    """Read a plane at another size: by area where it shrinks, linearly where it grows.

    Args:
        source: The image. It is read in strips.
        plane: Number of the plane.
        height: Pixels of the result along y.
        width: Pixels of the result along x.

    Returns:
        (C, height, width) in the dtype of the image.

    Raises:
        ImageError: The image cannot be read.
    """
    info = source.info
    axes = Axis(info.height, height), Axis(info.width, width)
    step = max(1, PART_PIXELS // (info.width * -(-info.height // height)))
    small = np.empty((info.channels, height, width), info.dtype)
    for top in range(0, height, step):
        rows = slice(top, min(top + step, height))
        needed = axes[0].needed(rows)
        pixels = source.read(plane, (needed, slice(0, info.width)))
        for channel, stored in enumerate(pixels):
            small[channel, rows] = resample(stored, (needed.start, 0), axes, (rows, slice(0, width)))
    return small
