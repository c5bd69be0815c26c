"""Connected components of one tile."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from unetkit.postprocess.method import Method
from unetkit.postprocess.parts import LARGEST_DISTANCE, STAY, Part, join_edges


def find_components(window: NDArray[np.uint8], rows: slice, columns: slice) -> Part:
    """Find the pixels of a tile that are connected within it; diagonal neighbours are connected too.

    All distances are `LARGEST_DISTANCE`, so pixels that touch across the border of two tiles are one object.

    Args:
        window: (1, H, W), 0 for background.
        rows: Rows of the tile.
        columns: Columns of the tile.
    """
    mask = np.ascontiguousarray(window[0, rows, columns])
    count, groups = cv2.connectedComponents(mask, connectivity=8, ltype=cv2.CV_32S)  # 3 times as fast as scipy's
    return Part(
        groups=groups.astype(np.int32, copy=False),
        distances=(mask > 0) * np.int32(LARGEST_DISTANCE),
        steps=np.full(mask.shape, STAY, np.int32),
        peaks=np.full(count - 1, LARGEST_DISTANCE, np.int32),
        edges=join_edges([]),
    )


CONNECTED = Method(find_components, margin=0)
"""Pixels that touch are one object."""
