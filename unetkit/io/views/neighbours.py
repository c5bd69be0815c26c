"""A view of a stack in which each plane has its neighbours along Z as further channels (2.5D)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.contracts import BadTile, ImageInfo, ImageSource, Window, match_channels
from unetkit.io.views.volume import find_depth


class NeighbourSource:
    """Each plane with its neighbours along Z, as one image of more channels.

    The first plane of the stack, and the last, are repeated where there is nothing beyond them. So is a plane of an
    image without an axis that can be Z.

    Args:
        source: The image, whose items are planes; closed with this one. Each of its windows is read for every plane
            that it is a neighbour of, see `unetkit.io.views.kept_planes`.
        planes: How many planes are seen at once, an odd number; the one in the middle is the item.
        channels: Channels of each plane; grey is repeated.

    Attributes:
        info: The image as it is interpreted: `planes` * `channels` channels, those of the first neighbour first.
        middle: The image without neighbours.
    """

    def __init__(self, source: ImageSource, planes: int, channels: int) -> None:
        self.middle = source
        self._planes = planes
        self._channels = channels
        self.info: ImageInfo = replace(source.info, channels=planes * channels, channel_names=(), colours=None)

    @property
    def bad_tiles(self) -> list[BadTile]:
        """What could not be decoded so far; a part of a plane counts for all planes that see it."""
        return [
            replace(tile, item=item)
            for tile in self.middle.bad_tiles
            for item in dict.fromkeys(self.around(tile.item))
            if tile.item in self.around(item)
        ]

    def around(self, item: int) -> tuple[int, ...]:
        """Return the numbers of the planes that are seen as one, see `planes_around`."""
        return planes_around(self.middle.info, item, self._planes)

    def read(self, item: int, window: Window) -> NDArray[Any]:
        """Return pixels (planes * channels, h, w) of one plane and its neighbours."""
        return self.join(
            {number: self.middle.read(number, window) for number in dict.fromkeys(self.around(item))}, item
        )

    def join(self, pixels: dict[int, NDArray[Any]], item: int) -> NDArray[Any]:
        """Put pixels (C, h, w) of the planes around an item, by their numbers, side by side.

        Raises:
            ImageError: The image has other channels.
        """
        return stack_planes([pixels[number] for number in self.around(item)], self._channels, self.info.name)

    def close(self) -> None:
        """Close the image."""
        self.middle.close()


def lacks_neighbours(info: ImageInfo) -> bool:
    """Return whether the planes of an image have no neighbours along Z."""
    axis = find_depth(info)
    return axis is None or info.plane_shape[axis] == 1


def planes_around(info: ImageInfo, item: int, planes: int) -> tuple[int, ...]:
    """Return the numbers of a plane and its neighbours along Z: `planes` of them, the lowest first.

    Args:
        info: The image, whose items are planes.
        item: Number of the plane in the middle.
        planes: How many, an odd number. The ends of the stack are repeated.
    """
    axis = find_depth(info)
    if axis is None:
        return (item,) * planes
    depth, step = info.plane_shape[axis], prod(info.plane_shape[axis + 1 :])
    place = item // step % depth
    half = planes // 2
    return tuple(item + (min(max(place + by, 0), depth - 1) - place) * step for by in range(-half, half + 1))


def stack_planes(planes: Sequence[NDArray[Any]], channels: int, name: str) -> NDArray[Any]:
    """Put the channels of planes (C, h, w) one after the other; grey ones are repeated to `channels` first.

    Raises:
        ImageError: They have other channels.
    """
    return np.concatenate([match_channels(pixels, channels, name) for pixels in planes])
