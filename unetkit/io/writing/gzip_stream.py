"""A stream compressed with gzip, by several threads, as one member that every program reads."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.io.writing.workers import Workers

PIECE_BYTES = 2**20
"""Bytes that are compressed at a time. What is made does not depend on how they are given."""

START = bytes([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255])
"""Header of a gzip member (RFC 1952) without a name and a time, so that the same bytes make the same file."""

END = b"\x03\x00"
"""An empty last block (RFC 1951)."""


def gzip_stream(parts: Iterable[NDArray[Any]], level: int) -> Iterator[bytes]:
    """Yield a gzip file of the bytes of arrays that follow each other.

    Each piece is a run of deflate blocks that refer to no other, and ends on a whole byte, so pieces are made at the
    same time and lie one behind the other, as pigz has them.

    Args:
        parts: What is compressed; it is not changed after it was given.
        level: From 1, fast, to 9, small.
    """
    crc, size = 0, 0

    def checked(pieces: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
        nonlocal crc, size
        for piece in pieces:
            crc = zlib.crc32(piece.data, crc)
            size += piece.nbytes
            yield piece

    def encode(piece: NDArray[np.uint8]) -> bytes:
        deflate = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
        return deflate.compress(piece.data) + deflate.flush(zlib.Z_SYNC_FLUSH)

    yield START
    with Workers() as workers:
        yield from workers.map(encode, checked(_cut(parts)))
    yield END + crc.to_bytes(4, "little") + (size % 2**32).to_bytes(4, "little")


def _cut(parts: Iterable[NDArray[Any]]) -> Iterator[NDArray[np.uint8]]:
    """Yield the bytes of arrays in pieces of one size, but for the last."""
    piece = np.empty(PIECE_BYTES, np.uint8)
    filled = 0
    for part in parts:
        data = np.ascontiguousarray(part).reshape(-1).view(np.uint8)
        while data.size:
            count = min(data.size, PIECE_BYTES - filled)
            piece[filled : filled + count] = data[:count]
            data, filled = data[count:], filled + count
            if filled == PIECE_BYTES:
                yield piece
                piece, filled = np.empty(PIECE_BYTES, np.uint8), 0
    if filled:
        yield piece[:filled]
