"""An upright view of an image that is stored rotated or mirrored, as cameras and scanners do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.contracts import BadTile, ImageInfo, ImageSource, Window

UPRIGHT = 1
"""The orientation of an image that is stored upright."""

ORIENTATION_WORDS = {
    2: "mirrored left to right",
    3: "turned by 180 degrees",
    4: "mirrored top to bottom",
    5: "mirrored along its diagonal",
    6: "turned by 90 degrees clockwise",
    7: "mirrored along its other diagonal",
    8: "turned by 90 degrees counterclockwise",
}
"""How a stored image is made upright, by the number of its orientation in TIFF 6.0 and EXIF 2.3."""

TRANSPOSED = (5, 6, 7, 8)
"""Orientations whose stored rows are columns of the upright image."""

ROWS_REVERSED = (3, 4, 7, 8)
"""Orientations that reverse the rows of the upright image."""

COLUMNS_REVERSED = (2, 3, 6, 7)
"""Orientations that reverse the columns of the upright image."""


class UprightSource:
    """An upright view of an image whose file says that it is stored rotated or mirrored.

    Args:
        source: The image as it is stored; closed with this one.

    Attributes:
        info: The upright image.
    """

    def __init__(self, source: ImageSource) -> None:
        self._source = source
        self._orientation = source.info.orientation
        self.info = _upright(source.info)

    @property
    def bad_tiles(self) -> list[BadTile]:
        """What could not be decoded so far, in pixels of the upright image."""
        found = []
        for bad in self._source.bad_tiles:
            rows, columns = bad.window
            if self._orientation in TRANSPOSED:
                rows, columns = columns, rows
            rows, columns = self._flip(rows, columns)
            found.append(
                BadTile(
                    bad.item,
                    (rows.start, columns.start),
                    (rows.stop - rows.start, columns.stop - columns.start),
                )
            )
        return found

    def read(self, item: int, window: Window) -> NDArray[Any]:
        """Return pixels (C, h, w) of one plane."""
        rows, columns = self._flip(*window)
        if self._orientation in TRANSPOSED:
            pixels = self._source.read(item, (columns, rows)).swapaxes(-1, -2)
        else:
            pixels = self._source.read(item, (rows, columns))
        pixels = pixels[:, ::-1] if self._rows_reversed else pixels
        return np.ascontiguousarray(pixels[:, :, ::-1] if self._columns_reversed else pixels)

    def close(self) -> None:
        """Close the stored image."""
        self._source.close()

    @property
    def _rows_reversed(self) -> bool:
        return self._orientation in ROWS_REVERSED

    @property
    def _columns_reversed(self) -> bool:
        return self._orientation in COLUMNS_REVERSED

    def _flip(self, rows: slice, columns: slice) -> tuple[slice, slice]:
        """Return a window of the upright image before it is mirrored. The same takes a window back."""
        height, width = self.info.height, self.info.width
        if self._rows_reversed:
            rows = slice(height - rows.stop, height - rows.start)
        if self._columns_reversed:
            columns = slice(width - columns.stop, width - columns.start)
        return rows, columns


def make_upright(source: ImageSource) -> ImageSource:
    """Return an upright view of an image; the image itself if it is stored upright."""
    return UprightSource(source) if source.info.orientation in ORIENTATION_WORDS else source


def _upright(info: ImageInfo) -> ImageInfo:
    """Return the description of the upright image, with a remark that it is stored otherwise."""
    how = ORIENTATION_WORDS[info.orientation]
    remark = f"It is stored with orientation {info.orientation} (EXIF, TIFF), so it is read {how}."
    upright = replace(info, orientation=UPRIGHT, remarks=(*info.remarks, remark))
    if info.orientation not in TRANSPOSED:
        return upright
    sizes = {"Y": info.width, "X": info.height}
    return replace(
        upright,
        shape=tuple(sizes.get(axis, size) for axis, size in zip(info.axes, info.shape, strict=True)),
        size=info.size[::-1],
        pixel_size_um=None if info.pixel_size_um is None else info.pixel_size_um[::-1],
        block=info.block[::-1],
    )
