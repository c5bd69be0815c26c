"""What sources of arrays in chunks have in common, whatever format the chunks are of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.arrays import ArraySource
from unetkit.io.base.contracts import BadTile, ImageInfo, Window
from unetkit.io.decoding.chunked import ChunkedArray


class ChunkedSource:
    """An image whose pixels are an array in chunks. A format sets these attributes.

    Attributes:
        info: The image as it is interpreted.
    """

    info: ImageInfo
    _array: ChunkedArray
    _pixels: ArraySource

    @property
    def bad_tiles(self) -> list[BadTile]:
        """What could not be decoded so far and was read as background."""
        found = [tile for box in list(self._array.bad_boxes) for tile in self._pixels.locate(box)]
        return list(dict.fromkeys(found))  # separate channels have their chunks at the same places

    def read(self, item: int, window: Window) -> NDArray[Any]:
        """Return pixels (C, h, w) of one plane; booleans become 0 and 255.

        Raises:
            ImageError: A chunk cannot be decoded.
        """
        pixels = self._pixels.read(item, window)
        return pixels.astype(np.uint8) * np.uint8(255) if pixels.dtype == np.bool_ else pixels

    def close(self) -> None:
        """Stop the decoding threads."""
        self._array.close()
