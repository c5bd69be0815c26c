"""The smaller levels of an OME-Zarr, made chunk by chunk of the level above."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.contracts import Piece, Window
from unetkit.io.ome_zarr.layout import CHUNK, Layout
from unetkit.io.writing.compression import is_zero
from unetkit.io.writing.rechunk import halve

PIECE_CHUNKS = 16
"""Chunks of a piece of a level at most, each made of 4 chunks of the level above: 64 megapixels."""


@dataclass(frozen=True)
class Chunk:
    """A chunk of one level.

    Attributes:
        plane: Number of the plane.
        channel: Number of the channel.
        window: Where it lies in the plane at its level.
        level: Number of the level.
        nbytes: Size of the pixels of the level above that it is made of.
    """

    plane: int
    channel: int
    window: Window
    level: int = 0
    nbytes: int = 0


def chunks_of(plane: int, channels: int, window: Window, level: int = 0, itemsize: int = 1) -> Iterator[Chunk]:
    """Yield the chunks of a window that starts at one of them."""
    for channel in range(channels):
        for part in _tiles(window, CHUNK):
            yield Chunk(plane, channel, part, level, 4 * CHUNK * CHUNK * itemsize)


def chunks_of_piece(layout: Layout, piece: Piece) -> Iterator[Chunk]:
    """Yield the chunks of a piece."""
    spec = layout.spec
    for plane in piece.items:
        yield from chunks_of(plane, spec.channels, piece.window, piece.level, spec.dtype.itemsize)


def level_pieces(layout: Layout) -> list[list[Piece]]:
    """Return the pieces of each smaller level: parts of a large plane, or some small planes, of about the same work."""
    return [list(_pieces_of(layout, level)) for level in range(1, len(layout.sizes))]


def store_chunk(layout: Layout, arrays: list[Any], chunk: Chunk, pixels: NDArray[Any]) -> None:
    """Store the pixels (h, w) of a chunk. Nothing is stored of zeros, which zarr would find out more slowly."""
    if not is_zero(pixels):
        arrays[chunk.level][layout.index(chunk.level, chunk.plane, chunk.channel, chunk.window)] = pixels


def shrink_chunk(layout: Layout, arrays: list[Any], chunk: Chunk) -> None:
    """Store a chunk of a smaller level, made of that above it."""
    level, window = chunk.level - 1, chunk.window
    if layout.picks is None:
        size = layout.sizes[level]
        above = tuple(slice(2 * part.start, min(2 * part.stop, end)) for part, end in zip(window, size, strict=True))
        index = layout.index(level, chunk.plane, chunk.channel, above)
    else:
        pick = layout.picks[level]
        rows, columns = pick.rows[window[0]], pick.columns[window[1]]
        above = tuple(slice(int(each[0]), int(each[-1]) + 1) for each in (rows, columns))
        index = layout.index(level, int(pick.planes[chunk.plane]), chunk.channel, above)
    if not _is_stored(arrays[level], index):
        return
    pixels = np.asarray(arrays[level][index])
    pixels = halve(pixels) if layout.picks is None else pixels[np.ix_(rows - rows[0], columns - columns[0])]
    store_chunk(layout, arrays, chunk, pixels)


def _is_stored(array: Any, index: Sequence[int | slice]) -> bool:
    """Return whether any chunk of a part of an array is stored; asking zarr for zeros takes far longer."""
    spans = [
        range(at.start // step, (at.stop - 1) // step + 1) if isinstance(at, slice) else range(at, at + 1)
        for at, step in zip(index, array.chunks, strict=True)
    ]
    folder = array.store.root / array.path
    return any((folder / array.metadata.encode_chunk_key(chunk)).exists() for chunk in product(*spans))


def is_stored(array: Any, index: Sequence[int | slice]) -> bool:
    """Return whether any chunk of a part of an array in a folder is stored; the others are zeros.

    zarr finds that out too, in a millisecond for each chunk, of which a slide may have a hundred thousand.
    """
    folder = array.store_path.store.root / array.store_path.path
    numbers = (
        (one // step,) if isinstance(one, int) else range(one.start // step, -(-one.stop // step))
        for one, step in zip(index, array.chunks, strict=True)
    )
    return any((folder / array.metadata.encode_chunk_key(place)).is_file() for place in product(*numbers))


def _pieces_of(layout: Layout, level: int) -> Iterator[Piece]:
    whole = tuple(slice(0, length) for length in layout.sizes[level])
    chunks = layout.spec.channels * sum(1 for _ in _tiles(whole, CHUNK))
    planes = layout.planes(level)
    if chunks <= PIECE_CHUNKS:
        step = PIECE_CHUNKS // chunks
        for first in range(0, planes, step):
            yield Piece(level, range(first, min(first + step, planes)), whole)
        return
    side = CHUNK * max(1, isqrt(PIECE_CHUNKS // layout.spec.channels))
    for plane in range(planes):
        for window in _tiles(whole, side):
            yield Piece(level, range(plane, plane + 1), window)


def _tiles(window: Window, side: int) -> Iterator[Window]:
    """Yield a window in squares, from left to right and from the top down."""
    yield from product(
        *([slice(at, min(at + side, part.stop)) for at in range(part.start, part.stop, side)] for part in window)
    )
