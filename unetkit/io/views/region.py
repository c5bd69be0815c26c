"""A view of a part of an image: a rectangle of planes, or a box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import ImageError
from unetkit.io.base.axes import ITEM_AXES
from unetkit.io.base.contracts import UNNAMED_AXES, BadTile, ImageInfo, ImageSource, Window


class RegionSource:
    """A part of an image as an image of its own.

    Args:
        source: The whole image; closed with this one.
        region: The first pixel along each axis, then the size along each: (y, x, height, width), or (z, y, x, depth,
            height, width). Without z, volumes keep their depth. With z, planes are those along the axis Z.

    Attributes:
        info: The image as it is interpreted.

    Raises:
        ImageError: The region reaches beyond the image, or has a z that the image has not.
    """

    def __init__(self, source: ImageSource, region: Sequence[int]) -> None:
        info = source.info
        dims = len(info.size)
        count = len(region) // 2
        whole, axis = info.size, None
        if count > dims:
            axis = _stack_axis(info, region)
            whole = (info.plane_shape[axis], *info.size)
        left = len(whole) - count
        start = (*(0,) * left, *region[:count])
        size = (*whole[:left], *region[count:])
        if any(first + length > end for first, length, end in zip(start, size, whole, strict=True)):
            raise ImageError(
                f"{info.name}: the region {','.join(map(str, region))} ({NAMES[count]}) reaches beyond the image, "
                f"which is {' x '.join(map(str, whole))} pixels ({' x '.join(SIZES[-len(whole) :])}).",
                "Give one that lies inside.",
            )
        self._source = source
        self._origin = start[-dims:]
        self.info = resized(info, size[-dims:], start[-dims:])
        self._planes: NDArray[np.intp] | None = None
        if axis is not None:
            numbers = np.arange(info.planes).reshape(info.plane_shape)
            numbers = numbers.take(range(start[0], start[0] + size[0]), axis)
            self.info = _with_planes(self.info, axis, numbers.shape, start[0])
            self._planes = numbers.ravel()

    @property
    def bad_tiles(self) -> list[BadTile]:
        """Parts of the region that could not be decoded so far."""
        moved = []
        for tile in self._source.bad_tiles:
            item = tile.item if self._planes is None else int(np.searchsorted(self._planes, tile.item))
            if self._planes is not None and tile.item not in self._planes:
                continue
            ends = [
                _clip(first - origin, length, size)
                for first, origin, length, size in zip(tile.start, self._origin, tile.size, self.info.size, strict=True)
            ]
            if all(first < after for first, after in ends):
                start, size = tuple(first for first, _ in ends), tuple(after - first for first, after in ends)
                moved.append(BadTile(item, start, size))
        return moved

    def read(self, item: int, window: Window) -> NDArray[Any]:
        """Return pixels (C, one size for each axis of an item) of one item."""
        item = item if self._planes is None else int(self._planes[item])
        moved = (slice(part.start + at, part.stop + at) for part, at in zip(window, self._origin, strict=True))
        return self._source.read(item, tuple(moved))

    def close(self) -> None:
        """Close the whole image."""
        self._source.close()


NAMES = {2: "y, x, height, width", 3: "z, y, x, depth, height, width"}
"""What the numbers of a region are."""

SIZES = ("depth", "height", "width")


def resized(info: ImageInfo, size: Sequence[int], start: Sequence[int] | None = None) -> ImageInfo:
    """Return the description of an image with another size along the axes of an item.

    Args:
        info: The image.
        size: The other size.
        start: Where its first pixel lies in the image; None where its pixels are others.
    """
    sizes = dict(zip(ITEM_AXES[-len(size) :], size, strict=True))
    shape = tuple(sizes.get(axis, length) for axis, length in zip(info.axes, info.shape, strict=True))
    block = tuple(map(min, info.block, size))
    space = info.space if start is None or info.space is None else info.space.resampled((1.0,) * len(size), start)
    return replace(info, size=tuple(size), shape=shape, block=block, space=space)


def _stack_axis(info: ImageInfo, region: Sequence[int]) -> int:
    """Return which of the plane axes is Z.

    Raises:
        ImageError: There is none.
    """
    if "Z" in info.plane_axes:
        return info.plane_axes.index("Z")
    if len(info.plane_axes) == 1 and info.plane_axes in UNNAMED_AXES:
        return 0
    raise ImageError(
        f"{info.name}: the region {','.join(map(str, region))} ({NAMES[3]}) has a z, and the image has "
        f"{f'the axes {info.axes}' if info.plane_axes else 'one plane'}.",
        "Give y,x,height,width; if one of its axes is depth, say so with --axes, for example --axes ZYX.",
    )


def _with_planes(info: ImageInfo, axis: int, plane_shape: tuple[int, ...], first: int) -> ImageInfo:
    """Return the description of an image with other planes along one of the plane axes, from one on."""
    at = info.axes.index(info.plane_axes[axis])
    shape = (*info.shape[:at], plane_shape[axis], *info.shape[at + 1 :])
    space = None if info.space is None else info.space.resampled((1.0,) * 3, (first, 0, 0))
    return replace(info, plane_shape=plane_shape, shape=shape, space=space)


def _clip(start: int, length: int, size: int) -> tuple[int, int]:
    return max(0, start), min(start + length, size)
