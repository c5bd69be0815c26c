"""Augmentation of single objects: dim and bright ones beside each other."""

from __future__ import annotations

from math import log
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SOFT = 1.0
"""Standard deviation, in pixels, by which the gain of an object fades at its outline."""

LOOKED_AT = 5
"""One pixel of so many is looked at for the background."""


def vary_objects(
    pixels: NDArray[np.float32], objects: NDArray[Any], bounds: tuple[float, float], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return a crop in which each object stands out from the background by a factor of its own.

    The background is the median of the pixels in no object; a crop without such pixels stays as it is. No pixel leaves
    the range of the crop.

    Args:
        pixels: (C, h, w), any units.
        objects: (h, w) number of the object of each pixel, 0 for none.
        bounds: Smallest and largest factor, drawn evenly on a logarithmic scale.
        rng: Source of all random numbers.
    """
    logs = rng.uniform(log(bounds[0]), log(bounds[1]), int(objects.max()) + 1).astype(np.float32)
    logs[0] = 0
    flat = pixels.reshape(len(pixels), -1)
    outside = flat[:, ::LOOKED_AT][:, objects.reshape(-1)[::LOOKED_AT] == 0]
    if not outside.size:
        return pixels
    background = np.median(outside, axis=1).reshape(-1, 1, 1)
    gain = np.exp(cv2.GaussianBlur(logs[objects], (0, 0), SOFT))
    low, high = (ends.reshape(-1, 1, 1) for ends in (flat.min(axis=1), flat.max(axis=1)))
    varied: NDArray[np.float32] = np.clip(background + (pixels - background) * gain, low, high)
    return varied
