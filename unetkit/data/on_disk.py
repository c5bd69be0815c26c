"""A volume and its mask that are measured slab by slab, since they are too large to be kept in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.data.drawn import is_drawn, meaning_of_drawn
from unetkit.data.loading import decide_meaning, open_pair, read_labels, read_pixels
from unetkit.data.pairs import Pair
from unetkit.data.volumes import seen_as, slabs
from unetkit.io.base.contracts import ImageInfo, Window
from unetkit.io.masks.meaning import PLAIN_NUMBERS, Meaning, open_mask, read_mask_info
from unetkit.models.sampling import Sample, take_sample


@dataclass(frozen=True)
class Slabs:
    """Parts of a volume that follow each other along z; each is read when it comes, as often as one goes through them.

    Attributes:
        size: Voxels along each axis.
        read: Returns a part.
    """

    size: tuple[int, ...]
    read: Callable[[Window], NDArray[Any]]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return map(self.read, slabs(self.size))


@dataclass(frozen=True, eq=False)
class OnDisk:
    """A volume and its mask as they are measured, see `Viewed`.

    Attributes:
        pair: Where they are.
        info: Facts from the image's file.
        meaning: What the values of the mask mean.
        sample: Sample of the image for statistics.
    """

    pair: Pair
    info: ImageInfo
    meaning: Meaning
    sample: Sample

    @property
    def size(self) -> tuple[int, ...]:
        """Voxels along each axis."""
        return self.info.size

    @property
    def channels(self) -> int:
        """Channels of the image."""
        return self.info.channels

    @property
    def pixel_slabs(self) -> Slabs:
        """Voxels (C, d, h, w) in slabs that follow each other along z."""
        return Slabs(self.size, lambda window: read_pixels(self.pair, window, self.sample.holes))

    @property
    def label_slabs(self) -> Slabs:
        """Labels (d, h, w) in the same slabs; zeros without a mask."""
        return Slabs(self.size, self.read_labels)

    def read_labels(self, window: Window) -> NDArray[Any]:
        """Return the labels (d, h, w) of a window; zeros without a mask."""
        labels = read_labels(self.pair, window, self.meaning)[0]
        return np.zeros([part.stop - part.start for part in window], np.uint8) if labels is None else labels


def look_on_disk(pair: Pair) -> OnDisk:
    """Sample a volume, and decide what its mask means, reading it plane by plane.

    Raises:
        ImageError: A file that cannot be read, or NaN or infinite pixels.
        DataError: A mask that is not one of labels.
    """
    with closing(open_pair(pair)) as source:
        info, sample = source.info, take_sample(source, pair.image_plane or 0)
    return OnDisk(pair, info, _meaning(pair), sample)


def bytes_of(pair: Pair) -> int:
    """Return about how many bytes a volume and its mask take in memory; only headers are read."""
    with closing(open_pair(pair)) as source:
        info = source.info
    labels = 0
    if pair.mask is not None:
        labels = 2 if is_drawn(pair) else read_mask_info(pair.mask).dtype.itemsize
    return prod(info.size) * (info.channels * info.dtype.itemsize + labels)


def _meaning(pair: Pair) -> Meaning:
    """Decide what the values of the mask of a volume mean."""
    if pair.mask is None:
        return PLAIN_NUMBERS
    if is_drawn(pair):
        return meaning_of_drawn(pair)
    with closing(seen_as(open_mask(pair.mask), pair)) as source:
        depth, *rest = source.info.size
        inside = [slice(0, length) for length in rest]
        planes = (source.read(pair.mask_plane or 0, (slice(z, z + 1), *inside))[:, 0] for z in range(depth))
        return decide_meaning(planes, source.info, pair)
