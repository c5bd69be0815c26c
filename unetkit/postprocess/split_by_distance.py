"""Split touching objects where the mask is narrow, by a watershed of each pixel's distance to the background."""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from unetkit.postprocess.method import Method
from unetkit.postprocess.parts import LARGEST_DISTANCE, Ints
from unetkit.postprocess.watershed import RING, find_regions

LARGEST_PIXELS = 64
"""Largest distance, in pixels. All pixels farther from the background have it: they are one plateau, never split."""

UNITS_PER_PIXEL = LARGEST_DISTANCE // LARGEST_PIXELS
"""One pixel of distance, in units of the distance map."""

KERNEL = np.array([1, 2, 1], np.float32)
"""Smoothing of the distance map along each axis.

All sums are whole numbers that float32 holds exactly. So they are the same in whatever order a processor adds.
"""

SADDLE = 0.9
"""Share of a peak, see `Method`.

It was chosen with `DEPTH` and `KERNEL`, on the instance masks of the 2018 Data Science Bowl's training images.
"""

DEPTH = 0.5
"""Depth below a peak, see `Method`, in pixels."""


def distance_map(window: NDArray[np.uint8]) -> Ints:
    """Return the smoothed distance of each pixel to the background, (H, W), 0 in the background.

    Args:
        window: (1, H, W), 0 for background.
    """
    mask = window[0]
    distances = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    np.minimum(distances, LARGEST_PIXELS, out=distances)
    distances *= UNITS_PER_PIXEL / KERNEL.sum() ** 2
    np.rint(distances, out=distances)
    smoothed = cv2.sepFilter2D(distances, -1, KERNEL, KERNEL, borderType=cv2.BORDER_REPLICATE)
    smoothed[mask == 0] = 0
    whole: Ints = smoothed.astype(np.int32)
    return whole


BY_DISTANCE = Method(
    partial(find_regions, distance_map=distance_map),
    LARGEST_PIXELS + len(KERNEL) // 2 + RING,
    SADDLE,
    DEPTH * UNITS_PER_PIXEL,
)
"""The watershed of the distance to the background."""
