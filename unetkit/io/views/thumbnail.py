"""A whole plane as a small picture, or a volume as a small one."""

from __future__ import annotations

from math import prod
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


def read_small(source: ImageSource, item: int, *size: int) -> NDArray[Any]:
    """Read a plane, or a volume, at another size: by area where it shrinks, linearly where it grows.

    Args:
        source: The image. It is read in strips.
        item: Number of the plane or volume.
        size: Pixels of the result along each axis, such as height and width.

    Returns:
        (C, *size) in the dtype of the image.

    Raises:
        ImageError: The image cannot be read.
    """
    info = source.info
    axes = [Axis(stored, length) for stored, length in zip(info.size, size, strict=True)]
    rest = tuple(slice(0, length) for length in info.size[1:])
    kept = tuple(slice(0, length) for length in size[1:])
    step = max(1, PART_PIXELS // (prod(info.size[1:]) * -(-info.size[0] // size[0])))
    small = np.empty((info.channels, *size), info.dtype)
    for start in range(0, size[0], step):
        part = slice(start, min(start + step, size[0]))
        needed = axes[0].needed(part)
        pixels = source.read(item, (needed, *rest))
        for channel, stored in enumerate(pixels):
            small[channel, part] = resample(stored, (needed.start, *[0] * len(rest)), axes, (part, *kept))
    return small
