"""Decode one pair of image and mask: raw pixels and whole-numbered labels, checked on the way."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.data.drawn import is_drawn, read_drawn
from unetkit.data.pairs import Pair
from unetkit.io.base.arrays import ArraySource
from unetkit.io.base.contracts import ImageInfo
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.files import open_image
from unetkit.io.masks.color_table import decide_by_table
from unetkit.io.masks.meaning import PLAIN_NUMBERS, Meaning, decide, open_mask
from unetkit.models.sampling import Holes, Sample, take_sample
from unetkit.models.statistics import check_finite

FOREGROUND_POINTS = 1024
"""Number of foreground positions that are kept for each image."""

Window = tuple[slice, slice]


@dataclass(frozen=True, eq=False)
class Decoded:
    """A decoded image and its mask.

    Attributes:
        pair: Where they are.
        info: Facts from the image's file.
        pixels: (C, h, w) in the dtype of the file, with pixels without data filled in.
        labels: (h, w) see `read_labels`; None without a mask.
        meaning: What the values of the mask mean.
        own_sample: Sample of the image for statistics, where it cannot be taken from the pixels.
    """

    pair: Pair
    info: ImageInfo
    pixels: NDArray[Any]
    labels: NDArray[Any] | None
    meaning: Meaning
    own_sample: Sample | None

    @property
    def nbytes(self) -> int:
        """Bytes that it takes in memory."""
        arrays = (self.pixels, self.labels, None if self.own_sample is None else self.own_sample.pixels)
        return sum(array.nbytes for array in arrays if array is not None)

    @property
    def labels_or_background(self) -> NDArray[Any]:
        """The labels (h, w), zeros without a mask."""
        return np.zeros(self.pixels.shape[1:], np.uint8) if self.labels is None else self.labels

    @property
    def sample(self) -> Sample:
        """Sample of the image for statistics."""
        return self.own_sample or _sample(self.pixels, self.info, self.pair)

    def without_sample(self) -> Decoded:
        """Return the same without a sample that can be taken again."""
        return self if self.own_sample is None or self.own_sample.holes is not None else replace(self, own_sample=None)


def decode(pair: Pair) -> Decoded:
    """Read an image and its mask whole.

    Raises:
        ImageError: A file that cannot be read, or NaN or infinite pixels.
        DataError: A mask that is not one plane of labels.
    """
    pixels, info, sample = _read_whole(pair)
    labels, meaning = read_labels(pair)
    return Decoded(pair, info, pixels, labels, meaning, sample)


def load_pair(pair: Pair) -> tuple[NDArray[Any], NDArray[Any]]:
    """Read an image and its mask whole.

    Returns:
        Pixels (C, H, W) in the file's dtype, and labels (H, W) as `read_labels` gives them; zeros without a mask.

    Raises:
        ImageError: A file that cannot be read, or NaN or infinite pixels.
        DataError: A mask that is not one plane of labels.
    """
    decoded = decode(pair)
    return decoded.pixels, decoded.labels_or_background


def read_pixels(pair: Pair, window: Window | None = None, holes: Holes | None = None) -> NDArray[Any]:
    """Read the pixels (C, h, w) of a window of an image, or of the whole of it; pixels without data are filled in.

    Args:
        pair: Where the image is.
        window: The window; by default the whole.
        holes: Pixels of the image without data, for a window; they are found where the whole is read.

    Raises:
        ImageError: A file that cannot be read, or NaN or infinite pixels.
    """
    if window is None:
        return _read_whole(pair)[0]
    pixels, _ = _read(pair, window)
    if holes is not None:
        pixels, _ = holes.patch(pixels, [part.start for part in window])
    check_finite(pixels, str(pair.image))
    return pixels


def _read_whole(pair: Pair) -> tuple[NDArray[Any], ImageInfo, Sample]:
    """Read the whole of an image, the facts from its file, and its sample for statistics."""
    pixels, info = _read(pair, None)
    sample = _sample(pixels, info, pair)
    if sample.holes is not None:
        pixels, _ = sample.holes.patch(pixels, [0] * (pixels.ndim - 1))
    check_finite(pixels, str(pair.image))
    return pixels, info, sample


def _read(pair: Pair, window: Window | None) -> tuple[NDArray[Any], ImageInfo]:
    with closing(open_image(pair.image, ReadOptions(axes=pair.image_axes))) as source:
        return source.read(pair.image_plane or 0, _window(window, source.info)), source.info


def _sample(pixels: NDArray[Any], info: ImageInfo, pair: Pair) -> Sample:
    source = ArraySource(pixels, "CYX", str(pair.image))
    source.info = replace(source.info, nodata=info.nodata)
    return take_sample(source, 0)


def read_labels(
    pair: Pair, window: Window | None = None, meaning: Meaning | None = None
) -> tuple[NDArray[Any] | None, Meaning]:
    """Read the labels of a mask, 0 for background, and what its values mean.

    Args:
        pair: Where the mask is.
        window: Part of it to read; all by default.
        meaning: What its values mean, as a reading of the whole mask decided; needed with a window.

    Returns:
        (h, w) in the smallest of uint8, uint16 and int32 that holds the values, None without a mask; `IGNORED` where
        nobody has annotated. And the meaning.

    Raises:
        ImageError: A file that cannot be read.
        DataError: A mask that is not one plane of labels.
    """
    if pair.mask is None:
        return None, PLAIN_NUMBERS
    if is_drawn(pair):
        return read_drawn(pair, window, meaning)
    with closing(open_mask(pair.mask)) as source:
        mask = source.read(pair.mask_plane or 0, _window(window, source.info))
        if meaning is None and pair.colors is not None:
            meaning = decide_by_table([mask], source.info, pair.colors)
        meaning = meaning or decide([mask], source.info, pair.ignore)
        return meaning.labels(mask), meaning


def _window(window: Window | None, info: ImageInfo) -> Window:
    return window or (slice(0, info.height), slice(0, info.width))


def hash_pixels(pixels: NDArray[Any]) -> str:
    """Return a hash of an image in hexadecimal; images have the same hash only if all their pixels are the same."""
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
