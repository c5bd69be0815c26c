"""Pixels at half the resolution, for the screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Halve = Callable[[NDArray[Any]], NDArray[Any]]
"""Makes (C, (h + 1) // 2, (w + 1) // 2) of (C, h, w), in the same dtype."""

FAST = tuple(np.dtype(name) for name in ("uint8", "uint16", "int16", "float32"))
"""Types of which OpenCV takes means."""


def pick(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the upper left of every 2 x 2 pixels: numbers of classes and objects have no mean."""
    return np.ascontiguousarray(pixels[..., ::2, ::2])


def average(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the mean of every 2 x 2 pixels, halves up. An odd row or column at the end is halved with itself."""
    height, width = pixels.shape[-2:]
    if height % 2 or width % 2:
        pixels = np.pad(pixels, ((0, 0), (0, height % 2), (0, width % 2)), "edge")
    if pixels.dtype in FAST:
        size = (pixels.shape[2] // 2, pixels.shape[1] // 2)
        return np.stack([cv2.resize(channel, size, interpolation=cv2.INTER_AREA) for channel in pixels])
    wide = pixels.astype(np.float64)
    total = wide[:, ::2, ::2] + wide[:, ::2, 1::2] + wide[:, 1::2, ::2] + wide[:, 1::2, 1::2]
    mean = total / 4 if pixels.dtype.kind == "f" else np.floor(total / 4 + 0.5)
    return mean.astype(pixels.dtype)
