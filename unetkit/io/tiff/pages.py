"""A series of TIFF pages as an array: a slice reads only what it needs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffFrame, TiffPage, TiffPageSeries

from unetkit.foundation.errors import ImageError
from unetkit.io.base.read_options import OnBadTile
from unetkit.io.decoding.cache import CACHE_BYTES
from unetkit.io.decoding.chunked import ChunkedArray, Index
from unetkit.io.decoding.uncompressed import read_box
from unetkit.io.tiff.encoded import damaged
from unetkit.io.tiff.segments import TiffSegments

PAGE_AXES = (0,)
"""Dimensions of `TiffSegments` along which one page at a time is read."""


class SeriesArray:
    """The pixels of a series, sliced like an array with steps of one.

    A series is a stack of images (h, w, samples). A page holds one image for each depth of each separate sample. The
    dimensions of the series are those of the stack, then those of an image; some dimensions of size one are left out.

    Args:
        series: The pages.
        name: Path of the file, for messages.
        cache_bytes: Bound of the decoded bytes that are kept in memory between reads.
        on_bad_tile: What to do with a tile or strip that cannot be decoded.

    Attributes:
        shape: Sizes along the axes of the series.
        dtype: Type of the pixels, in native byte order.
        oversize: Whether tiles or strips are too large for memory and go to a temporary file when they are decoded.

    Raises:
        ImageError: The pages do not make such a stack.
    """

    def __init__(
        self, series: TiffPageSeries, name: str, cache_bytes: int = CACHE_BYTES, on_bad_tile: OnBadTile = "stop"
    ) -> None:
        page = series.keyframe
        self.shape = tuple(int(size) for size in series.shape)
        self.dtype = np.dtype(page.dtype)
        self._series = series
        self._name = name
        self._images_per_page = page.shaped[0] * page.shaped[1]
        self._image_shape = page.shaped[2:]
        self._places = place_in_image(self.shape, self._image_shape)
        self._stack_shape = self.shape[: len(self.shape) - len(self._places)]
        if prod(self._stack_shape) * prod(self._image_shape) != prod(self.shape):
            raise damaged(name, f"pages of {page.shape} do not make a series of {self.shape}")
        self._stored_dtype = self.dtype.newbyteorder(page.parent.byteorder)
        self._offset: int | None = None if series.is_multifile else series.dataoffset
        if on_bad_tile == "background" and len(series) == 1 and not self._is_whole(page):
            self._offset = None  # strip by strip, as far as there are any
        self._segments = TiffSegments(series, name)
        self._chunks = ChunkedArray(self._segments, cache_bytes=cache_bytes, on_bad_tile=on_bad_tile)
        self.oversize = self._chunks.oversize(PAGE_AXES) and self._offset is None and not is_run(page, page)

    @property
    def bad_boxes(self) -> list[list[slice]]:
        """What could not be decoded so far and was read as background: one slice for each dimension."""
        boxes = []
        for page, sample, depths, *image_box in list(self._chunks.bad_boxes):
            first = page.start * self._images_per_page + sample.start * self._chunks.shape[2]
            for image in range(first + depths.start, first + depths.stop):
                position = np.unravel_index(image, self._stack_shape) if self._stack_shape else ()
                box = [slice(int(i), int(i) + 1) for i in position]
                boxes.append([*box, *(slice(0, 1) if place is None else image_box[place] for place in self._places)])
        return boxes

    def block(self, axes: str) -> tuple[int, int]:
        """Return the height and width of a tile or strip along the axes Y and X."""
        sizes = dict.fromkeys(axes, 1)
        for axis, place in zip(axes[len(self._stack_shape) :], self._places, strict=True):
            if place is not None:
                sizes[axis] = min(self._segments.chunks[3:][place], self._image_shape[place])
        return sizes["Y"], sizes["X"]

    def close(self) -> None:
        """Stop the decoding threads."""
        self._chunks.close()

    def __getitem__(self, index: tuple[int | slice, ...]) -> NDArray[Any]:
        """Return the pixels at one integer or slice for each dimension, in the file's dtype.

        Raises:
            ImageError: The file is truncated or cannot be decoded.
        """
        box = [
            slice(part, part + 1) if isinstance(part, int) else slice(*part.indices(size)[:2])
            for part, size in zip(index, self.shape, strict=True)
        ]
        pixels = self._read(box)
        return pixels[tuple(0 if isinstance(part, int) else slice(None) for part in index)]

    def _read(self, box: Sequence[slice]) -> NDArray[Any]:
        path = Path(self._series.keyframe.parent.filehandle.path)
        if self._offset is not None:
            return self._read_box(path, self._offset, self.shape, box)
        split = len(self._stack_shape)
        image_box = [slice(0, size) for size in self._image_shape]
        for part, place in zip(box[split:], self._places, strict=True):
            if place is not None:
                image_box[place] = part
        window = np.empty([part.stop - part.start for part in box], self.dtype)
        stack = window.reshape(-1, *(part.stop - part.start for part in image_box))
        positions = itertools.product(*(range(part.start, part.stop) for part in box[:split]))
        encoded: list[tuple[Index, NDArray[Any]]] = []
        for pixels, position in zip(stack, positions, strict=True):
            image = int(np.ravel_multi_index(position, self._stack_shape)) if position else 0
            number, within = divmod(image, self._images_per_page)
            page = self._segments.page(number)
            if page is not None and is_run(page, self._series.keyframe) and self._is_whole(page):
                pixels[:] = self._read_run(page, within, image_box)
            else:
                sample, depth = divmod(within, self._chunks.shape[2])
                index: Index = (number, slice(sample, sample + 1), slice(depth, depth + 1), *image_box)
                encoded.append((index, pixels[None, None, None]))
        if encoded:
            self._chunks.read(
                encoded
            )  # all at once, so that what the window needs stays in the cache until it is complete
        return window

    def _is_whole(self, page: TiffPage | TiffFrame) -> bool:
        """Return whether the uncompressed pixels of a page lie within its file; True where the file is closed."""
        handle = page.parent.filehandle
        pixels = prod(self._series.keyframe.shaped) * self.dtype.itemsize
        return handle.closed or (bool(page.dataoffsets) and page.dataoffsets[0] + pixels <= handle.size)

    def _read_run(self, page: TiffPage | TiffFrame, within: int, box: Sequence[slice]) -> NDArray[Any]:
        offset = page.dataoffsets[0] + within * prod(self._image_shape) * self.dtype.itemsize
        return self._read_box(Path(page.parent.filehandle.path), offset, self._image_shape, box)

    def _read_box(self, path: Path, offset: int, shape: tuple[int, ...], box: Sequence[slice]) -> NDArray[Any]:
        """Read uncompressed pixels. Up to 16 samples of a pixel are read together and cut afterwards."""
        whole = [*box[:-1], slice(0, shape[-1]) if shape[-1] <= 16 else box[-1]]
        try:
            with path.open("rb", buffering=0) as file:
                pixels = read_box(file, offset, shape, self._stored_dtype, whole)
        except (EOFError, ValueError) as error:  # ValueError: an offset beyond what the system can address
            raise damaged(self._name, error) from error
        except OSError as error:
            raise ImageError(
                f"{self._name} cannot be read: {error.strerror}.", "Check the disk and the permissions."
            ) from error
        return pixels if whole[-1] is box[-1] else pixels[..., box[-1]]


def place_in_image(shape: tuple[int, ...], image_shape: tuple[int, ...]) -> list[int | None]:
    """Return, for each of the last dimensions of a series, which of (h, w, samples) it is.

    >>> place_in_image((5, 512, 300), (512, 300, 1))
    [0, 1]
    >>> place_in_image((5, 1, 512, 300, 3), (512, 300, 3))
    [0, 1, 2]

    None stands for a dimension of size one that is none of them.
    """
    places: list[int | None] = []
    sizes = list(shape)
    wanted = [place for place, size in enumerate(image_shape) if size > 1]
    while wanted and sizes:
        size = sizes.pop()
        place = wanted[-1]
        if size == image_shape[place]:
            wanted.pop()
            places.append(place)
        elif size == 1:
            places.append(None)
        else:
            break
    return places[::-1]


def is_run(page: TiffPage | TiffFrame, keyframe: TiffPage) -> bool:
    """Return whether the pixels of a page lie uncompressed and without gaps in the file.

    tifffile says it of the first page and takes it for all others.
    """
    if not keyframe.is_final or not page.dataoffsets:
        return False
    if page is keyframe or len(page.dataoffsets) == 1:
        return True
    gaps = np.diff(np.asarray(page.dataoffsets, np.int64))
    return bool((gaps == np.asarray(keyframe.databytecounts, np.int64)[:-1]).all())
