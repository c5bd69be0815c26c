"""The tiles and strips of a series of TIFF pages, for the chunked reader."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import groupby
from math import ceil, prod
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import COMPRESSION, TIFF, TiffFrame, TiffPage, TiffPageSeries

from unetkit.io.decoding.cache import Block
from unetkit.io.decoding.chunk_format import Box, DamagedChunkError
from unetkit.io.decoding.scratch import ScratchArray
from unetkit.io.tiff.encoded import Encoded, damaged, read_encoded
from unetkit.io.tiff.inflate import can_inflate, inflate

TASK_BYTES = 2**18
"""Decoded bytes that are worth a task of its own in the thread pool: small strips are decoded many at a time."""

DECODING_ERRORS = (
    *(RuntimeError, ValueError, TypeError, IndexError, struct.error),
    *(MemoryError, ImportError, OSError, EOFError),
)
"""What damaged data raises. imagecodecs raises RuntimeErrors, tifffile ValueErrors, what is below them the others.
ImportError and ValueError also stand for a compression that imagecodecs was built without."""

Stored = Encoded | TiffPage | TiffFrame | None
"""A tile or strip: its bytes, or the page of one that is too large to be read at once, or None for a missing page."""


class TiffSegments:
    """The tiles or strips of a series of pages that are laid out alike.

    The dimensions are page, separate sample, depth, row, column and sample of a pixel. A page's samples are either
    separate or together in a pixel, so one of the two has a size of one.

    Args:
        series: The pages.
        name: Path of the file, for messages.

    Attributes:
        See `ChunkFormat`.

    Raises:
        ImageError: The compression is not known.
    """

    noun = "tiles"

    def __init__(self, series: TiffPageSeries, name: str) -> None:
        page = series.keyframe
        self.name = name
        self.shape: tuple[int, ...] = (prod(series.shape) // prod(page.shaped), *page.shaped)
        self.dtype: np.dtype[Any] = np.dtype(page.dtype)
        strip = (1, min(page.rowsperstrip, page.shaped[2]), page.shaped[3])
        segment = (page.tiledepth, page.tilelength, page.tilewidth) if page.is_tiled else strip
        self.chunks: tuple[int, ...] = (1, 1, *segment, page.shaped[4])
        self.fill: Any = page.nodata
        self.chunks_per_task = max(1, TASK_BYTES // (prod(self.chunks) * self.dtype.itemsize))
        self._grid: list[int] = [ceil(length / size) for length, size in zip(page.shaped[1:4], segment, strict=True)]
        self._series = series
        self._keyframe = page
        self._jpegheader = page.jpegheader
        self._lock = RLock()
        try:
            if page.compression != COMPRESSION.NONE:
                TIFF.DECOMPRESSORS[page.compression]  # of an unknown one, every tile would be bad
            self._decode = page.decode  # now, since tifffile makes it on first use, and not in a thread-safe way
        except (KeyError, *DECODING_ERRORS) as error:
            raise damaged(name, error) from error

    def page(self, number: int) -> TiffPage | TiffFrame | None:
        """Return a page of the series; None if the file leaves it out (its pixels are then the fill value)."""
        with self._lock:
            return self._series[number]

    def fetch(self, boxes: Sequence[Box], *, oversize: bool) -> Iterator[Sequence[tuple[int, Stored]]]:
        """Yield tiles or strips page by page, see `ChunkFormat`."""
        for number, group in groupby(range(len(boxes)), key=lambda i: boxes[i][0].start):
            page = self.page(number)
            if page is None:
                yield [(i, None) for i in group]
            elif oversize and self.chunks[2] == 1 and can_inflate(self._keyframe):
                yield [(i, page) for i in group]
            else:
                segments = {self._segment(boxes[i]): i for i in group}
                yield from read_encoded(page, segments, self._lock, self.name)

    def decode(self, box: Box, encoded: Stored) -> Block | None:
        """Return (1, 1, depth, h, w, samples), see `ChunkFormat`."""
        if encoded is None:
            return None
        try:
            if not isinstance(encoded, Encoded):
                return self._inflate(encoded, box)
            if encoded.fault:
                raise EOFError(encoded.fault)
            pixels: NDArray[Any] | None = self._decode(
                encoded.data, encoded.segment, jpegtables=encoded.jpegtables, jpegheader=self._jpegheader
            )[0]
        except (MemoryError, ImportError) as error:  # which say nothing about this one
            raise damaged(self.name, f"{self.describe(box)}: {error}") from error
        except DECODING_ERRORS as error:
            raise DamagedChunkError(str(error)) from error
        return None if pixels is None else pixels[None, None]

    def describe(self, box: Box) -> str:
        """Return which tile or strip a box is, for messages."""
        page, _, _, rows, columns, _ = box
        place = f"row {rows.start}, column {columns.start} of page {page.start}"
        return f"tile or strip {self._segment(box)} at {place}"

    def _segment(self, box: Box) -> int:
        """Return the number of a tile or strip in its page."""
        _, sample, depth, row, column, _ = box
        layers, down, across = self._grid
        _, _, thick, high, wide, _ = self.chunks
        layer = sample.start * layers + depth.start // thick
        segment: int = (layer * down + row.start // high) * across + column.start // wide
        return segment

    def _inflate(self, page: TiffPage | TiffFrame, box: Box) -> ScratchArray | None:
        """Decode a large tile or strip into a temporary file, a few rows at a time."""
        segment = self._segment(box)
        offset, count = page.dataoffsets[segment], page.databytecounts[segment]
        if not offset or not count:  # a sparse file leaves it out
            return None
        rows = self.chunks[3] if self._keyframe.is_tiled else box[3].stop - box[3].start
        shape = (rows, self.chunks[4], self.chunks[5])
        scratch = ScratchArray((1, 1, 1, *shape), self.dtype, self.name)
        for some in inflate(Path(page.parent.filehandle.path), offset, count, shape, self._keyframe):
            scratch.append(some)
        return scratch
