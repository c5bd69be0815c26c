"""Touching objects by their necks: the height of a pixel is its distance to the background, lightly smoothed."""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from unetkit.postprocess.basins import RING, find_basins
from unetkit.postprocess.method import Method
from unetkit.postprocess.parts import FULL, Ints

RADIUS = 64
"""Distances are cut off here, in pixels: what is farther from the background is one plain and never split."""

PIXEL = FULL // RADIUS
"""Height of one pixel of distance."""

KERNEL = np.array([1, 2, 1], np.float32)
"""Smoothing of the distances along each axis. All sums are whole numbers that float32 holds exactly, hence the same
whichever way a processor adds them up."""

NECK = 0.9
"""See `Method`. Chosen, with `DEPTH` and `KERNEL`, on the instance masks of the 2018 Data Science Bowl's training
images."""

DEPTH = 0.5
"""See `Method`; in pixels."""


def distance_heights(window: NDArray[np.uint8]) -> Ints:
    """Return the smoothed distance of each pixel to the background, (H, W), 0 in the background.

    Args:
        window: (1, H, W), 0 for background.
    """
    mask = window[0]
    distances = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    np.minimum(distances, RADIUS, out=distances)
    distances *= PIXEL / KERNEL.sum() ** 2
    np.rint(distances, out=distances)
    smoothed = cv2.sepFilter2D(distances, -1, KERNEL, KERNEL, borderType=cv2.BORDER_REPLICATE)
    smoothed[mask == 0] = 0
    heights: Ints = smoothed.astype(np.int32)
    return heights


BY_DISTANCE = Method(
    partial(find_basins, heights_of=distance_heights), RADIUS + len(KERNEL) // 2 + RING, NECK, DEPTH * PIXEL
)
"""Hills of the distance to the background."""
