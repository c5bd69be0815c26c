"""A view of a rectangle of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from unetkit.foundation.errors import ImageError
from unetkit.io.base.contracts import BadTile, ImageInfo, ImageSource, Window


class RegionSource:
    """A rectangle of an image as an image of its own.

    Args:
        source: The whole image; closed with this one.
        region: Top, left, height and width in pixels.

    Attributes:
        info: The image as it is interpreted.

    Raises:
        ImageError: The region reaches beyond the image.
    """

    def __init__(self, source: ImageSource, region: Sequence[int]) -> None:
        info = source.info
        top, left, height, width = region
        if top + height > info.height or left + width > info.width:
            raise ImageError(
                f"{info.name}: the region {','.join(map(str, region))} (y, x, height, width) reaches beyond the image, "
                f"which is {info.height} x {info.width} pixels (height x width).",
                "Give one that lies inside.",
            )
        self._source = source
        self._origin = (top, left)
        self.info = resized(info, height, width)

    @property
    def bad_tiles(self) -> list[BadTile]:
        """Parts of the region that could not be decoded so far."""
        moved = []
        for tile in self._source.bad_tiles:
            ends = [
                _clip(first - origin, length, size)
                for first, origin, length, size in zip(tile.start, self._origin, tile.size, self.info.size, strict=True)
            ]
            if all(first < after for first, after in ends):
                start, size = tuple(first for first, _ in ends), tuple(after - first for first, after in ends)
                moved.append(BadTile(tile.item, start, size))
        return moved

    def read(self, item: int, window: Window) -> NDArray[Any]:
        """Return pixels (C, h, w) of one plane."""
        moved = (slice(part.start + at, part.stop + at) for part, at in zip(window, self._origin, strict=True))
        return self._source.read(item, tuple(moved))

    def close(self) -> None:
        """Close the whole image."""
        self._source.close()


def resized(info: ImageInfo, height: int, width: int) -> ImageInfo:
    """Return the description of an image with another height and width."""
    sizes = {"Y": height, "X": width}
    shape = tuple(sizes.get(axis, size) for axis, size in zip(info.axes, info.shape, strict=True))
    block = (min(info.block[0], height), min(info.block[1], width))
    return replace(info, size=(height, width), shape=shape, block=block)


def _clip(start: int, length: int, size: int) -> tuple[int, int]:
    return max(0, start), min(start + length, size)
