"""Tiles or strips of a TIFF, encoded in threads and handed on in the order in which the file's pages need them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.contracts import OutputSpec
from unetkit.io.writing.rechunk import Band, Block, cut_blocks
from unetkit.io.writing.workers import Workers

TILE = 512
TILE_STEP = 16
"""Heights and widths of tiles in TIFF are multiples of this."""

SMALL_PIXELS = 2**24
"""Pages of as many pixels are stored in strips, which every program reads; of larger ones viewers want tiles."""

STRIP_BYTES = 2**18


@dataclass(frozen=True)
class Pieces:
    """How the pages of a file are stored.

    Attributes:
        tiled: Whether in tiles, rather than in strips as wide as the image.
        rows: Rows of a tile or strip, less at the bottom of a page or where all of it is smaller.
        columns: Columns of it.
        compression: "none", "deflate", "lzw" or "zstd".
    """

    tiled: bool
    rows: int
    columns: int
    compression: str

    def stored_shape(self, pixels: NDArray[Any], size: Sequence[int]) -> tuple[int, int]:
        """Return height and width of what is stored for a block of a page of a size: a tile is filled up with zeros."""
        if self.tiled:
            return tile_size(size[0]), tile_size(size[1])
        return int(pixels.shape[0]), int(pixels.shape[1])


def choose_pieces(spec: OutputSpec) -> Pieces:
    """Return how an output is stored: small images so that ImageJ can open them, large ones as viewers need them."""
    compression = "deflate" if spec.compression == "auto" else spec.compression
    large = spec.height * spec.width > SMALL_PIXELS
    if spec.pyramid or spec.layout == "tiles" or (spec.layout == "auto" and large):
        return Pieces(True, TILE, TILE, compression)
    rows = max(1, STRIP_BYTES // (spec.width * spec.dtype.itemsize))
    return Pieces(False, min(rows, spec.height), spec.width, compression)


class Page(NamedTuple):
    """One page of a file: a channel of a plane at a level."""

    level: int
    plane: int
    channel: int


class TilePages:
    """Encoded tiles or strips page by page, from bands that come with all channels, and with the levels alternating.

    Those of the first channel at full resolution pass straight through. The others, whose turn is later,
    wait in a scratch file beside the output, which has no name and vanishes with the process.

    Args:
        bands: What is written, each as high as a piece or, at the bottom of a plane, less.
        sizes: Height and width of each level.
        folder: Where the scratch file is made.
        pieces: How pages are stored.
    """

    def __init__(self, bands: Iterable[Band], sizes: Sequence[tuple[int, ...]], folder: Path, pieces: Pieces) -> None:
        self._bands = bands
        self._sizes = sizes
        self._pieces = pieces
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
        for page, tile in self._workers.map(self._encode, cut_blocks(self._bands, (self._pieces.columns,))):
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
        shape = self._pieces.stored_shape(block.pixels, self._sizes[band.level])
        return Page(band.level, band.plane, block.channel), encode_piece(block.pixels, shape, self._pieces.compression)


def tile_size(pixels: int) -> int:
    """Return the height or width of the tiles of a page that has so many rows or columns."""
    return min(TILE, ceil(pixels / TILE_STEP) * TILE_STEP)


def encode_piece(pixels: NDArray[Any], shape: tuple[int, int], compression: str = "deflate") -> bytes:
    """Return pixels (h, w) as a compressed, little-endian piece of `shape`, with zeros where there are none."""
    if pixels.shape != shape:
        part, pixels = pixels, np.zeros(shape, pixels.dtype)
        pixels[: part.shape[0], : part.shape[1]] = part
    data = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes()
    zeros, encoded_zeros = _zeros(len(data), compression)
    return encoded_zeros if data == zeros else ENCODERS[compression](data, pixels.dtype.kind == "f")


@lru_cache(maxsize=8)
def _zeros(size: int, compression: str) -> tuple[bytes, bytes]:
    """Return a piece of nothing but zeros, of which most outputs have many, and what it is encoded as."""
    return bytes(size), ENCODERS[compression](bytes(size), False)


def _deflate(data: bytes, fractions: bool) -> bytes:
    """Compress for zlib's readers, never to more than what is stored as it is.

    Masks and labels by zlib-ng's level 2, which makes as small a file as zlib's 1 at twice its speed. Fractions hardly
    shrink: libdeflate is the faster one there, and zlib-ng's level 1 would make them larger than they are.
    """
    encode = imagecodecs.deflate_encode if fractions else imagecodecs.zlibng_encode
    return bytes(encode(data, level=1 if fractions else 2))


ENCODERS: dict[str, Callable[[bytes, bool], bytes]] = {
    "none": lambda data, _: data,
    "deflate": _deflate,
    "lzw": lambda data, _: bytes(imagecodecs.lzw_encode(data)),
    "zstd": lambda data, _: bytes(imagecodecs.zstd_encode(data, level=1)),
}
"""What compresses bytes, and is told whether they are fractions, by the names of `Pieces.compression`."""
