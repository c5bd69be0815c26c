"""Tiles of a TIFF, encoded in threads and handed on in the order in which the file's pages need them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from math import ceil
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from unetkit.io.levels import Band, Block, cut_blocks
from unetkit.io.workers import Workers

TILE = 512
TILE_STEP = 16
"""Heights and widths of tiles in TIFF are multiples of this."""


class Page(NamedTuple):
    """One page of a file: a channel of a plane at a level."""

    level: int
    plane: int
    channel: int


class TilePages:
    """Encoded tiles page by page, made from bands that come with all channels, and with the levels alternating.

    The tiles of the first channel at full resolution pass straight through. Those of the other pages, whose turn is
    later, wait in a scratch file beside the output, which has no name and vanishes with the process.

    Args:
        bands: What is written, each TILE rows high or, at the bottom of a plane, less.
        sizes: Height and width of each level.
        folder: Where the scratch file is made.
    """

    def __init__(self, bands: Iterable[Band], sizes: list[tuple[int, int]], folder: Path) -> None:
        self._bands = bands
        self._sizes = sizes
        self._places: dict[Page, list[tuple[int, int]]] = {}
        self._scratch = TemporaryFile(dir=folder)  # noqa: SIM115
        self._scratch_end = 0
        self._workers = Workers()

    def __enter__(self) -> TilePages:
        return self

    def __exit__(self, *_: object) -> None:
        self._workers.__exit__()
        with suppress(OSError):  # what a full disk did not take is not needed any more
            self._scratch.close()

    def first(self) -> Iterator[bytes]:
        """Yield the tiles of full resolution: channel after channel, plane after plane."""
        plane = 0
        for page, tile in self._workers.map(self._encode, cut_blocks(self._bands, TILE)):
            if page.level == 0 and page.plane > plane:
                yield from self._stored(0, plane)
                plane = page.plane
            if page.level == page.channel == 0:
                yield tile
            else:
                self._places.setdefault(page, []).append((self._scratch_end, len(tile)))
                self._scratch_end += self._scratch.write(tile)
        yield from self._stored(0, plane)

    def level(self, level: int, planes: int) -> Iterator[bytes]:
        """Yield the tiles of another level in the same order; those of `first` have to be taken before."""
        for plane in range(planes):
            yield from self._stored(level, plane)

    def _stored(self, level: int, plane: int) -> Iterator[bytes]:
        """Yield the tiles of a plane at a level that wait in the scratch file."""
        for page in sorted(page for page in self._places if page[:2] == (level, plane)):
            for start, size in self._places.pop(page):
                self._scratch.seek(start)
                yield self._scratch.read(size)
        self._scratch.seek(self._scratch_end)

    def _encode(self, block: Block) -> tuple[Page, bytes]:
        band = block.band
        shape = (tile_size(self._sizes[band.level][0]), tile_size(self._sizes[band.level][1]))
        return Page(band.level, band.plane, block.channel), encode_tile(block.pixels, shape)


def tile_size(pixels: int) -> int:
    """Return the height or width of the tiles of a page that has so many rows or columns."""
    return min(TILE, ceil(pixels / TILE_STEP) * TILE_STEP)


def encode_tile(pixels: NDArray[Any], shape: tuple[int, int]) -> bytes:
    """Return pixels (h, w) as a deflated, little-endian tile of `shape`, with zeros where there are none."""
    if pixels.shape != shape:
        part, pixels = pixels, np.zeros(shape, pixels.dtype)
        pixels[: part.shape[0], : part.shape[1]] = part
    data = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes()
    zeros, encoded_zeros = _zeros(len(data))
    return encoded_zeros if data == zeros else _deflate(data, pixels.dtype.kind == "f")


@lru_cache(maxsize=8)
def _zeros(size: int) -> tuple[bytes, bytes]:
    """Return a tile of nothing but zeros, of which most outputs have many, and what it is encoded as."""
    return bytes(size), _deflate(bytes(size))


def _deflate(data: bytes, fractions: bool = False) -> bytes:
    """Compress for zlib's readers, never to more than what is stored as it is.

    Masks and labels by zlib-ng's level 2, which makes as small a file as zlib's 1 at twice its speed. Fractions hardly
    shrink: libdeflate is the faster one there, and zlib-ng's level 1 would make them larger than they are.
    """
    encode = imagecodecs.deflate_encode if fractions else imagecodecs.zlibng_encode
    return bytes(encode(data, level=1 if fractions else 2))
