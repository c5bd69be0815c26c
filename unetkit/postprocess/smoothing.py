"""Smoothing of distance maps whose results are whole numbers that float32 holds exactly.

So they are the same in whatever order a processor adds, and whatever the tile.
"""

from __future__ import annotations

from math import prod

import cv2
import numpy as np
from numpy.typing import NDArray

ONE = np.ones(1, np.float32)
"""The kernel that leaves an axis as it is."""

COARSE = 2.0
"""Along an axis whose pixels are so many times as long as the shortest ones, neighbours are too far to smooth over."""


def kernels_for(kernel: NDArray[np.float32], spacing: tuple[float, ...]) -> tuple[NDArray[np.float32], ...]:
    """Return the kernel of each axis of a volume: none along axes with few, long voxels.

    Args:
        kernel: The kernel along the others.
        spacing: Length of a voxel along each axis, in any unit.
    """
    return tuple(kernel if length < COARSE * min(spacing) else ONE for length in spacing)


def weight(kernels: tuple[NDArray[np.float32], ...]) -> float:
    """Return the sum of all weights that a pixel and its neighbours get."""
    return float(prod(kernel.sum() for kernel in kernels))


def smooth(values: NDArray[np.float32], kernels: tuple[NDArray[np.float32], ...]) -> NDArray[np.float32]:
    """Return the weighted sums of the values and their neighbours; beyond the borders, the last values repeat.

    Args:
        values: (H, W) or (D, H, W).
        kernels: The weights along each axis.
    """
    if values.ndim == 2:
        return _smooth_plane(values, *kernels)
    smoothed = np.stack([_smooth_plane(plane, *kernels[1:]) for plane in values])
    return _smooth_plane(smoothed.reshape(len(values), -1), kernels[0], ONE).reshape(values.shape)


def _smooth_plane(
    plane: NDArray[np.float32], down: NDArray[np.float32], across: NDArray[np.float32]
) -> NDArray[np.float32]:
    smoothed = cv2.sepFilter2D(plane, -1, across, down, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(smoothed, np.float32)
