"""Cut the bands of a mask anew: the strips do not depend on the bands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unetkit.postprocess.parts import Window


@dataclass(frozen=True)
class Strip:
    """Some rows of a plane, or planes of a volume, with a margin around them.

    Attributes:
        place: The core in the plane or volume.
        window: (C, h, width) or (C, d, height, width) uint8; the margin ends where the plane or volume does.
    """

    place: Window
    window: NDArray[np.uint8]


def cut_strips(bands: Iterable[NDArray[np.uint8]], size: tuple[int, ...], length: int, margin: int) -> Iterator[Strip]:
    """Cut every item into strips along its first axis, holding about one band and one strip at a time.

    Args:
        bands: (C, h, width) or (C, d, height, width) arrays that follow each other along the first axis of a plane or
            volume, item after item.
        size: Pixels of a plane or volume along each axis.
        length: Rows or planes of the core of a strip; the last of an item may have fewer.
        margin: Rows or planes of context before and after, as far as the item goes.

    Raises:
        ValueError: A band crosses from one item into the next.
    """
    extent, others = size[0], tuple(slice(0, one) for one in size[1:])
    held: list[NDArray[np.uint8]] = []
    start = held_start = held_stop = 0
    for band in bands:
        held.append(band)
        held_stop += band.shape[1]
        if held_stop > extent:
            raise ValueError(f"a band ends {held_stop - extent} rows below its plane of {extent} rows")
        while start < extent and held_stop >= min(start + length + margin, extent):
            whole = held[0] if len(held) == 1 else np.concatenate(held, axis=1)
            stop = min(start + length, extent)
            window = whole[:, max(start - margin, 0) - held_start : min(stop + margin, extent) - held_start]
            yield Strip((slice(start, stop), *others), window)
            start = stop
            held = [whole[:, max(start - margin, 0) - held_start :]]
            held_start = max(start - margin, 0)
        if start == extent:
            held, start, held_start, held_stop = [], 0, 0, 0
