"""Split touching objects where the mask is narrow, by a watershed of each pixel's distance to the background."""

from __future__ import annotations

from functools import partial
from math import floor

import cv2
import edt
import numpy as np
from numpy.typing import NDArray

from unetkit.postprocess.method import Method
from unetkit.postprocess.parts import LARGEST_DISTANCE, Ints
from unetkit.postprocess.smoothing import kernels_for, smooth, weight
from unetkit.postprocess.watershed import RING, find_regions

LARGEST_PIXELS = 64
"""Largest distance in planes, in pixels. Pixels farther from the background have it: one plateau, never split."""

LARGEST_VOXELS = 32
"""Largest distance in volumes, in lengths of a voxel along its shortest axis. The margin around a tile is as wide."""

UNITS_PER_PIXEL = LARGEST_DISTANCE // LARGEST_PIXELS
"""One pixel of distance, in units of the distance map of a plane."""

PARTS = 8
"""The length of a voxel along each axis is rounded to one eighth of the shortest, so that squares are whole numbers."""

KERNEL = np.array([1, 2, 1], np.float32)
"""Smoothing of the distance map along each axis, see `unetkit.postprocess.smoothing`."""

SADDLE = 0.9
"""Share of a peak, see `Method`.

It was chosen with `DEPTH` and `KERNEL`, on the instance masks of the 2018 Data Science Bowl's training images.
"""

DEPTH = 0.5
"""Depth below a peak, see `Method`, in pixels."""


def distance_map(window: NDArray[np.uint8]) -> Ints:
    """Return the smoothed distance of each pixel of a plane to the background, (H, W), 0 in the background.

    Args:
        window: (1, H, W), 0 for background.
    """
    mask = window[0]
    distances = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return _smoothed(np.asarray(distances, np.float32), mask, LARGEST_PIXELS, (KERNEL, KERNEL))


def volume_distance_map(window: NDArray[np.uint8], spacing: tuple[float, ...]) -> Ints:
    """Return the smoothed distance of each voxel to the background, (D, H, W), 0 in the background.

    Args:
        window: (1, D, H, W), 0 for background.
        spacing: Length of a voxel along each axis, see `by_distance`.
    """
    mask = window[0]
    squares = edt.edtsq(mask > 0, anisotropy=tuple(PARTS * length for length in spacing), parallel=1)
    distances = np.sqrt(squares, out=squares)
    distances /= PARTS
    return _smoothed(distances, mask, LARGEST_VOXELS, kernels_for(KERNEL, spacing))


def _smoothed(
    distances: NDArray[np.float32],
    mask: NDArray[np.uint8],
    largest: int,
    kernels: tuple[NDArray[np.float32], ...],
) -> Ints:
    """Return distances in whole units, which are smoothed; `largest` is `LARGEST_DISTANCE`."""
    np.minimum(distances, largest, out=distances)
    distances *= LARGEST_DISTANCE // largest / weight(kernels)
    np.rint(distances, out=distances)
    smoothed = smooth(distances, kernels)
    smoothed[mask == 0] = 0
    whole: Ints = smoothed.astype(np.int32)
    return whole


def by_distance(spacing: tuple[float, ...] | None = None) -> Method:
    """Return the method that splits objects by the watershed of the distance to the background.

    Args:
        spacing: Length of a voxel of a volume along each axis, in any unit; None for planes, whose pixels are squares.
    """
    if spacing is None:
        return BY_DISTANCE
    shortest = min(spacing)
    lengths = tuple(max(round(PARTS * length / shortest), 1) / PARTS for length in spacing)
    return Method(
        partial(find_regions, distance_map=partial(volume_distance_map, spacing=lengths)),
        tuple(floor(LARGEST_VOXELS / length) + len(KERNEL) // 2 + RING for length in lengths),
        SADDLE,
        DEPTH * LARGEST_DISTANCE / LARGEST_VOXELS,
    )


BY_DISTANCE = Method(
    partial(find_regions, distance_map=distance_map),
    LARGEST_PIXELS + len(KERNEL) // 2 + RING,
    SADDLE,
    DEPTH * UNITS_PER_PIXEL,
)
"""The watershed of the distance to the background in planes."""
