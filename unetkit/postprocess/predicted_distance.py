"""Touching objects split as a network says: a watershed of a predicted distance map, with a peak in every object."""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from unetkit.postprocess.method import Method
from unetkit.postprocess.parts import LARGEST_DISTANCE, LARGEST_PREDICTED, Ints
from unetkit.postprocess.watershed import RING, find_regions

KERNEL = np.array([1, 4, 6, 4, 1], np.float32)
"""Smoothing of the distance map along each axis; its sums are whole numbers, as those of `split_by_distance.KERNEL`."""

SADDLE = 1.0
"""See `Method`. Predicted distances are the same for objects of all sizes, so a share of them says no more than
`DEPTH`."""

DEPTH = 0.125
"""See `Method`; as a share of the largest distance. Chosen, with `KERNEL` and `SADDLE`, with `benchmarks/instances.py`
on validation images of the 2018 Data Science Bowl."""


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
        confidence: Objects whose peak, the largest of their smoothed distances, is lower are left out, 0 to 1. A
            network learns a peak of 1 for every object, so a low one says how unsure it is.
        kernel: See `KERNEL`.
        saddle: See `SADDLE`.
        depth: See `DEPTH`.
    """
    find = partial(find_regions, distance_map=partial(smooth_predicted, kernel=kernel))
    return Method(find, len(kernel) // 2 + RING, saddle, depth * LARGEST_DISTANCE, confidence * LARGEST_DISTANCE)
