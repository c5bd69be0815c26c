"""The tiles and strips of a TIFF file, each decoded once and kept for a while."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import ceil, prod
from pathlib import Path
from threading import Lock, RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import COMPRESSION, TIFF, TiffFrame, TiffPage, TiffPageSeries

from unetkit.foundation.errors import ImageError
from unetkit.io.base.contracts import background
from unetkit.io.base.read_options import OnBadTile
from unetkit.io.decoding.cache import CACHE_BYTES, Block, BlockCache, is_oversize
from unetkit.io.decoding.scratch import ScratchArray
from unetkit.io.tiff.encoded import Encoded, damaged, read_encoded
from unetkit.io.tiff.inflate import can_inflate, inflate

TASK_BYTES = 2**18
"""Decoded bytes that are worth a task of its own in the thread pool: small strips are decoded many at a time."""

DECODING_ERRORS = (
    *(RuntimeError, ValueError, TypeError, IndexError, struct.error),
    *(MemoryError, ImportError, OSError, EOFError),
)
"""What damaged data raises: imagecodecs' errors are RuntimeErrors, tifffile's ValueErrors; the rest comes from below
them. ImportError and ValueError also stand for a compression that imagecodecs was built without."""


class SegmentReader:
    """Windows of the images in a series of TIFF pages, assembled from decoded tiles or strips.

    Args:
        series: The pages; all are laid out alike.
        name: Path of the file, for messages.
        cache_bytes: Bound of the decoded bytes that are kept in memory between reads.
        on_bad_tile: What to do with a tile or strip that cannot be decoded.

    Attributes:
        bad: Image, rows and columns of what could not be decoded and was read as background.
        block: Height and width of a tile or strip.
        oversize: Whether a tile or strip is so large that it goes to a temporary file when it is decoded.

    Raises:
        ImageError: The compression is not known.
    """

    def __init__(
        self, series: TiffPageSeries, name: str, cache_bytes: int = CACHE_BYTES, on_bad_tile: OnBadTile = "stop"
    ) -> None:
        page = series.keyframe
        self._series = series
        self._keyframe = page
        self._name = name
        self._samples, self._depth, self._height, self._width, self._contiguous_samples = page.shaped
        self._segment_depth = page.tiledepth if page.is_tiled else 1
        strip = (min(page.rowsperstrip, self._height), self._width)
        self.block = (page.tilelength, page.tilewidth) if page.is_tiled else strip
        self._grid = (ceil(self._height / self.block[0]), ceil(self._width / self.block[1]))
        self._dtype = np.dtype(page.dtype)
        self._segment_shape = (self._segment_depth, *self.block, self._contiguous_samples)
        self._segment_bytes = prod(self._segment_shape) * self._dtype.itemsize
        self.oversize = is_oversize(self._segment_bytes, cache_bytes)
        try:
            if page.compression != COMPRESSION.NONE:
                TIFF.DECOMPRESSORS[page.compression]  # of an unknown one, every tile would be bad
            self._decode = page.decode  # now, since tifffile makes it on first use, and not in a thread-safe way
        except (KeyError, *DECODING_ERRORS) as error:
            raise damaged(name, error) from error
        self._goes_on = on_bad_tile == "background"
        self.bad: list[tuple[int, slice, slice]] = []
        self._bad_keys: set[tuple[int, int]] = set()
        self._bad_lock = Lock()
        self._cache = BlockCache(cache_bytes, name)
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

    def read(self, images: Sequence[int], rows: slice, columns: slice) -> NDArray[Any]:
        """Return pixels (n, h, w, samples) of images of the series.

        Args:
            images: Numbers in the order page, separate sample, depth.
            rows: Rows inside the images.
            columns: Columns inside the images.

        Raises:
            ImageError: The file is truncated or cannot be decoded.
        """
        shape = (rows.stop - rows.start, columns.stop - columns.start, self._contiguous_samples)
        windows = np.full((len(images), *shape), self._keyframe.nodata, self._dtype)
        used: set[tuple[int, int]] = set()
        for image, window in zip(images, windows, strict=True):
            page = self.page(image // (self._samples * self._depth))
            if page is not None and window.size:
                used |= self._read_image(image, page, rows, columns, window)
        with self._lock:
            self._cache.trim(used)
        return windows

    def _read_image(
        self, image: int, page: TiffPage | TiffFrame, rows: slice, columns: slice, window: NDArray[Any]
    ) -> set[tuple[int, int]]:
        """Fill a window with pixels of one image; return the keys of the segments that it is made of."""
        number, within = divmod(image, self._samples * self._depth)
        sample, depth = divmod(within, self._depth)
        height, width = self.block
        layer = sample * ceil(self._depth / self._segment_depth) + depth // self._segment_depth
        indices = [
            (layer * self._grid[0] + y) * self._grid[1] + x
            for y in range(rows.start // height, ceil(rows.stop / height))
            for x in range(columns.start // width, ceil(columns.stop / width))
        ]
        for index, segment in zip(indices, self._fetch(number, page, indices), strict=True):
            _, _, top, left = self._place(index)
            y0, y1 = max(top, rows.start), min(top + segment.shape[1], rows.stop)
            x0, x1 = max(left, columns.start), min(left + segment.shape[2], columns.stop)
            window[y0 - rows.start : y1 - rows.start, x0 - columns.start : x1 - columns.start] = segment[
                depth % self._segment_depth, y0 - top : y1 - top, x0 - left : x1 - left, :
            ]
        return {(number, index) for index in indices}

    def _place(self, index: int) -> tuple[int, int, int, int]:
        """Return the separate sample, the first depth, the top and the left of a segment of a page."""
        layer, place = divmod(index, self._grid[0] * self._grid[1])
        sample, depth = divmod(layer, ceil(self._depth / self._segment_depth))
        y, x = divmod(place, self._grid[1])
        return sample, depth * self._segment_depth, y * self.block[0], x * self.block[1]

    def _fetch(self, number: int, page: TiffPage | TiffFrame, indices: list[int]) -> list[Block]:
        """Return decoded segments (depth, h, w, samples) of a page, decoding those that are not in the cache."""
        with self._lock:
            segments = {index: self._cache.get((number, index)) for index in indices}
            missing = [index for index, segment in segments.items() if segment is None]
            for index, segment in self._decode_all(number, page, missing):
                segments[index] = self._cache.put((number, index), segment)
            return [segment for segment in segments.values() if segment is not None]

    def _decode_all(self, number: int, page: TiffPage | TiffFrame, indices: list[int]) -> Iterator[tuple[int, Block]]:
        if self.oversize and can_inflate(self._keyframe) and self._segment_depth == 1:
            for index in indices:
                yield index, self._inflate(number, page, index)
            return
        size = max(1, TASK_BYTES // self._segment_bytes)
        tables = {"jpegtables": page.jpegtables, "jpegheader": self._keyframe.jpegheader}

        def decode_batch(batch: Sequence[Encoded]) -> list[tuple[int, NDArray[Any]]]:
            return [(one.segment, self._decode_segment(one, number, tables)) for one in batch]

        for encoded in read_encoded(page, indices, self._lock, self._name):
            batches = [encoded[start : start + size] for start in range(0, len(encoded), size)]
            if len(batches) == 1 or self.oversize:  # of large ones there should be one in memory at a time
                for batch in batches:
                    yield from decode_batch(batch)
            else:
                for decoded in self._threads().map(decode_batch, batches):
                    yield from decoded

    def _decode_segment(self, encoded: Encoded, number: int, tables: dict[str, bytes | None]) -> NDArray[Any]:
        try:
            if encoded.fault:
                raise EOFError(encoded.fault)
            segment, _, shape = self._decode(encoded.data, encoded.segment, **tables)
        except DECODING_ERRORS as error:
            return self._replace(error, number, encoded.segment)
        if segment is None:  # a tile that a sparse file leaves out
            return np.full(shape, self._keyframe.nodata, self._dtype)
        pixels: NDArray[Any] = segment
        return pixels

    def _inflate(self, number: int, page: TiffPage | TiffFrame, index: int) -> Block:
        """Decode a large segment into a temporary file, a few rows at a time."""
        path = Path(page.parent.filehandle.path)
        _, _, top, _ = self._place(index)
        height = self.block[0] if self._keyframe.is_tiled else min(self.block[0], self._height - top)
        shape = (height, self.block[1], self._contiguous_samples)
        try:
            offset, count = page.dataoffsets[index], page.databytecounts[index]
            if not offset or not count:  # a sparse file leaves it out
                return np.broadcast_to(np.asarray(self._keyframe.nodata, self._dtype), (1, *shape))
            scratch = ScratchArray((1, *shape), self._dtype, self._name)
            for rows in inflate(path, offset, count, shape, self._keyframe):
                scratch.append(rows)
        except DECODING_ERRORS as error:
            return self._replace(error, number, index)
        return scratch

    def _replace(self, error: Exception, number: int, index: int) -> NDArray[Any]:
        """Return background for a segment that cannot be decoded, or raise the error that says so."""
        _, _, top, left = self._place(index)
        place = f"tile or strip {index} at row {top}, column {left} of page {number}"
        if isinstance(error, (MemoryError, ImportError)):
            raise damaged(self._name, f"{place}: {error}") from error
        if not self._goes_on:
            raise ImageError(
                f"{self._name} cannot be decoded, it is truncated or damaged ({place}: {error}).",
                "Copy or export it again, or pass --on-bad-tile background to go on without such tiles.",
            ) from error
        self._note_bad(number, index)
        return np.broadcast_to(background(self._keyframe.nodata, self._dtype), self._segment_shape)

    def _note_bad(self, number: int, index: int) -> None:
        with self._bad_lock:
            if (number, index) in self._bad_keys:
                return
            self._bad_keys.add((number, index))
            sample, depth, top, left = self._place(index)
            rows = slice(top, min(top + self.block[0], self._height))
            columns = slice(left, min(left + self.block[1], self._width))
            first = (number * self._samples + sample) * self._depth
            for image in range(first + depth, first + min(depth + self._segment_depth, self._depth)):
                self.bad.append((image, rows, columns))

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1), "unetkit-tiff")
        return self._pool
