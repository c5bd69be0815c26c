"""Split touching objects by a watershed of a predicted distance map, which has a peak in every object."""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from unetkit.postprocess.method import Method
from unetkit.postprocess.parts import LARGEST_DISTANCE, LARGEST_PREDICTED, Ints
from unetkit.postprocess.watershed import RING, find_regions

KERNEL = np.array([1, 4, 6, 4, 1], np.float32)
"""Smoothing of the distance map along each axis. Its sums are whole numbers, as those of `split_by_distance.KERNEL`."""

SADDLE = 1.0
"""Share of a peak, see `Method`. At 1 only `DEPTH` counts: predicted peaks do not depend on the size of the object."""

DEPTH = 0.125
"""Depth below a peak, see `Method`, as a share of the largest distance.

`benchmarks/instances.py` chose it with `KERNEL` and `SADDLE`, on validation images of the 2018 Data Science Bowl.
"""


def smooth_predicted(window: NDArray[np.uint8], kernel: NDArray[np.float32] = KERNEL) -> Ints:
    """Return the smoothed distance of each pixel, (H, W), 0 in the background.

    Args:
        window: (2, H, W): the mask, 0 for background, and the predicted distance map.
        kernel: See `KERNEL`.
    """
    mask, predicted = window
    smoothed = cv2.sepFilter2D(predicted.astype(np.float32), -1, kernel, kernel, borderType=cv2.BORDER_REPLICATE)
    smoothed *= LARGEST_DISTANCE / (LARGEST_PREDICTED * kernel.sum() ** 2)
    distances: Ints = np.rint(smoothed).astype(np.int32)
    np.maximum(distances, 1, out=distances)
    distances[mask == 0] = 0
    return distances


def by_predicted_distance(
    confidence: float, kernel: NDArray[np.float32] = KERNEL, saddle: float = SADDLE, depth: float = DEPTH
) -> Method:
    """Return the method that splits objects by the watershed of a predicted distance map.

    Args:
        confidence: Lowest peak of an object, 0 to 1. Objects with a lower peak are left out. A network learns a peak
            of 1 for every object, so a low peak means that it is unsure.
        kernel: See `KERNEL`.
        saddle: See `SADDLE`.
        depth: See `DEPTH`.
    """
    find = partial(find_regions, distance_map=partial(smooth_predicted, kernel=kernel))
    margin, lowest = len(kernel) // 2 + RING, confidence * LARGEST_DISTANCE
    return Method(find, margin, saddle, depth * LARGEST_DISTANCE, lowest, knows_confidence=True)
