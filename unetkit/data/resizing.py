"""Resize images and their targets, so that pixels and classes keep to the same places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def resize(pixels: NDArray[np.float32], size: Sequence[int]) -> NDArray[np.float32]:
    """Resize (C, h, w) or (C, d, h, w) to a size: planes by area where they shrink, else linearly, as along z."""
    if pixels.shape[1:] == tuple(size):
        return pixels
    height, width = size[-2:]
    if pixels.shape[-2:] != (height, width):
        method = cv2.INTER_AREA if pixels.shape[-2] > height else cv2.INTER_LINEAR
        planes = pixels.reshape(-1, *pixels.shape[-2:])
        small = [cv2.resize(plane, (width, height), interpolation=method) for plane in planes]
        pixels = np.stack(small).reshape(*pixels.shape[:-2], height, width)
    return pixels if pixels.ndim == 3 else _resize_depth(pixels, size[0])


def _resize_depth(pixels: NDArray[np.float32], depth: int) -> NDArray[np.float32]:
    """Resize (C, d, h, w) along z linearly; centres of planes lie as those of pixels do in `resize`."""
    length = pixels.shape[1]
    if length == depth:
        return pixels
    places = np.clip((np.arange(depth) + 0.5) * length / depth - 0.5, 0, length - 1)
    below = places.astype(np.int64)
    part = (places - below).astype(np.float32)[:, None, None]
    resized: NDArray[np.float32] = pixels[:, below] * (1 - part) + pixels[:, np.minimum(below + 1, length - 1)] * part
    return resized


def magnify(pixels: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """Return an image (C, h, w) magnified about its centre, of the same size: cut off, or reflected beyond its border.

    >>> magnify(np.arange(5, dtype=np.float32).reshape(1, 1, 5), 2)[0, 0].tolist()
    [1.0, 1.5, 2.0, 2.5, 3.0]
    """
    height, width = pixels.shape[1:]
    matrix = np.array([[factor, 0, (1 - factor) * (width - 1) / 2], [0, factor, (1 - factor) * (height - 1) / 2]])
    return np.stack([cv2.warpAffine(one, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101) for one in pixels])


def resize_nearest(classes: NDArray[Any], size: Sequence[int]) -> NDArray[Any]:
    """Resize (h, w) or (d, h, w), or either with a further axis, by the nearest pixel, centred as `resize` is.

    OpenCV's `INTER_NEAREST` is half a pixel off, and its exact one takes no volumes.
    """
    if classes.shape[: len(size)] == tuple(size):
        return classes
    for axis, (side, length) in enumerate(zip(size, classes.shape, strict=False)):
        classes = np.take(classes, ((np.arange(side) + 0.5) * length / side).astype(np.int64), axis=axis)
    return classes
