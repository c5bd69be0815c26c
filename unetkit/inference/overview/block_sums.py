"""Sums of an image over the blocks of a coarse grid, from rows that come in order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class BlockSums:
    """Adds up the pixels of each block of a grid. A pixel belongs to one block; blocks differ by a pixel at most.

    Args:
        size: (height, width) of the image.
        coarse: (height, width) of the grid, neither larger than that of the image.
        dtype: Type of the sums.

    Example:
        >>> sums = BlockSums((2, 4), (1, 2), np.int64)
        >>> sums.add(0, np.array([[1, 2, 3, 4]]))
        >>> sums.add(1, np.array([[1, 1, 1, 1]]))
        >>> sums.means
        array([[1.25, 2.25]], dtype=float32)
    """

    def __init__(self, size: tuple[int, int], coarse: tuple[int, int], dtype: Any) -> None:
        self._size = size
        self._tops, self._lefts = (
            -(-np.arange(count) * length // count) for length, count in zip(size, coarse, strict=True)
        )
        self._lengths = [
            np.diff(np.append(starts, length)) for starts, length in zip((self._tops, self._lefts), size, strict=True)
        ]
        self._sums = np.zeros(coarse, dtype)

    def add(self, top: int, pixels: NDArray[Any]) -> None:
        """Add rows (h, width) of the image, of which `top` is the number of the first."""
        if self._sums.shape == self._size:  # each pixel is a block
            self._sums[top : top + len(pixels)] = pixels
            return
        columns = np.add.reduceat(pixels, self._lefts, axis=1, dtype=self._sums.dtype)
        blocks = np.searchsorted(self._tops, np.arange(top, top + len(pixels)), side="right") - 1
        first = np.flatnonzero(np.diff(blocks, prepend=-1))
        self._sums[blocks[first]] += np.add.reduceat(columns, first, axis=0)

    @property
    def means(self) -> NDArray[np.float32]:
        """Mean of each block."""
        heights, widths = self._lengths
        means: NDArray[np.float32] = (self._sums / (heights[:, None] * widths)).astype(np.float32)
        return means
