"""Split touching objects by a watershed of a predicted distance map, which has a peak in every object."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from unetkit.postprocess.choice import Choice
from unetkit.postprocess.method import Method
from unetkit.postprocess.parts import LARGEST_DISTANCE, LARGEST_PREDICTED, Ints
from unetkit.postprocess.smoothing import kernels_for, smooth, weight
from unetkit.postprocess.watershed import RING, find_regions

KERNEL = np.array([1, 4, 6, 4, 1], np.float32)
"""Smoothing of the distance map along each axis, see `unetkit.postprocess.smoothing`."""

SADDLE = 1.0
"""Share of a peak, see `Method`. At 1 only `DEPTH` counts: predicted peaks do not depend on the size of the object."""

DEPTH = 0.125
"""Depth below a peak, see `Method`, as a share of the largest distance.

`benchmarks/instances.py` chose it with `KERNEL` and `SADDLE`, on validation images of the 2018 Data Science Bowl.
"""


DEEPEST = 0.5
"""Depth below a peak up to which a join is a candidate, as a share of the largest distance."""


def smooth_predicted(
    window: NDArray[np.uint8], kernel: NDArray[np.float32] = KERNEL, spacing: tuple[float, ...] | None = None
) -> Ints:
    """Return the smoothed distance of each pixel, (H, W) or (D, H, W), 0 in the background.

    Args:
        window: (2, H, W) or (2, D, H, W): the mask, 0 for background, and the predicted distance map.
        kernel: See `KERNEL`.
        spacing: Length of a voxel along each axis, in any unit; None where it is the same along all.
    """
    mask, predicted = window
    kernels = kernels_for(kernel, spacing or (1.0,) * mask.ndim)
    smoothed = smooth(predicted.astype(np.float32), kernels)
    smoothed *= LARGEST_DISTANCE / (LARGEST_PREDICTED * weight(kernels))
    distances: Ints = np.rint(smoothed).astype(np.int32)
    np.maximum(distances, 1, out=distances)
    distances[mask == 0] = 0
    return distances


def by_predicted_distance(
    confidence: float,
    kernel: NDArray[np.float32] = KERNEL,
    saddle: float = SADDLE,
    depth: float = DEPTH,
    spacing: tuple[float, ...] | None = None,
    choice: Choice | None = None,
    strictness: float = 1.0,
) -> Method:
    """Return the method that splits objects by the watershed of a predicted distance map.

    Args:
        confidence: Lowest peak of an object, 0 to 1. Objects with a lower peak are left out. A network learns a peak
            of 1 for every object, so a low peak means that it is unsure.
        kernel: See `KERNEL`.
        saddle: See `SADDLE`.
        depth: See `DEPTH`.
        spacing: See `smooth_predicted`.
        choice: Of planes: chooses among joins up to `DEEPEST` in place of those up to `depth`.
        strictness: Share of the choice's least quality from which objects are kept; below 1 more of them are.
    """
    distances = partial(smooth_predicted, kernel=kernel, spacing=spacing)
    find = partial(find_regions, distance_map=distances, measures=choice is not None)
    depth = depth if choice is None else DEEPEST
    margin, lowest = len(kernel) // 2 + RING, confidence * LARGEST_DISTANCE
    return Method(
        find,
        margin,
        saddle,
        depth * LARGEST_DISTANCE,
        lowest,
        knows_confidence=True,
        choice=choice,
        strictness=strictness,
    )
