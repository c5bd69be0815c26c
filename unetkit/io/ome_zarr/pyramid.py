"""The smaller levels of an OME-Zarr, made chunk by chunk of the level above."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.contracts import Piece, Window
from unetkit.io.ome_zarr.layout import Layout
from unetkit.io.writing.compression import is_zero
from unetkit.io.writing.rechunk import halve

PIECE_CHUNKS = 16
"""Chunks of a piece of a level at most, each made of 4 chunks (of volumes up to 8) of the level above: of planes, 64
megapixels."""


@dataclass(frozen=True)
class Chunk:
    """A chunk of one level.

    Attributes:
        plane: Number of the item.
        channel: Number of the channel.
        window: Where it lies in the item at its level.
        level: Number of the level.
        nbytes: Size of the pixels of the level above that it is made of.
    """

    plane: int
    channel: int
    window: Window
    level: int = 0
    nbytes: int = 0


def chunks_of(layout: Layout, plane: int, window: Window, level: int = 0) -> Iterator[Chunk]:
    """Yield the chunks of a window that starts at one of them."""
    spec = layout.spec
    nbytes = 2 ** len(window) * prod(layout.chunk) * spec.dtype.itemsize
    for channel in range(spec.channels):
        for part in _tiles(window, layout.chunk):
            yield Chunk(plane, channel, part, level, nbytes)


def chunks_of_piece(layout: Layout, piece: Piece) -> Iterator[Chunk]:
    """Yield the chunks of a piece."""
    for plane in piece.items:
        yield from chunks_of(layout, plane, piece.window, piece.level)


def level_pieces(layout: Layout) -> list[list[Piece]]:
    """Return the pieces of each smaller level: parts of a large item, or some small items, of about the same work."""
    return [list(_pieces_of(layout, level)) for level in range(1, len(layout.sizes))]


def store_chunk(layout: Layout, arrays: list[Any], chunk: Chunk, pixels: NDArray[Any]) -> None:
    """Store the pixels of a chunk. Nothing is stored of zeros, which zarr would find out more slowly."""
    if not is_zero(pixels):
        arrays[chunk.level][layout.index(chunk.level, chunk.plane, chunk.channel, chunk.window)] = pixels


def shrink_chunk(layout: Layout, arrays: list[Any], chunk: Chunk) -> None:
    """Store a chunk of a smaller level, made of that above it."""
    level, window = chunk.level - 1, chunk.window
    if layout.picks is None:
        factors, plane = layout.factors[level], chunk.plane
        above = tuple(
            slice(by * part.start, min(by * part.stop, end))
            for part, by, end in zip(window, factors, layout.sizes[level], strict=True)
        )
    else:
        pick = layout.picks[level]
        plane = int(pick.planes[chunk.plane])
        places = [each[part] for each, part in zip(pick.places, window, strict=True)]
        above = tuple(slice(int(each[0]), int(each[-1]) + 1) for each in places)
    index = layout.index(level, plane, chunk.channel, above)
    if not is_stored(arrays[level], index):
        return
    pixels = np.asarray(arrays[level][index])
    pixels = halve(pixels, factors) if layout.picks is None else pixels[np.ix_(*(each - each[0] for each in places))]
    store_chunk(layout, arrays, chunk, pixels)


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
    chunks = layout.spec.channels * sum(1 for _ in _tiles(whole, layout.chunk))
    planes = layout.planes(level)
    if chunks <= PIECE_CHUNKS:
        step = PIECE_CHUNKS // chunks
        for first in range(0, planes, step):
            yield Piece(level, range(first, min(first + step, planes)), whole)
        return
    along = 1  # chunks of a piece along each axis
    while (along + 1) ** len(whole) * layout.spec.channels <= PIECE_CHUNKS:
        along += 1
    for plane in range(planes):
        for window in _tiles(whole, [along * step for step in layout.chunk]):
            yield Piece(level, range(plane, plane + 1), window)


def _tiles(window: Window, steps: Sequence[int]) -> Iterator[Window]:
    """Yield a window in boxes of a size, in C order."""
    yield from product(
        *(
            [slice(at, min(at + step, part.stop)) for at in range(part.start, part.stop, step)]
            for part, step in zip(window, steps, strict=True)
        )
    )
