"""Touching objects by what a network says: the height of a pixel is predicted, a summit in every object."""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from unetkit.postprocess.basins import RING, find_basins
from unetkit.postprocess.method import Method
from unetkit.postprocess.parts import FULL, Ints

LARGEST = 255
"""The largest predicted height."""

KERNEL = np.array([1, 4, 6, 4, 1], np.float32)
"""Smoothing of the heights along each axis; its sums are whole numbers, as those of `distances.KERNEL`."""

NECK = 1.0
"""See `Method`. Heights are the same for objects of all sizes, so a share of them says no more than `DEPTH`."""

DEPTH = 0.125
"""See `Method`; as a share of the largest height. Chosen, with `KERNEL` and `NECK`, with `benchmarks/instances.py` on
validation images of the 2018 Data Science Bowl."""


def predicted_heights(window: NDArray[np.uint8], kernel: NDArray[np.float32] = KERNEL) -> Ints:
    """Return the smoothed height of each pixel, (H, W), 0 in the background.

    Args:
        window: (2, H, W): the mask, 0 for background, and the predicted heights.
        kernel: See `KERNEL`.
    """
    mask, predicted = window
    smoothed = cv2.sepFilter2D(predicted.astype(np.float32), -1, kernel, kernel, borderType=cv2.BORDER_REPLICATE)
    smoothed *= FULL / (LARGEST * kernel.sum() ** 2)
    heights: Ints = np.rint(smoothed).astype(np.int32)
    np.maximum(heights, 1, out=heights)
    heights[mask == 0] = 0
    return heights


def by_height(
    confidence: float, kernel: NDArray[np.float32] = KERNEL, neck: float = NECK, depth: float = DEPTH
) -> Method:
    """Return the method that finds the hills of predicted heights.

    Args:
        confidence: An object is one if its summit, the largest of its smoothed heights, is at least this, 0 to 1. The
            summit of every object that a network was shown is 1, so a low one says how unsure it is.
        kernel: See `KERNEL`.
        neck: See `NECK`.
        depth: See `DEPTH`.
    """
    find = partial(find_basins, heights_of=partial(predicted_heights, kernel=kernel))
    return Method(find, len(kernel) // 2 + RING, neck, depth * FULL, confidence * FULL)
