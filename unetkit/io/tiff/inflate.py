"""Strips and tiles that are compressed with deflate and too large for memory: decoded a few rows at a time."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import COMPRESSION, FILLORDER, PREDICTOR, TiffPage

PIECE_BYTES = 2**20
"""How many encoded bytes are read at a time, and how many decoded bytes they give; rows that are longer give more."""


def can_inflate(page: TiffPage) -> bool:
    """Return whether the strips or tiles of a page are compressed in a way that `inflate` decodes."""
    dtype = page.dtype
    return (
        page.compression in (COMPRESSION.ADOBE_DEFLATE, COMPRESSION.DEFLATE)
        and page.predictor in (PREDICTOR.NONE, PREDICTOR.HORIZONTAL)
        and page.fillorder == FILLORDER.MSB2LSB
        and dtype is not None
        and dtype.kind in "uif"
        and page.bitspersample == dtype.itemsize * 8
    )


def inflate(path: Path, offset: int, count: int, shape: tuple[int, int, int], page: TiffPage) -> Iterator[NDArray[Any]]:
    """Yield the rows of a strip or tile, some (n, width, samples) at a time, in the native byte order.

    Args:
        path: The file.
        offset: Position of the first byte of the strip or tile.
        count: Number of its encoded bytes.
        shape: Height, width and samples of the strip or tile.
        page: The page of the strip or tile; `can_inflate` is true for it.

    Raises:
        ValueError: The bytes cannot be decoded, or are too few.
    """
    assert page.dtype is not None
    native = np.dtype(page.dtype)
    stored = native.newbyteorder(page.parent.byteorder)
    row_bytes = prod(shape[1:]) * native.itemsize
    missing = shape[0]
    for piece in _inflate_bytes(path, offset, count, row_bytes):
        rows = np.frombuffer(piece, stored)[: missing * prod(shape[1:])].reshape(-1, *shape[1:]).astype(native)
        if page.predictor == PREDICTOR.HORIZONTAL:  # each value is the difference to the one on its left
            whole = rows.view(f"u{native.itemsize}")
            np.add.accumulate(whole, axis=1, out=whole)
        missing -= len(rows)
        if len(rows):  # what follows the last row is decoded too, for the checksum at the end
            yield rows
    if missing:
        raise ValueError(f"it ends {missing} rows before its height")


def _inflate_bytes(path: Path, offset: int, count: int, row_bytes: int) -> Iterator[bytes]:
    """Yield decoded bytes of whole rows."""
    decoder = zlib.decompressobj()
    left = b""
    with path.open("rb") as file:
        file.seek(offset)
        while count and not decoder.eof:
            encoded = file.read(min(PIECE_BYTES, count))
            if not encoded:
                raise ValueError("the file ends before it does")
            count -= len(encoded)
            while encoded and not decoder.eof:
                try:
                    left += decoder.decompress(encoded, max(row_bytes, PIECE_BYTES))
                except zlib.error as error:
                    raise ValueError(str(error)) from error
                encoded = decoder.unconsumed_tail
                whole = len(left) // row_bytes * row_bytes
                if whole:
                    yield left[:whole]
                    left = left[whole:]
