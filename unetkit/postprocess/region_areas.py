"""Areas of the connected regions of a mask, which is read once; no labels are made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from unetkit.postprocess.components import CONNECTED
from unetkit.postprocess.labels import LABEL_TILE
from unetkit.postprocess.plane import Plane
from unetkit.postprocess.strips import cut_strips


def region_areas(
    bands: Iterable[NDArray[np.uint8]], height: int, *, tile: tuple[int, int] = LABEL_TILE
) -> Iterator[NDArray[np.int64]]:
    """Yield the areas (N,) in pixels of the regions of each plane, in raster order of their first pixels.

    Pixels that touch, diagonally too, are one region.

    Args:
        bands: (1, h, width) uint8, 0 for background, from top to bottom, plane after plane.
        height: Rows of a plane.
        tile: Height and width of the tiles. They change time and memory, but not the areas.
    """
    for strip in cut_strips(bands, height, tile[0], CONNECTED.margin):
        width = strip.window.shape[2]
        if strip.top == 0:
            plane = Plane(width)
        for left in range(0, width, tile[1]):
            right = min(left + tile[1], width)
            window = np.ascontiguousarray(strip.window[:, :, left:right])
            plane.add(CONNECTED.find(window, strip.rows, slice(0, right - left)), strip.top, left)
        if strip.bottom == height:
            numbers, _ = plane.number(CONNECTED.joining_saddle, 0)
            yield np.bincount(numbers, plane.sizes, minlength=1)[1:].astype(np.int64)
