"""Volumes as an image source: items of three axes, which no file format of unetkit has yet."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.contracts import BadTile, ImageInfo, Window


class VolumeSource:
    """An array (items, C, D, H, W), or one with any other number of axes after the channels, read item by item.

    Attributes:
        info: The image as it is interpreted.
        bad_tiles: Empty, until a test adds some.
        windows: What was read, in order.
    """

    def __init__(self, pixels: NDArray[Any]) -> None:
        self._pixels = pixels
        self.bad_tiles: list[BadTile] = []
        self.windows: list[Window] = []
        items, channels, *size = pixels.shape
        self.info = ImageInfo(
            name="volume",
            format="array",
            axes="TC" + "QZYX"[-len(size) :],
            shape=pixels.shape,
            dtype=pixels.dtype,
            plane_axes="T",
            plane_shape=(items,),
            channels=channels,
            size=tuple(size),
        )

    def read(self, item: int, window: Window) -> NDArray[Any]:
        """Return pixels (C, ...) of a window of one item."""
        self.windows.append(window)
        return self._pixels[item, :, *window]

    def close(self) -> None:
        """Nothing to release."""


def volume(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return noise of this shape, from 0 to 59."""
    return np.random.default_rng(seed).integers(0, 60, shape, np.uint8)
