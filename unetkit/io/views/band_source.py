"""Finished bands of an output as an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.contracts import BadTile, ImageInfo, Window
from unetkit.io.base.windows import common, inside, overlap, sizes_of

KEPT_BYTES = 2**27
"""Bytes of bands that are kept in memory, unless two have more."""


class BandSource:
    """Finished bands of an output as an image that can be read by windows.

    Few bands are kept in memory, as windows are read in about the order of the bands.

    Args:
        info: The image that they are of; the channels and the dtype are those of the bands.
        places: Item and window of each band, which cover the items.
        bands: (C, one size for each axis of the window).

    Attributes:
        info: The bands as an image.
        bad_tiles: Always empty.
    """

    def __init__(self, info: ImageInfo, places: Sequence[tuple[int, Window]], bands: Sequence[NDArray[Any]]) -> None:
        self._bands = bands
        self._places: dict[int, list[tuple[int, Window]]] = {}
        for number, (item, window) in enumerate(places):
            self._places.setdefault(item, []).append((number, window))
        self._kept: dict[int, NDArray[Any]] = {}
        first = bands[0]
        self._most = max(2, KEPT_BYTES // first.nbytes)
        self.bad_tiles: list[BadTile] = []
        self.info = replace(info, channels=len(first), dtype=first.dtype)

    def read(self, item: int, window: Window) -> NDArray[Any]:
        """Return pixels (C, one size for each axis) of one item."""
        pixels = np.empty((self.info.channels, *sizes_of(window)), self.info.dtype)
        for number, place in self._places[item]:
            if overlap(place, window):
                part = common(place, window)
                pixels[(slice(None), *inside(part, window))] = self._band(number)[(slice(None), *inside(part, place))]
        return pixels

    def close(self) -> None:
        """Forget the bands that are kept in memory."""
        self._kept.clear()

    def _band(self, number: int) -> NDArray[Any]:
        if number not in self._kept and len(self._kept) == self._most:
            self._kept.pop(next(iter(self._kept)))  # the one that was not read for the longest time
        self._kept[number] = self._kept.pop(number) if number in self._kept else self._bands[number]
        return self._kept[number]
