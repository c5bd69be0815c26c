"""Areas of the connected regions of a mask, which is read once; no labels are made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from unetkit.postprocess.assembly import Assembly
from unetkit.postprocess.blocks import find_block, label_tile
from unetkit.postprocess.components import CONNECTED
from unetkit.postprocess.strips import cut_strips


def region_areas(
    bands: Iterable[NDArray[np.uint8]], size: tuple[int, ...], *, tile: tuple[int, ...] | None = None
) -> Iterator[NDArray[np.int64]]:
    """Yield the areas or volumes (N,) in pixels of the regions of each item, in raster order of their first pixels.

    Pixels that touch, diagonally too, are one region.

    Args:
        bands: (1, h, width) or (1, d, height, width) uint8, 0 for background, in order along the first axis of a plane
            or volume, item after item.
        size: Pixels of a plane or volume along each axis.
        tile: Pixels of the tiles along each axis, by default `label_tile`. They change time and memory, but not the
            areas.
    """
    tile = tile or label_tile(size)
    for strip in cut_strips(bands, size, tile[0], CONNECTED.margins(len(size))[0]):
        if strip.place[0].start == 0:
            whole = Assembly(tuple(slice(0, extent) for extent in size), size)
        whole.add(strip.place, find_block(strip.window, strip.place, size, CONNECTED, tile=tile).classes[0])
        if whole.is_whole:
            yield whole.finish(CONNECTED).groups.sizes
