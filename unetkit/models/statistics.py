"""The values that normalise an image, measured on a sample of the whole image, never on a tile."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import ImageError
from unetkit.models.normalization import Normalization

RANGE_PERCENTILES = (0.1, 99.9)
"""Percentiles that count as the darkest and the brightest of an image. Values beyond are hot pixels and the like."""

BRIGHT_BACKGROUND_MEAN = 0.4
"""Mean of an image above which its background is bright. 0 and 1 are the image's percentiles.

In the 2018 Data Science Bowl's training images the mean is 0.01 to 0.26 in fluorescence, and 0.56 to 0.84 in stained
tissue and bright field.
"""

COUNTED_PIXELS = 2**18
"""Pixels that are counted at a time. NumPy takes 8 bytes for each."""


@dataclass(frozen=True)
class Statistics:
    """The values in `network input = (pixels - center) / scale`.

    Attributes:
        center: (C,) float32, in the units of the pixels.
        scale: (C,) float32, in the units of the pixels: positive, or negative where the image is inverted.
    """

    center: NDArray[np.float32]
    scale: NDArray[np.float32]

    def for_planes(self, planes: int) -> Statistics:
        """Return the values of so many planes that are seen at once, all with those of this one."""
        return self if planes == 1 else Statistics(np.tile(self.center, planes), np.tile(self.scale, planes))


def measure_statistics(pixels: NDArray[Any], normalization: Normalization) -> Statistics:
    """Measure the normalisation values of an image, or of a sample of its pixels.

    Args:
        pixels: (C, ...), any real dtype, raw values.
        normalization: Method, percentiles and scope.

    Returns:
        Values for each channel; a channel that is all one value has scale 1. Where the image is inverted, the high
        percentile becomes 0 and the low one 1, or a standard deviation below the mean 1.
    """
    channels = pixels.shape[0]
    if normalization.window is not None:
        bottom, top = normalization.window
        return Statistics(np.full(channels, bottom, np.float32), np.full(channels, top - bottom, np.float32))
    if pixels.dtype == np.bool_:  # NumPy does not subtract booleans
        pixels = pixels.view(np.uint8)
    flat = pixels.reshape(channels, -1)
    together = channels == 3 if normalization.channelwise is None else not normalization.channelwise
    groups = flat.reshape(1, -1) if together else flat
    inverts = normalization.bright_background == "invert"
    if normalization.method == "percentile" or inverts:
        low, high = _range_of(groups, normalization)
    bright = _are_bright(groups, low, high) if inverts else np.zeros(len(groups), np.bool_)
    if normalization.method == "percentile":
        center, scale = np.where(bright, high, low), high - low
    else:
        center, scale = groups.mean(1, dtype=np.float64), groups.std(1, dtype=np.float64)
    scale = np.where(scale > 0, scale, 1.0) * np.where(bright, -1.0, 1.0)
    return Statistics(
        np.broadcast_to(center, channels).astype(np.float32), np.broadcast_to(scale, channels).astype(np.float32)
    )


def _range_of(groups: NDArray[Any], normalization: Normalization) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the low and the high percentile of each group (groups, n); its extremes if they are equal."""
    low, high = _percentiles(groups, (normalization.low, normalization.high))
    if np.any(low == high):  # sparse objects on an even background
        flat_groups = low == high
        low, high = np.where(flat_groups, groups.min(1), low), np.where(flat_groups, groups.max(1), high)
    return low, high


def _are_bright(groups: NDArray[Any], low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return whether the background is bright in each group (groups, n) with these ends of its range (groups,)."""
    limits = (bound.astype(groups.dtype)[:, None] for bound in (low, high))  # no large copy of whole numbers
    means = np.clip(groups, *limits).mean(1, dtype=np.float64)
    bright: NDArray[np.bool_] = means - low > BRIGHT_BACKGROUND_MEAN * (high - low)
    return bright


def measure_range(pixels: NDArray[Any], normalization: Normalization) -> Statistics:
    """Measure the darkest value of an image (center) and how far the brightest is from it (scale; 1 if it is the same).

    Args:
        pixels: (C, ...), any real dtype, raw values.
        normalization: Whether each channel has values of its own.
    """
    return measure_statistics(
        pixels, Normalization("percentile", "image", *RANGE_PERCENTILES, normalization.channelwise)
    )


def _percentiles(groups: NDArray[Any], percents: tuple[float, float]) -> NDArray[np.float64]:
    """Return the percentiles (2, groups) of each row, those of `np.percentile`.

    Small whole numbers are counted, which takes no second copy of the pixels.
    """
    if groups.dtype not in (np.uint8, np.uint16):
        return np.asarray(np.percentile(groups, percents, axis=1), np.float64)
    places = np.asarray(percents) / 100 * (groups.shape[1] - 1)
    below = np.floor(places).astype(np.int64)
    found = []
    for row in groups:
        counts = np.zeros(2**16, np.int64)
        for start in range(0, len(row), COUNTED_PIXELS):
            counts += np.bincount(row[start : start + COUNTED_PIXELS], minlength=len(counts))
        up_to = counts.cumsum()
        left = np.searchsorted(up_to, below, side="right")
        right = np.searchsorted(up_to, np.minimum(below + 1, len(row) - 1), side="right")
        found.append(left + (right - left) * (places - below))
    return np.stack(found, axis=1)


def check_finite(pixels: NDArray[Any], name: str) -> None:
    """Raise an ImageError if a pixel is NaN or infinite."""
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise ImageError(
            f"{name} has NaN or infinite pixels.",
            "Replace them before segmenting or training, for example with numpy.nan_to_num.",
        )


def adapt_normalization(normalization: Normalization, channels: int) -> Normalization:
    """Return the normalisation of a model for another number of channels.

    One channel gets the mean of the stored values of all; more channels repeat them in turn, as the weights of its
    first convolution are.
    """
    center, scale = normalization.center, normalization.scale
    if center is None or scale is None or len(center) == channels:
        return normalization

    def adapt(values: tuple[float, ...]) -> tuple[float, ...]:
        if channels == 1:
            return (float(np.mean(values)),)
        return tuple(values[index % len(values)] for index in range(channels))

    clip = normalization.clip
    ends = None if clip is None else tuple(zip(*(adapt(end) for end in zip(*clip, strict=True)), strict=True))
    return replace(normalization, center=adapt(center), scale=adapt(scale), clip=ends)
