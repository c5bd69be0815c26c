"""Tiles of a TIFF, encoded in threads and handed on in the order in which the file's pages need them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from unetkit.io.levels import Band

ENCODING_THREADS = 2

WAITING_BYTES = 2**25
"""Pixels that wait for the encoding threads at most."""

INTEGER_LEVEL = 2
FLOAT_LEVEL = 1
"""Levels of zlib-ng. Of masks, 2 makes two thirds of the file that 1 makes, as small as zlib's 1 at twice its speed."""


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
        bands: What is written, each as high as a tile or, at the bottom of a plane, less.
        tiles: Height and width of the tiles of each level.
        folder: Where the scratch file is made.
    """

    def __init__(self, bands: Iterable[Band], tiles: list[tuple[int, int]], folder: Path) -> None:
        self._bands = bands
        self._tiles = tiles
        self._places: dict[Page, list[tuple[int, int]]] = {}
        self._scratch = TemporaryFile(dir=folder)  # noqa: SIM115
        self._scratch_end = 0
        self._pool = ThreadPoolExecutor(ENCODING_THREADS, thread_name_prefix="unetkit-encoder")

    def __enter__(self) -> TilePages:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        with suppress(OSError):  # what a full disk did not take is not needed any more
            self._scratch.close()

    def first(self) -> Iterator[bytes]:
        """Yield the tiles of full resolution: channel after channel, plane after plane."""
        plane = 0
        for page, tile in self._encoded():
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

    def _encoded(self) -> Iterator[tuple[Page, bytes]]:
        """Yield tiles in the order of the bands, as many ahead of the one that is taken as may wait."""
        waiting: deque[tuple[Page, Future[bytes], int]] = deque()
        waiting_bytes = 0
        for band in self._bands:
            for page, pixels in self._cut(band):
                waiting.append((page, self._pool.submit(encode_tile, pixels, self._tiles[page.level]), pixels.nbytes))
                waiting_bytes += pixels.nbytes
                while waiting_bytes > WAITING_BYTES and len(waiting) > ENCODING_THREADS:
                    done, future, size = waiting.popleft()
                    waiting_bytes -= size
                    yield done, future.result()
        for page, future, _ in waiting:
            yield page, future.result()

    def _cut(self, band: Band) -> Iterator[tuple[Page, NDArray[Any]]]:
        """Yield the part of a band that lies in each tile, (h, w)."""
        width = self._tiles[band.level][1]
        for channel, pixels in enumerate(band.pixels):
            for left in range(0, pixels.shape[1], width):
                yield Page(band.level, band.plane, channel), pixels[:, left : left + width]


def encode_tile(pixels: NDArray[Any], shape: tuple[int, int]) -> bytes:
    """Return pixels (h, w) as a deflated, little-endian tile of `shape`, with zeros where there are none."""
    if pixels.shape != shape:
        part, pixels = pixels, np.zeros(shape, pixels.dtype)
        pixels[: part.shape[0], : part.shape[1]] = part
    data = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes()
    level = FLOAT_LEVEL if pixels.dtype.kind == "f" else INTEGER_LEVEL
    zeros, encoded_zeros = _zeros(len(data), level)
    return encoded_zeros if data == zeros else _deflate(data, level)


@lru_cache(maxsize=8)
def _zeros(size: int, level: int) -> tuple[bytes, bytes]:
    """Return a tile of nothing but zeros, of which most outputs have many, and what it is encoded as."""
    return bytes(size), _deflate(bytes(size), level)


def _deflate(data: bytes, level: int) -> bytes:
    return bytes(imagecodecs.zlibng_encode(data, level=level))
