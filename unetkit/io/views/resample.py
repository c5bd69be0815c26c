"""Resampling of images. A pixel has the same bits in every window that it is computed in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.contracts import Window
from unetkit.io.base.windows import sizes_of

BLOCK_ROWS = 64
"""How many rows of the result are computed at a time, so that they stay in the processor's cache."""


class Axis:
    """Resampling along one axis: the mean of areas where it shrinks, linear interpolation where it grows.

    Places and weights are computed in whole numbers from the place of a pixel in the whole image.

    Args:
        stored: Pixels of the image.
        length: Pixels of the result.
    """

    def __init__(self, stored: int, length: int) -> None:
        self.stored = stored
        self.length = length
        self._taps = 2 if length > stored else -(-stored // length) + (stored % length > 0)

    def needed(self, wanted: slice) -> slice:
        """Return the stored pixels that a part of the result is computed from."""
        first = self._first(np.array([wanted.start, wanted.stop - 1]))
        return slice(max(0, int(first[0])), min(int(first[1]) + self._taps, self.stored))

    def touched(self, start: int, stop: int) -> tuple[int, int]:
        """Return the first pixel of the result that is computed from stored pixels, and the one after the last."""
        reach = 1 if self.length > self.stored else 0
        first = max(0, start - reach) * self.length // self.stored
        after = -(-min(stop + reach, self.stored) * self.length // self.stored)
        return min(first, self.length - 1), max(after, first + 1)

    def resample(self, pixels: NDArray[Any], start: int, wanted: slice, dtype: type[np.floating[Any]]) -> NDArray[Any]:
        """Return a part of the result, resampled along the first axis.

        Args:
            pixels: Stored pixels (n, m) from `start` on; they include all that are `needed`.
            start: Number of the first stored pixel in `pixels`.
            wanted: The part of the result.
            dtype: Type of the computation, float32 or float64.

        Returns:
            (number of pixels in `wanted`, m).
        """
        index = np.arange(wanted.start, wanted.stop, dtype=np.int64)
        first = self._first(index)
        total = np.empty((len(index), pixels.shape[1]), dtype)
        share = np.empty_like(total)
        for tap in range(self._taps):  # one after the other, in the same order for every pixel
            weight = self._weight(index, first + tap).astype(dtype)[:, None]
            # Clipped at the edges of the image; inside of it only pixels of weight 0 are.
            stored = np.take(pixels, first + (tap - start), axis=0, mode="clip")
            np.multiply(stored, weight, out=share if tap else total)
            if tap:
                np.add(total, share, out=total)
        return total

    def _first(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the first stored pixel of each pixel of the result; before the image by one where it grows."""
        if self.length > self.stored:
            return ((2 * index + 1) * self.stored - self.length) // (2 * self.length)
        return index * self.stored // self.length

    def _weight(self, index: NDArray[np.int64], place: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the weight of the stored pixel at each place in each pixel of the result."""
        if self.length > self.stored:  # distance of the centres, in units of 1 / (2 * length)
            distance = np.abs((2 * index + 1) * self.stored - (2 * place + 1) * self.length)
            weight: NDArray[np.float64] = 1.0 - distance / (2 * self.length)
            return weight
        # overlap of the areas, in units of 1 / length
        overlap = np.minimum((index + 1) * self.stored, (place + 1) * self.length) - np.maximum(
            index * self.stored, place * self.length
        )
        share: NDArray[np.float64] = np.maximum(overlap, 0) / self.stored
        return share


def resample(pixels: NDArray[Any], place: Sequence[int], axes: Sequence[Axis], window: Window) -> NDArray[Any]:
    """Return a window of a resampled item.

    Args:
        pixels: Stored pixels of one channel, two axes or more; they include all that the window needs.
        place: The first stored pixel in `pixels` along each axis.
        axes: How each axis is resampled, in the order in which it is done.
        window: The window of the result.

    Returns:
        Pixels in the dtype of `pixels`, integers rounded.
    """
    pixels = np.ascontiguousarray(pixels)  # or NumPy copies it each time that it takes rows
    result = np.empty(sizes_of(window), pixels.dtype)
    small = pixels.dtype.itemsize <= 2 or pixels.dtype == np.float32
    _resample_into(result, pixels, place, axes, window, np.float32 if small else np.float64)
    return result  # float32 holds integers of 16 bits with room for their means


def _resample_into(
    result: NDArray[Any],
    pixels: NDArray[Any],
    place: Sequence[int],
    axes: Sequence[Axis],
    window: Window,
    dtype: type[np.floating[Any]],
) -> None:
    """Fill `result` with a window, in few rows at a time so that they stay in the processor's cache."""
    first, *others = window
    step = BLOCK_ROWS if len(axes) == 2 else 1
    for start in range(first.start, first.stop, step):
        part = slice(start, min(start + step, first.stop))
        kept = result[part.start - first.start : part.stop - first.start]
        along = axes[0].resample(pixels.reshape(len(pixels), -1), place[0], part, dtype)
        if len(axes) == 2:
            # Turned, so that whole rows are taken in this direction too, which is many times faster.
            turned = axes[1].resample(np.ascontiguousarray(along.T), place[1], others[0], dtype).T
            kept[...] = _restore(turned, result.dtype)
        else:
            _resample_into(kept[0], along.reshape(pixels.shape[1:]), place[1:], axes[1:], tuple(others), dtype)


def _restore(pixels: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return pixels in the type of the image, integers rounded."""
    if dtype.kind == "f":
        return pixels.astype(dtype, copy=False)
    if dtype.kind == "b":
        return pixels >= 0.5
    limits = np.iinfo(dtype)
    whole: NDArray[Any] = np.clip(np.rint(pixels), limits.min, limits.max).astype(dtype)
    return whole
