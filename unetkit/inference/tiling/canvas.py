"""Images laid side by side until a large canvas is full."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def fill_canvas(images: Sequence[NDArray[np.float32]], size: tuple[int, ...]) -> NDArray[np.float32]:
    """Lay images side by side, band by band, again and again until a canvas (C, *size) is full.

    A band is as wide as its first image; others are repeated or cut to that.

    Args:
        images: (C, ...) of any sizes, with as many axes as the canvas.
        size: Pixels of the canvas along each axis.
    """
    canvas = np.empty((len(images[0]), *size), np.float32)
    _fill(canvas, deque(images), 1)
    return canvas


def _fill(part: NDArray[np.float32], images: deque[NDArray[np.float32]], axis: int) -> None:
    """Fill a part of a canvas band by band along an axis. The next image in turn comes first."""
    start = 0
    while start < part.shape[axis]:
        stop = min(start + images[0].shape[axis], part.shape[axis])
        band = part[*[slice(None)] * axis, start:stop]
        if axis < part.ndim - 1:
            _fill(band, images, axis + 1)
        else:
            repeats = [-(-there // own) for there, own in zip(band.shape, images[0].shape, strict=True)]
            band[...] = np.tile(images[0], repeats)[*map(slice, band.shape)]
            images.rotate(-1)
        start = stop
