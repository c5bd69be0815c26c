"""One block of an output in a file: compressed in strips of rows, each of which can be read by itself.

The file, numbers little-endian:

    magic (16 bytes) | head (28 bytes) | sizes (8 bytes each) | entry of each strip (20 bytes) | CRC-32 of all before
    then the strips, compressed; nothing of a strip of zeros

Rows run along the first axis of an item. Strips end at multiples of their height in the item, so that blocks beside
each other are cut at the same rows.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any, BinaryIO
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.contracts import Window
from unetkit.io.base.windows import common, inside, overlap, sizes_of
from unetkit.io.writing.compression import compress, decompress, is_zero

MAGIC = b"unetkit block 1\n"
HEAD = struct.Struct("<8sIIQI")  # dtype, number of sizes, height of a strip, first row, number of strips
STRIP = struct.Struct("<QQI")  # start in the file, bytes, CRC-32
CHECKSUM = struct.Struct("<I")

STRIP_BYTES = 2**20
"""Pixels of a strip at most, unless a single row is larger."""

MOST_ROWS = 64
"""Rows of a strip at most."""


class DamagedBlockError(Exception):
    """A file is not what was written."""


def strip_rows(row_bytes: int, most_bytes: int, most_rows: int) -> int:
    """Return how many rows of a size make a strip: a power of 2."""
    return 1 << (max(1, min(most_rows, most_bytes // row_bytes)).bit_length() - 1)


def block_strip_rows(window: Window, channels: int, dtype: np.dtype[Any]) -> int:
    """Return the height of the strips of a block."""
    return strip_rows(channels * prod(sizes_of(window[1:])) * dtype.itemsize, STRIP_BYTES, MOST_ROWS)


def write_block(file: BinaryIO, window: Window, pixels: NDArray[Any]) -> None:
    """Write the pixels (C, one size for each axis of `window`) of a block to an empty file."""
    first, stop = window[0].start, window[0].stop
    height = block_strip_rows(window, pixels.shape[0], pixels.dtype)
    tops = _strip_tops(first, stop, height)
    head = HEAD.pack(pixels.dtype.str.encode(), pixels.ndim, height, first, len(tops))
    head = MAGIC + head + struct.pack(f"<{pixels.ndim}Q", *pixels.shape)
    start = len(head) + len(tops) * STRIP.size + CHECKSUM.size
    file.seek(start)
    for top, bottom in zip(tops, [*tops[1:], stop], strict=True):
        part = pixels[:, top - first : bottom - first]
        data = b"" if is_zero(part) else compress(part)
        head += STRIP.pack(start, len(data), crc32(data))
        file.write(data)
        start += len(data)
    file.seek(0)
    file.write(head + CHECKSUM.pack(crc32(head)))


class BlockFile:
    """A block that is read strip by strip.

    Args:
        path: Its file.
        window: Where it lies in its item.

    Attributes:
        dtype: Type of its pixels.
        channels: Number of its channels.

    Raises:
        DamagedBlockError: The file is not whole, or of another block.
        OSError: The file cannot be read.
    """

    def __init__(self, path: Path, window: Window) -> None:
        self._window = window
        self._file = path.open("rb")
        try:
            self._read_head()
        except BaseException:  # whatever it is, the file must not stay open
            self._file.close()
            raise

    def read_into(self, target: NDArray[Any], window: Window) -> None:
        """Copy what lies in a window from here to the pixels (C, one size for each axis) of that window.

        Raises:
            DamagedBlockError: A strip is not what was written, or the pixels are of another kind.
            OSError: The file cannot be read.
        """
        if target.dtype != self.dtype or target.shape[0] != self.channels:
            raise DamagedBlockError(f"it holds {self.channels} channels of {self.dtype}")
        others = self._window[1:]
        ends = [*self._tops[1:], self._window[0].stop]
        for number, (top, bottom) in enumerate(zip(self._tops, ends, strict=True)):
            whole = (slice(top, bottom), *others)
            if overlap(whole, window):
                part = common(whole, window)
                strip = self._read_strip(number, bottom - top)
                target[(slice(None), *inside(part, window))] = strip[(slice(None), *inside(part, whole))]

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def _read_head(self) -> None:
        head = self._file.read(len(MAGIC) + HEAD.size)
        if len(head) < len(MAGIC) + HEAD.size or not head.startswith(MAGIC):
            raise DamagedBlockError("it is no block")
        dtype, axes, height, first, strips = HEAD.unpack(head[len(MAGIC) :])
        shape = sizes_of(self._window)
        rows = self._window[0]
        self._tops = _strip_tops(rows.start, rows.stop, height) if height else []
        if axes != 1 + len(shape) or first != rows.start or strips != len(self._tops):
            raise DamagedBlockError("it is of another block")
        rest = self._file.read(axes * 8 + strips * STRIP.size)
        if CHECKSUM.pack(crc32(head + rest)) != self._file.read(CHECKSUM.size):
            raise DamagedBlockError("its head was changed")
        self.channels, *sizes = struct.unpack(f"<{axes}Q", rest[: axes * 8])
        if tuple(sizes) != shape:
            raise DamagedBlockError("it is of another block")
        self.dtype = np.dtype(dtype.rstrip(b"\0").decode())
        self._strips = list(STRIP.iter_unpack(rest[axes * 8 :]))
        self._sizes: Sequence[int] = sizes[1:]

    def _read_strip(self, number: int, height: int) -> NDArray[Any]:
        start, size, checksum = self._strips[number]
        self._file.seek(start)
        data = self._file.read(size)
        if crc32(data) != checksum:
            raise DamagedBlockError("its pixels were changed")
        shape = (self.channels, height, *self._sizes)
        return np.frombuffer(decompress(data), self.dtype).reshape(shape) if size else np.zeros(shape, self.dtype)


def _strip_tops(first: int, stop: int, height: int) -> list[int]:
    """Return the first row of each strip of a block."""
    return [first, *range((first // height + 1) * height, stop, height)]
