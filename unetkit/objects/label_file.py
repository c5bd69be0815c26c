"""Label images in files, of any program: whole numbers, one for each object, and 0 for background."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import DataError, UnetkitError
from unetkit.foundation.threads import read_ahead
from unetkit.io.base.contracts import ImageInfo, ImageSource
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.files import open_image
from unetkit.io.views.volume import VolumeSource
from unetkit.io.volumes import dims_of
from unetkit.objects.collector import LastRows
from unetkit.objects.frame import Frame
from unetkit.objects.runs import find_runs

STRIP_PIXELS = 1 << 22
"""Pixels that are read at a time."""

LARGEST_LABEL = (1 << 40) - 1
"""Largest number of an object."""

LEAST_CACHE_BYTES = 1 << 25
MOST_CACHE_BYTES = 1 << 29
"""Bounds of the decoded bytes that stay in memory. Of an image with larger rows of tiles some are decoded again."""

CHUNK_PLANES = 64
"""Planes of a chunk of a volume, at most: as many as unetkit writes."""

MOST_DEEP_BYTES = 1 << 31
"""Most decoded bytes of a volume that stay in memory: a layer of its chunks, which is decoded once."""

MOST_RUNS = 0.3
"""Most runs of equal labels for each pixel of a plane. Objects of 4 x 4 pixels without background have fewer."""

LEAST_PIXELS = 10_000
"""Pixels of a plane from which on it is told apart from an image."""

LABELS_REMEDY = (
    "Give whole numbers, one for each object and 0 for background (`segment --output labels` writes them); of a mask "
    "`measure --connected` numbers the separate parts."
)


class LabelFile:
    """A label image that is read strip by strip: rows of a plane, or sections (planes) of a volume.

    Args:
        path: A file of one channel, in any format that unetkit reads.
        axes: One letter for each stored dimension, where the file says nothing or something wrong.
        dims: 2 where its planes are images of their own, 3 for volumes; None to let the file say it, see
            `unetkit.io.volumes.dims_of`.

    Attributes:
        info: Facts from the file; of volumes, if it holds these.
        frame: Its planes or volumes, and the size of their pixels.
        dtype: Type of the labels.

    Raises:
        ImageError: The file cannot be read.
        DataError: It is no label image.
        ConfigError: `dims` is neither 2 nor 3.
    """

    def __init__(self, path: str | Path, axes: str | None = None, dims: int | None = None) -> None:
        self._source = open_items_by_strips(path, ReadOptions(axes=axes), dims, as_stored=True)
        try:
            self.info: ImageInfo = self._source.info
            _check_info(self.info)
        except UnetkitError:
            self.close()
            raise
        info = self.info
        kind = info.dtype.kind
        self.dtype = np.dtype(np.uint32) if kind == "f" else np.dtype(np.uint8) if kind == "b" else info.dtype
        self.frame = Frame(info.size, info.plane_axes, info.plane_shape, info.pixel_size_um, info.steps)

    def close(self) -> None:
        """Release the file."""
        self._source.close()

    @property
    def rows(self) -> list[slice]:
        """The rows, or sections, of each strip of a plane or volume, in order."""
        return strips_of(self.info)

    def strips(self, plane: int) -> Iterator[NDArray[Any]]:
        """Yield the labels (h, width) of a plane, or (d, height, width) of a volume, which a thread reads ahead.

        Raises:
            DataError: Values are no labels.
            ImageError: The file cannot be decoded.
        """
        others = tuple(slice(0, extent) for extent in self.info.size[1:])
        yield from read_ahead(
            as_labels(self._source.read(plane, (rows, *others))[0], self.info.name) for rows in self.rows
        )

    def find_last_rows(self, plane: int) -> LastRows:
        """Read a plane or volume to find where its objects end.

        Raises:
            DataError: Its values change from pixel to pixel, as those of images do.
        """
        labels, last = np.zeros(0, np.int64), np.zeros(0, np.int32)
        top = number = 0
        for strip in self.strips(plane):
            runs = find_runs(strip, top)
            top += prod(strip.shape[:-1])
            number += len(runs)
            here = np.unique(runs.labels)
            rows = np.empty(len(here), np.int32)
            rows[np.searchsorted(here, runs.labels)] = runs.rows  # the last one of each counts
            new = here[~np.isin(here, labels, assume_unique=True)]
            if len(new):
                labels = np.concatenate([labels, new.astype(np.int64)])
                last = np.concatenate([last, np.zeros(len(new), np.int32)])
                order = np.argsort(labels, kind="stable")
                labels, last = labels[order], last[order]
            last[np.searchsorted(labels, here)] = rows
        pixels = prod(self.info.size)
        if pixels >= LEAST_PIXELS and number > MOST_RUNS * pixels:
            raise DataError(
                f"{self.info.name} changes its values from pixel to pixel, as an image does and no labels do.",
                "Give the labels first, and their image second.",
            )
        return LastRows(labels, last)


def open_by_strips(
    path: str | Path, reading: ReadOptions, *, as_stored: bool = False, deep: bool = False
) -> ImageSource:
    """Open an image to be read in strips of rows: a row of its tiles stays in memory, so that each is decoded once.

    Args:
        path: The image.
        reading: What of it is read.
        as_stored: See `open_image`.
        deep: Whether its planes are read one after the other, as those of a volume, whose chunks hold several planes.
    """
    source = open_image(path, reading, as_stored=as_stored, cache_bytes=LEAST_CACHE_BYTES)
    info = source.info
    needed, most = info.block[0] * info.width * info.channels * info.dtype.itemsize * 5 // 4, MOST_CACHE_BYTES
    if deep and "TIFF" not in info.format:  # a piece of a TIFF lies in one plane
        needed, most = needed * CHUNK_PLANES * -(-info.height // info.block[0]), MOST_DEEP_BYTES
    elif info.block[1] >= info.width:
        return source
    if needed <= LEAST_CACHE_BYTES:
        return source
    source.close()
    return open_image(path, reading, as_stored=as_stored, cache_bytes=min(needed, most))


def open_items_by_strips(
    path: str | Path, reading: ReadOptions, dims: int | None, *, as_stored: bool = False
) -> ImageSource:
    """Open an image of planes or volumes (see `unetkit.io.volumes.dims_of`) to be read in strips.

    Raises:
        ConfigError: `dims` has no meaning.
        ImageError: It cannot be read, or has no axis that can be Z.
    """
    source = open_by_strips(path, reading, as_stored=as_stored)
    try:
        if dims_of(source.info, Path(path), dims) == 2:
            return source
    except BaseException:  # whatever it is, the file must not stay open
        source.close()
        raise
    source.close()
    source = open_by_strips(path, reading, as_stored=as_stored, deep=True)
    try:
        return VolumeSource(source)
    except UnetkitError:
        source.close()
        raise


def strips_of(info: ImageInfo) -> list[slice]:
    """Return the rows, or sections of volumes, that are read at a time; whole tiles where these are not too large."""
    rows, block = max(STRIP_PIXELS // prod(info.size[1:]), 1), max(info.block[0], 1)
    rows -= rows % block if rows > block else 0
    return [slice(top, min(top + rows, info.size[0])) for top in range(0, info.size[0], rows)]


def as_labels(values: NDArray[Any], name: str) -> NDArray[Any]:
    """Return values as whole numbers from 0 on: those of a float image, such as ImageJ's, as uint32.

    Args:
        values: Pixels as they are stored.
        name: What to call the image in messages.

    Raises:
        DataError: They have fractions, are negative, too large or no numbers.
    """
    low, high = (values.min(), values.max()) if values.size else (0, 0)
    if values.dtype.kind == "f":
        if not np.isfinite(low + high):
            raise DataError(f"{name} has values that are NaN or infinite.", "Use 0 for the background.")
        if (values != np.rint(values)).any():
            raise DataError(f"{name} holds values with fractions, such as probabilities, and no labels.", LABELS_REMEDY)
    if low < 0:
        raise DataError(
            f"{name} has negative values, such as {low:.0f}.",
            "Give labels of 1 and above, and 0 for background.",
        )
    limit = np.iinfo(np.uint32).max if values.dtype.kind == "f" else LARGEST_LABEL
    if high > limit:
        raise DataError(f"{name} has labels up to {int(high)}.", f"Number the objects anew: {limit} is the most.")
    if values.dtype.kind == "b":
        return values.view(np.uint8)
    return values.astype(np.uint32) if values.dtype.kind == "f" else values


def _check_info(info: ImageInfo) -> None:
    """Raise a DataError for a file that cannot hold labels."""
    if info.encoding.lossy:
        raise DataError(f"{info.name} is compressed as JPEG, which changes the numbers of objects.", LABELS_REMEDY)
    if info.channels > 1:
        raise DataError(
            f"{info.name} has {info.channels} channels (axes {info.axes}), and no labels.",
            "Give an image of one channel, which holds the number of each object; or --axes if these are planes.",
        )
