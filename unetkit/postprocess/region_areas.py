"""Areas of the connected regions of a mask, which is read once; no labels are made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from unetkit.postprocess.assembly import Assembly
from unetkit.postprocess.blocks import LABEL_TILE, find_block
from unetkit.postprocess.components import CONNECTED
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
        size = height, strip.width
        if strip.top == 0:
            plane = Assembly((slice(0, height), slice(0, strip.width)), size)
        plane.add(strip.place, find_block(strip.window, strip.place, size, CONNECTED, tile=tile).classes[0])
        if plane.is_whole:
            yield plane.finish(CONNECTED.joining_saddle).groups.sizes
