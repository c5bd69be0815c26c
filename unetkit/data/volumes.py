"""Volumes as training reads them: some of the planes of a file, whole or by windows, and in slabs that fit into memory.

A volume that is too large for the memory that is kept for images is never read whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.data.pairs import Pair
from unetkit.io.base.contracts import BadTile, ImageInfo, ImageSource, Window
from unetkit.io.base.inner import file_of
from unetkit.io.base.read_options import WHOLE, ReadOptions
from unetkit.io.files import open_image
from unetkit.io.views.volume import VolumeSource, depth_axis

SLAB_VOXELS = 2**22
"""How many voxels of a volume are looked at at a time; one plane may have more."""

Spacing = tuple[float, ...] | None
"""Size of a voxel (z, y, x) in any unit; None where it is not known."""

OPEN_FILES = 16
"""How many files each process keeps open from which it reads windows."""


class SlabSource:
    """Some neighbouring planes of the volumes of an image, as volumes.

    Args:
        source: The image, whose items are planes; closed with this one.
        depth: First plane along Z, and the end.

    Attributes:
        info: The image as it is interpreted.

    Raises:
        ImageError: The image has no axis that can be Z.
    """

    def __init__(self, source: ImageSource, depth: tuple[int, int]) -> None:
        self._source = VolumeSource(source)
        self._first = depth[0]
        info = self._source.info
        self.info: ImageInfo = replace(info, size=(depth[1] - depth[0], *info.size[1:]))

    @property
    def bad_tiles(self) -> list[BadTile]:
        """What could not be decoded so far."""
        return [replace(tile, start=(tile.start[0] - self._first, *tile.start[1:])) for tile in self._source.bad_tiles]

    def read(self, item: int, window: Window) -> NDArray[Any]:
        """Return voxels (C, d, h, w) of one volume."""
        depths, *inside = window
        return self._source.read(item, (slice(depths.start + self._first, depths.stop + self._first), *inside))

    def close(self) -> None:
        """Close the image."""
        self._source.close()


def seen_as(source: ImageSource, pair: Pair) -> ImageSource:
    """Return a source whose items are what a pair is: planes or volumes."""
    return source if pair.depth is None else SlabSource(source, pair.depth)


def planes_of(info: ImageInfo, pair: Pair) -> list[int]:
    """Return the numbers of the planes of a pair in an image whose items are planes."""
    if pair.depth is None:
        return [pair.mask_plane or 0]
    numbers = np.moveaxis(np.arange(info.planes).reshape(info.plane_shape), depth_axis(info), -1)
    volumes = numbers.reshape(-1, numbers.shape[-1])
    planes: list[int] = volumes[pair.mask_plane or 0, slice(*pair.depth)].tolist()
    return planes


def whole(info: ImageInfo) -> Window:
    """Return the window that is all of an item."""
    return tuple(slice(0, length) for length in info.size)


def slabs(size: tuple[int, ...]) -> Iterator[Window]:
    """Yield windows that follow each other along the first axis of a volume; the whole of a plane."""
    step = size[0] if len(size) == 2 else max(1, SLAB_VOXELS // prod(size[1:]))
    rest = tuple(slice(0, length) for length in size[1:])
    for start in range(0, size[0], step):
        yield (slice(start, min(start + step, size[0])), *rest)


def open_shared(pair: Pair, *, masks: bool = False) -> ImageSource:
    """Return the image of a volume, or its mask, which stays open in this process; do not close it."""
    assert pair.depth is not None
    path = pair.mask if masks else pair.image
    assert path is not None
    reading = WHOLE if masks else pair.reading
    return _open_shared(os.getpid(), path, file_of(path).stat().st_mtime_ns, reading, pair.depth, masks)


@lru_cache(maxsize=OPEN_FILES)
def _open_shared(
    process: int,  # noqa: ARG001  # a process that was forked must not move the place in a file of the one before it
    path: Path,
    changed: int,  # noqa: ARG001  # a changed file is opened again
    reading: ReadOptions,
    depth: tuple[int, int],
    masks: bool,
) -> ImageSource:
    return SlabSource(open_image(path, reading, as_stored=masks), depth)
