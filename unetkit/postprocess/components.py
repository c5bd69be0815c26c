"""Connected components of one tile."""

from __future__ import annotations

import cv2
import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from unetkit.postprocess.measures import no_sums
from unetkit.postprocess.method import Method
from unetkit.postprocess.parts import LARGEST_DISTANCE, Ints, Part, Window, join_edges, stay


def find_components(window: NDArray[np.uint8], place: Window) -> Part:
    """Find the pixels of a tile that are connected within it; diagonal neighbours are connected too.

    All distances are `LARGEST_DISTANCE`, so pixels that touch across the border of two tiles are one object.

    Args:
        window: (1, H, W) or (1, D, H, W), 0 for background.
        place: The tile in the window.
    """
    mask = np.ascontiguousarray(window[0][place])
    groups, count = _connect(mask)
    return Part(
        groups=groups,
        distances=(mask > 0) * np.int32(LARGEST_DISTANCE),
        steps=np.full(mask.shape, stay(mask.ndim), np.int32),
        peaks=np.full(count, LARGEST_DISTANCE, np.int32),
        edges=join_edges([]),
        sums=no_sums(count),
    )


def _connect(mask: NDArray[np.uint8]) -> tuple[Ints, int]:
    """Return the groups of a mask and their number."""
    if mask.ndim == 2:  # 3 times as fast as scipy
        count, groups = cv2.connectedComponents(mask, connectivity=8, ltype=cv2.CV_32S)
        return groups.astype(np.int32, copy=False), count - 1
    groups, count = scipy.ndimage.label(mask, structure=np.ones((3,) * mask.ndim))  # cc3d fails on some sparse masks
    return groups, count


CONNECTED = Method(find_components, margin=0)
"""Pixels that touch are one object."""
