"""Read one pair of image and mask: raw pixels and whole-numbered labels, checked on the way."""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.data.pairs import Pair
from unetkit.errors import DataError
from unetkit.io.files import open_image
from unetkit.io.image import ArraySource, ImageInfo
from unetkit.io.reading import Reading
from unetkit.models.sampling import Holes, Sample, take_sample
from unetkit.models.statistics import check_finite

LOSSY_SUFFIXES = (".jpg", ".jpeg")
"""Masks in these files are foreground from half the range on: compression leaves small values around every edge."""

FOREGROUND_POINTS = 1024
"""Number of foreground positions that are kept of each image."""

Window = tuple[slice, slice]


def load_pair(pair: Pair) -> tuple[NDArray[Any], NDArray[Any]]:
    """Read an image and its mask whole.

    Returns:
        Pixels (C, H, W) in the file's dtype, and labels (H, W) as `to_labels` gives them.

    Raises:
        ImageError: A file that cannot be read, or NaN or infinite pixels.
        DataError: A mask that is not one plane of labels.
    """
    pixels, labels, _ = read_pair(pair)
    return pixels, labels


def read_pair(
    pair: Pair, window: Window | None = None, holes: Holes | None = None
) -> tuple[NDArray[Any], NDArray[Any], ImageInfo]:
    """Read a window of a pair, or the whole of it, with what the image's file says about itself.

    Without a mask all is background. What holds no data in the image is its background.

    Args:
        pair: The image and its mask.
        window: The window; by default the whole.
        holes: What of the image holds no data; it is found out where the whole is read.
    """
    if window is None:
        pixels, labels, info, _ = read_measured(pair)
        return pixels, labels, info
    pixels, info = _read(pair.image, pair.image_plane, window, pair.image_axes)
    if holes is not None:
        pixels, _ = holes.patch(pixels, window[0].start, window[1].start)
    check_finite(pixels, str(pair.image))
    return pixels, _read_labels(pair, window, pixels.shape[1:]), info


def read_measured(pair: Pair) -> tuple[NDArray[Any], NDArray[Any], ImageInfo, Sample]:
    """Read the whole of a pair, and what stands for the image in statistics; see `read_pair`."""
    pixels, info = _read(pair.image, pair.image_plane, None, pair.image_axes)
    source = ArraySource(pixels, "CYX", str(pair.image))
    source.info = replace(source.info, nodata=info.nodata)
    sample = take_sample(source, 0)
    if sample.holes is not None:
        pixels, _ = sample.holes.patch(pixels, 0, 0)
    check_finite(pixels, str(pair.image))
    return pixels, _read_labels(pair, None, pixels.shape[1:]), info, sample


def _read_labels(pair: Pair, window: Window | None, shape: tuple[int, ...]) -> NDArray[Any]:
    if pair.mask is None:
        return np.zeros(shape, np.uint8)
    mask, _ = _read(pair.mask, pair.mask_plane, window, expand_palette=False)
    return to_labels(mask, pair.mask)


def _read(
    path: Path, plane: int | None, window: Window | None, axes: str | None = None, *, expand_palette: bool = True
) -> tuple[NDArray[Any], ImageInfo]:
    source = open_image(path, Reading(axes=axes), expand_palette=expand_palette)
    try:
        rows, columns = window or (slice(0, source.info.height), slice(0, source.info.width))
        return source.read(plane or 0, rows, columns), source.info
    finally:
        source.close()


def to_labels(mask: NDArray[Any], path: Path) -> NDArray[Any]:
    """Turn the pixels of a mask into labels, above zero for foreground.

    Args:
        mask: (C, h, w): one channel, or several that are equal (a mask saved as RGB); bool, integer or float.
        path: File of the mask, for messages; its suffix says whether its compression is lossy.

    Returns:
        (h, w) in the smallest of uint8, uint16 and int32 that holds the values. Fractions (soft masks, 1/255) are 1
        where above zero.

    Raises:
        DataError: Channels that differ, NaN or infinite values.
    """
    if any(not np.array_equal(mask[0], other) for other in mask[1:]):
        raise DataError(
            f"{path} is a mask with {mask.shape[0]} channels that differ.",
            "Save it as one channel that holds the number of each pixel's class or object.",
        )
    plane: NDArray[Any] = mask[0]
    if path.suffix.lower() in LOSSY_SUFFIXES:
        return (plane >= 128).astype(np.uint8)
    if plane.dtype.kind == "f":
        if not np.isfinite(plane).all():
            raise DataError(f"{path} is a mask with NaN or infinite values.", "Use 0 for the background.")
        if np.any(plane != np.rint(plane)):
            return (plane > 0).astype(np.uint8)
    low, high = (int(plane.min()), int(plane.max())) if plane.size else (0, 0)
    if low < -(2**31) or high >= 2**31:
        raise DataError(f"{path} is a mask with the value {max(high, -low)}.", "Number classes and objects from 1 up.")
    dtype = next((kind for kind in (np.uint8, np.uint16) if low >= 0 and high <= np.iinfo(kind).max), np.int32)
    return plane.astype(dtype)


def hash_pixels(pixels: NDArray[Any]) -> str:
    """Return a hash of an image, in hexadecimal: that of another image is the same only if all its pixels are."""
    digest = blake2b(f"{pixels.dtype} {pixels.shape}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def foreground_points(labels: NDArray[Any]) -> NDArray[np.int32]:
    """Draw a fixed sample of foreground positions, in which every label is equally frequent.

    Thus small objects (of instance labels) and rare classes count as much as large ones.

    Args:
        labels: (H, W).

    Returns:
        (n, 2) positions y, x; n is about `FOREGROUND_POINTS`, or 0 without foreground.
    """
    flat = labels.ravel()
    positions = np.flatnonzero(flat > 0)
    if not positions.size:
        return np.zeros((0, 2), np.int32)
    rng = np.random.default_rng(0)
    values = flat[positions]
    positions = positions[np.argsort(values, kind="stable")]
    counts = np.unique(values, return_counts=True)[1]
    starts = np.cumsum(counts) - counts
    if len(counts) > FOREGROUND_POINTS:
        chosen = rng.choice(len(counts), FOREGROUND_POINTS, replace=False)
        counts, starts = counts[chosen], starts[chosen]
    each = FOREGROUND_POINTS // len(counts)
    picks = starts[:, None] + (rng.random((len(counts), each)) * counts[:, None]).astype(np.int64)
    return np.stack(np.unravel_index(positions[picks.ravel()], labels.shape), axis=1).astype(np.int32)
