"""The tiles and strips of a TIFF file, each decoded once and kept for a while."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from math import ceil, prod
from threading import RLock
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffFrame, TiffPage, TiffPageSeries

from unetkit.errors import ImageError
from unetkit.io.tiff_cache import SegmentCache

CACHE_BYTES = 256 * 2**20
"""Default bound of the decoded bytes that a file keeps between reads."""

READ_BYTES = 32 * 2**20
"""Encoded bytes that are read from the file at a time."""

TASK_BYTES = 2**18
"""Decoded bytes that are worth a task of its own in the thread pool: small strips are decoded many at a time."""

DECODING_ERRORS = (RuntimeError, ValueError, TypeError, IndexError, struct.error, MemoryError, ImportError, OSError)
"""What damaged data raises: imagecodecs' errors are RuntimeErrors, tifffile's ValueErrors; the rest comes from below
them. ImportError and ValueError also stand for a compression that imagecodecs was built without."""


def damaged(name: str, what: object) -> ImageError:
    """Return the error for a file whose pixels cannot be read."""
    return ImageError(
        f"{name} cannot be decoded, it is truncated, damaged or of an unknown kind ({what}).",
        "Copy or export it again, as a TIFF that is uncompressed or compressed with deflate, LZW, JPEG or zstd.",
    )


class SegmentReader:
    """Windows of the images in a series of TIFF pages, assembled from decoded tiles or strips.

    Args:
        series: The pages; all are laid out alike.
        name: Path of the file, for messages.
        cache_bytes: Bound of the decoded bytes that are kept between reads.
    """

    def __init__(self, series: TiffPageSeries, name: str, cache_bytes: int = CACHE_BYTES) -> None:
        page = series.keyframe
        self._series = series
        self._keyframe = page
        self._name = name
        self._samples, self._depth, self._height, self._width, self._contiguous_samples = page.shaped
        self._segment_depth = page.tiledepth if page.is_tiled else 1
        self._segment_shape = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, self._width)
        self._grid = (ceil(self._height / self._segment_shape[0]), ceil(self._width / self._segment_shape[1]))
        self._dtype = np.dtype(page.dtype)
        try:
            self._decode = page.decode  # now, since tifffile makes it on first use, and not in a thread-safe way
        except DECODING_ERRORS as error:
            raise damaged(name, error) from error
        self._cache = SegmentCache(cache_bytes)
        self._lock = RLock()
        self._pool: ThreadPoolExecutor | None = None

    def close(self) -> None:
        """Stop the decoding threads."""
        if self._pool is not None:
            self._pool.shutdown()

    def page(self, number: int) -> TiffPage | TiffFrame | None:
        """Return a page of the series; None if the file leaves it out (its pixels are then the fill value)."""
        with self._lock:
            return self._series[number]

    def read(self, image: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Return pixels (h, w, samples) of one image of the series.

        Args:
            image: Number in the order page, separate sample, depth.
            rows: Rows inside the image.
            columns: Columns inside the image.

        Raises:
            ImageError: The file is truncated or cannot be decoded.
        """
        number, within = divmod(image, self._samples * self._depth)
        sample, depth = divmod(within, self._depth)
        shape = (rows.stop - rows.start, columns.stop - columns.start, self._contiguous_samples)
        window = np.full(shape, self._keyframe.nodata, self._dtype)
        page = self.page(number)
        if page is None or not window.size:
            return window
        height, width = self._segment_shape
        layer = sample * ceil(self._depth / self._segment_depth) + depth // self._segment_depth
        places = {
            (layer * self._grid[0] + y) * self._grid[1] + x: (y * height, x * width)
            for y in range(rows.start // height, ceil(rows.stop / height))
            for x in range(columns.start // width, ceil(columns.stop / width))
        }
        for segment, (top, left) in zip(self._fetch(number, page, list(places)), places.values(), strict=True):
            layer_pixels = segment[depth % self._segment_depth]
            y0, y1 = max(top, rows.start), min(top + layer_pixels.shape[0], rows.stop)
            x0, x1 = max(left, columns.start), min(left + layer_pixels.shape[1], columns.stop)
            window[y0 - rows.start : y1 - rows.start, x0 - columns.start : x1 - columns.start] = layer_pixels[
                y0 - top : y1 - top, x0 - left : x1 - left
            ]
        return window

    def _fetch(self, number: int, page: TiffPage | TiffFrame, indices: list[int]) -> list[NDArray[Any]]:
        """Return decoded segments (depth, h, w, samples) of a page, decoding those that are not in the cache."""
        with self._lock:
            segments = {index: self._cache.get((number, index)) for index in indices}
            missing = [index for index, segment in segments.items() if segment is None]
            for index, segment in self._decode_all(page, missing):
                segments[index] = segment
                self._cache.put((number, index), segment)
            found = [segment for segment in segments.values() if segment is not None]
            self._cache.trim(sum(segment.nbytes for segment in found))
        return found

    def _decode_all(self, page: TiffPage | TiffFrame, indices: list[int]) -> Iterator[tuple[int, NDArray[Any]]]:
        segment_bytes = prod(self._segment_shape) * self._contiguous_samples * self._dtype.itemsize
        size = max(1, TASK_BYTES // segment_bytes)
        tables = {"jpegtables": page.jpegtables, "jpegheader": self._keyframe.jpegheader}

        def decode_batch(batch: Sequence[tuple[bytes | None, int]]) -> list[tuple[int, NDArray[Any]]]:
            return [(index, self._decode_segment(data, index, tables)) for data, index in batch]

        for encoded in self._read_encoded(page, indices):
            batches = [encoded[start : start + size] for start in range(0, len(encoded), size)]
            if len(batches) == 1:
                yield from decode_batch(batches[0])
            else:
                for decoded in self._threads().map(decode_batch, batches):
                    yield from decoded

    def _read_encoded(self, page: TiffPage | TiffFrame, indices: list[int]) -> Iterator[list[tuple[bytes | None, int]]]:
        if not indices:
            return
        try:
            offsets = [page.dataoffsets[index] for index in indices]
            counts = [page.databytecounts[index] for index in indices]
        except IndexError as error:
            raise damaged(self._name, "some of its tiles or strips are missing") from error
        length = dict(zip(indices, counts, strict=True))
        handle = page.parent.filehandle
        with _opened(handle, self._name):
            for encoded in cast(
                Iterator[list[tuple[bytes | None, int]]],
                handle.read_segments(offsets, counts, indices, lock=self._lock, buffersize=READ_BYTES, flat=False),
            ):
                if any(data is not None and len(data) < length[index] for data, index in encoded):
                    raise damaged(self._name, "the file ends before its pixels do")
                yield encoded

    def _decode_segment(self, data: bytes | None, index: int, tables: dict[str, bytes | None]) -> NDArray[Any]:
        try:
            segment, _, shape = self._decode(data, index, **tables)
        except DECODING_ERRORS as error:
            raise damaged(self._name, f"tile or strip {index}: {error}") from error
        if segment is None:  # a tile that a sparse file leaves out
            return np.full(shape, self._keyframe.nodata, self._dtype)
        pixels: NDArray[Any] = segment
        return pixels

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1), "unetkit-tiff")
        return self._pool


@contextmanager
def _opened(handle: Any, name: str) -> Iterator[None]:
    """Open the file of an OME-TIFF of several files, which tifffile keeps closed, for the time of a read."""
    closed = handle.closed
    try:
        if closed:
            handle.open()
        yield
    except (OSError, ValueError) as error:  # ValueError: an offset beyond what the system can address
        raise damaged(name, error) from error
    finally:
        if closed:
            handle.close()
