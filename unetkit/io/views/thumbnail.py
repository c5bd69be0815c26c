"""A whole plane or volume as a small picture."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.contracts import ImageSource
from unetkit.io.views.resample import Axis, resample

PART_PIXELS = 2**24
"""How many pixels of the image are read at a time; one row of the result may take more."""


def read_small(source: ImageSource, item: int, size: Sequence[int]) -> NDArray[Any]:
    """Read a plane or a volume at another size: by area where it shrinks, linearly where it grows.

    Args:
        source: The image. It is read in strips.
        item: Number of the plane or volume.
        size: Pixels of the result along each axis; their ratio is not kept.

    Returns:
        (C, *size) in the dtype of the image.

    Raises:
        ImageError: The image cannot be read.
    """
    info = source.info
    axes = [Axis(stored, length) for stored, length in zip(info.size, size, strict=True)]
    step = max(1, PART_PIXELS // (prod(info.size[1:]) * -(-info.size[0] // size[0])))
    whole = [slice(0, length) for length in info.size[1:]]
    wanted = [slice(0, length) for length in size[1:]]
    small = np.empty((info.channels, *size), info.dtype)
    for start in range(0, size[0], step):
        rows = slice(start, min(start + step, size[0]))
        needed = axes[0].needed(rows)
        pixels = source.read(item, (needed, *whole))
        for channel, stored in enumerate(pixels):
            place = (needed.start, *[0] * len(whole))
            small[channel, rows] = resample(stored, place, axes, (rows, *wanted))
    return small
