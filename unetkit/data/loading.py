"""Decode one pair of image and mask: raw pixels and whole-numbered labels, checked on the way."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from unetkit.data.drawn import is_drawn, read_drawn
from unetkit.data.pairs import Pair
from unetkit.data.volumes import open_shared, seen_as, slabs, whole
from unetkit.io.base.contracts import BadTile, ImageInfo, ImageSource, Window
from unetkit.io.files import open_image
from unetkit.io.masks.color_table import decide_by_table
from unetkit.io.masks.meaning import PLAIN_NUMBERS, Meaning, decide, open_mask
from unetkit.models.sampling import Holes, Sample, take_sample
from unetkit.models.statistics import check_finite

FOREGROUND_POINTS = 1024
"""Number of foreground positions that are kept for each image."""


class Viewed(Protocol):
    """An image and its mask as they are measured: in memory, or on disk."""

    @property
    def pair(self) -> Pair:
        """Where they are."""

    @property
    def info(self) -> ImageInfo:
        """Facts from the image's file."""

    @property
    def meaning(self) -> Meaning:
        """What the values of the mask mean."""

    @property
    def sample(self) -> Sample:
        """Sample of the image for statistics."""

    @property
    def size(self) -> tuple[int, ...]:
        """Pixels along each axis."""

    @property
    def channels(self) -> int:
        """Channels of the image."""

    @property
    def pixel_slabs(self) -> Iterable[NDArray[Any]]:
        """Pixels (C, ...) in slabs that follow each other along the first axis of `size`."""

    @property
    def label_slabs(self) -> Iterable[NDArray[Any]]:
        """Labels (...) in the same slabs, as often as one goes through them; zeros without a mask."""

    def read_labels(self, window: Window) -> NDArray[Any]:
        """Return the labels (...) of a window; zeros without a mask. Do not change them."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """A decoded image and its mask.

    Attributes:
        pair: Where they are.
        info: Facts from the image's file.
        pixels: (C, h, w), or (C, d, h, w) of a volume, in the dtype of the file, with pixels without data filled in.
        labels: (h, w) or (d, h, w), see `read_labels`; None without a mask.
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
        """The labels (h, w) or (d, h, w), zeros without a mask."""
        return np.zeros(self.pixels.shape[1:], np.uint8) if self.labels is None else self.labels

    @property
    def sample(self) -> Sample:
        """Sample of the image for statistics."""
        return self.own_sample or _sample(self.pixels, self.info, self.pair)

    @property
    def size(self) -> tuple[int, ...]:
        """Pixels along each axis."""
        return self.pixels.shape[1:]

    @property
    def channels(self) -> int:
        """Channels of the image."""
        return len(self.pixels)

    @property
    def pixel_slabs(self) -> list[NDArray[Any]]:
        """Pixels (C, ...) in slabs that follow each other along the first axis."""
        return [self.pixels[:, *part] for part in slabs(self.size)]

    @property
    def label_slabs(self) -> list[NDArray[Any]]:
        """Labels (...) in the same slabs; zeros without a mask."""
        labels = self.labels_or_background
        return [labels[part] for part in slabs(self.size)]

    def read_labels(self, window: Window) -> NDArray[Any]:
        """Return the labels (...) of a window; zeros without a mask. Do not change them."""
        return self.labels_or_background[window]

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
        Pixels (C, h, w) or (C, d, h, w) in the file's dtype, and labels (h, w) or (d, h, w) as `read_labels` gives
        them; zeros without a mask.

    Raises:
        ImageError: A file that cannot be read, or NaN or infinite pixels.
        DataError: A mask that is not one plane of labels.
    """
    decoded = decode(pair)
    return decoded.pixels, decoded.labels_or_background


def read_pixels(pair: Pair, window: Window | None = None, holes: Holes | None = None) -> NDArray[Any]:
    """Read the pixels (C, ...) of a window of an image, or of the whole of it; pixels without data are filled in.

    Args:
        pair: Where the image is.
        window: The window; by default the whole.
        holes: Pixels of the image without data, for a window; they are found where the whole is read.

    Raises:
        ImageError: A file that cannot be read, or NaN or infinite pixels.
    """
    if window is None:
        return _read_whole(pair)[0]
    if pair.depth is None:
        pixels, _ = _read(pair, window)
    else:
        pixels = open_shared(pair).read(pair.image_plane or 0, window)
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
    with closing(open_pair(pair)) as source:
        return source.read(pair.image_plane or 0, window or whole(source.info)), source.info


def open_pair(pair: Pair) -> ImageSource:
    """Open the image of a pair; its items are what the pair is: planes or volumes."""
    return seen_as(open_image(pair.image, pair.reading), pair)


class _Pixels:
    """Pixels (C, ...) in memory as the one item of a source."""

    def __init__(self, pixels: NDArray[Any], info: ImageInfo) -> None:
        self.info = replace(info, dtype=pixels.dtype, channels=len(pixels), size=pixels.shape[1:])
        self.bad_tiles: list[BadTile] = []
        self._pixels = pixels

    def read(self, item: int, window: Window) -> NDArray[Any]:  # noqa: ARG002  # there is one
        return self._pixels[:, *window]

    def close(self) -> None:
        """Nothing to release."""


def _sample(pixels: NDArray[Any], info: ImageInfo, pair: Pair) -> Sample:
    return take_sample(_Pixels(pixels, replace(info, name=str(pair.image))), 0)


def read_labels(
    pair: Pair, window: Window | None = None, meaning: Meaning | None = None
) -> tuple[NDArray[Any] | None, Meaning]:
    """Read the labels of a mask, 0 for background, and what its values mean.

    Args:
        pair: Where the mask is.
        window: Part of it to read; all by default.
        meaning: What its values mean, as a reading of the whole mask decided; needed with a window.

    Returns:
        (h, w) or (d, h, w) in the smallest of uint8, uint16 and int32 that holds the values, None without a mask;
        `IGNORED` where nobody has annotated. And the meaning.

    Raises:
        ImageError: A file that cannot be read.
        DataError: A mask that is not one plane of labels.
    """
    if pair.mask is None:
        return None, PLAIN_NUMBERS
    if is_drawn(pair):
        return read_drawn(pair, window, meaning)
    if window is not None and meaning is not None and pair.depth is not None:
        return meaning.labels(open_shared(pair, masks=True).read(pair.mask_plane or 0, window)), meaning
    with closing(seen_as(open_mask(pair.mask), pair)) as source:
        mask = source.read(pair.mask_plane or 0, window or whole(source.info))
        planes = [mask] if pair.depth is None else list(np.moveaxis(mask, 1, 0))
        meaning = meaning or decide_meaning(planes, source.info, pair)
        return meaning.labels(mask), meaning


def decide_meaning(planes: Iterable[NDArray[Any]], info: ImageInfo, pair: Pair) -> Meaning:
    """Decide what the values of the planes (C, h, w) of a mask mean."""
    return decide(planes, info, pair.ignore) if pair.colors is None else decide_by_table(planes, info, pair.colors)


def hash_pixels(pixels: NDArray[Any]) -> str:
    """Return a hash of an image in hexadecimal; images have the same hash only if all their pixels are the same."""
    return hash_slabs([pixels], pixels.shape)


def hash_slabs(parts: Iterable[NDArray[Any]], shape: tuple[int, ...]) -> str:
    """Return the hash of an image (C, ...) of this shape from its slabs; volumes are hashed plane by plane."""
    digest = blake2b(digest_size=16)
    for number, part in enumerate(parts):
        if number == 0:
            digest.update(f"{part.dtype} {shape}".encode())
        for plane in [part] if len(shape) == 3 else np.moveaxis(part, 1, 0):
            digest.update(np.ascontiguousarray(plane).data)
    return digest.hexdigest()


def foreground_points(labels: Iterable[NDArray[Any]]) -> NDArray[np.int32]:
    """Draw a fixed sample of foreground positions, in which every label is equally frequent.

    Thus small objects (of instance labels) and rare classes count as much as large ones.

    Args:
        labels: Slabs (...) that follow each other along the first axis; they are gone through twice.

    Returns:
        (n, axes) positions, such as y, x; n is about `FOREGROUND_POINTS`, or 0 without foreground.
    """
    values, counts, dims = _count_labels(labels)
    if not values.size:
        return np.zeros((0, dims), np.int32)
    rng = np.random.default_rng(0)
    if len(counts) > FOREGROUND_POINTS:
        chosen = rng.choice(len(counts), FOREGROUND_POINTS, replace=False)
        values, counts = values[chosen], counts[chosen]
    each = FOREGROUND_POINTS // len(counts)
    # The place of each among the positions of its label, which are in C order.
    places = (rng.random((len(counts), each)) * counts[:, None]).astype(np.int64)
    return _positions(labels, values, places)


def _count_labels(labels: Iterable[NDArray[Any]]) -> tuple[NDArray[Any], NDArray[np.int64], int]:
    """Return the labels above zero, rising, how often each comes, and the number of axes."""
    total: dict[int, int] = {}
    dims = 2
    for slab in labels:
        dims = slab.ndim
        values, counts = np.unique(slab[slab > 0], return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            total[value] = total.get(value, 0) + count
    order = sorted(total)
    return np.array(order, np.int64), np.array([total[value] for value in order], np.int64), dims


def _positions(labels: Iterable[NDArray[Any]], values: NDArray[Any], places: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the positions (n, axes) of labels (k,) that stand at places (k, m) among those of their label."""
    order = np.argsort(values)
    seen, start = np.zeros(len(values), np.int64), 0
    result: NDArray[np.int32] | None = None
    for slab in labels:
        flat = slab.ravel()
        positions = np.flatnonzero(flat > 0)
        positions = positions[np.argsort(flat[positions], kind="stable")]
        here, first, counts = np.unique(flat[positions], return_index=True, return_counts=True)
        if result is None:
            result = np.zeros((*places.shape, slab.ndim), np.int32)
        for value, begin, count in zip(here.tolist(), first.tolist(), counts.tolist(), strict=True):
            place = int(np.searchsorted(values, value, sorter=order))
            if place == len(values) or values[order[place]] != value:
                continue
            row = order[place]
            inside = (places[row] >= seen[row]) & (places[row] < seen[row] + count)
            chosen = positions[begin + places[row, inside] - seen[row]]
            result[row, inside] = np.stack(np.unravel_index(chosen, slab.shape), axis=1)
            result[row, inside, 0] += start
            seen[row] += count
        start += len(slab)
    assert result is not None
    return result.reshape(-1, result.shape[-1])
