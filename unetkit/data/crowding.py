"""Crowds: objects of another crop of the same image among those of a crop, so that more of them touch."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

OVERLAP = 0.25
"""Largest share of an object that another one may cover."""

FRINGE = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
"""What comes with an object around it, as its light fades out."""

SOFTNESS = 1.0
"""Standard deviation of the blur by which an added object goes over into what is around it, in pixels."""


def crowd(
    pixels: NDArray[np.float32], objects: NDArray[Any], others: NDArray[np.float32], other_objects: NDArray[Any]
) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Add the objects of one crop to those of another.

    Objects that would cover, or be covered by, more than `OVERLAP` of another are left out. Where two meet, the
    brighter pixel is seen if objects are brighter than what is around them, else the darker one, as in a microscope.

    Args:
        pixels: (C, h, w).
        objects: (h, w), 0 for background.
        others: (C, h, w), the pixels to take objects from.
        other_objects: (h, w), these objects.

    Returns:
        New pixels and objects of the same types; the same ones if there is nothing to add or to add to.
    """
    here, there = objects.astype(np.int64), other_objects.astype(np.int64)
    count = int(there.max()) + 1
    shared = np.bincount((here * count + there).ravel(), minlength=(int(here.max()) + 1) * count).reshape(-1, count)
    smaller = np.minimum(shared.sum(1)[:, None], shared.sum(0)[None])
    crossing = (shared > OVERLAP * smaller)[1:].any(0)
    added = ((there > 0) & ~crossing[there]).astype(np.uint8)
    if not added.any() or not here.any() or here.all():
        return pixels, objects
    bright = pixels[:, here > 0].mean() > pixels[:, here == 0].mean()
    seen = np.maximum(pixels, others) if bright else np.minimum(pixels, others)
    weight = cv2.GaussianBlur(cv2.dilate(added, FRINGE).astype(np.float32), (0, 0), SOFTNESS)
    stronger = (others.mean(0) > pixels.mean(0)) == bright
    on_top = (added > 0) & ((here == 0) | (cv2.medianBlur(stronger.astype(np.uint8), 5) > 0))
    crowded = (pixels + weight * (seen - pixels)).astype(np.float32, copy=False)
    return crowded, np.where(on_top, here.max() + there, here).astype(objects.dtype)
