"""An image in levels of resolution: those of its file, and those between and above them, made as they are looked at.

    file    1/1 ........ read from the file
    halved  1/2 ........ made of the level before it, each time
    kept    1/4, 1/8 ... made of the level before it once, and kept in a temporary file

Nothing is made before it is asked for. A part of a kept level asks for four parts of the level before it, and so on
down to the file; each is made once, so an overview reads each pixel of the file once, in pieces of bounded size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import ceil
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.contracts import ImageSource, Window
from unetkit.viewing.halving import Halve
from unetkit.viewing.once import KeyLocks
from unetkit.viewing.scratch_blocks import ScratchBlocks

Wanted = Callable[[], bool]
"""Whether somebody still waits for the pixels."""

SMALLEST_LEVEL = 512
"""Levels are halved as long as the larger side is longer than this."""

LARGEST_GAP = 2.9
"""Largest factor between neighbouring levels that is left as it is."""

BLOCK = 256
"""Side of a block that is kept, in pixels."""

BAND_ROWS = 64
"""Rows of a block of a file that is read by whole rows: such a block is as wide as the level."""


class NotWantedError(Exception):
    """Nobody waits for the pixels any more."""


class Level(Protocol):
    """An image at one resolution."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""

    @property
    def scale(self) -> tuple[float, float]:
        """Height and width of a pixel, in pixels of the full resolution."""

    def read(self, plane: int, window: Window, wanted: Wanted) -> NDArray[Any]:
        """Return pixels (C, h, w) of a window inside one plane; they are not to be changed.

        Raises:
            ImageError: The file cannot be read.
            OutputError: The temporary file cannot be written.
            NotWantedError: Nobody waits for them any more.
        """


class FileLevel:
    """A level that is stored in a file.

    Args:
        source: The image at this level.
        scale: See `Level`.
        convert: Changes pixels to what the screen can show.
    """

    def __init__(
        self, source: ImageSource, scale: tuple[float, float], convert: Callable[[NDArray[Any]], NDArray[Any]]
    ) -> None:
        self.size = (source.info.height, source.info.width)
        self.scale = scale
        self._source = source
        self._convert = convert

    def read(self, plane: int, window: Window, wanted: Wanted) -> NDArray[Any]:
        """Return pixels (C, h, w), see `Level`."""
        if not wanted():
            raise NotWantedError
        return self._convert(self._source.read(plane, window))


class HalvedLevel:
    """A level of half the resolution of another, made each time that it is read."""

    def __init__(self, finer: Level, halve: Halve) -> None:
        self.size = (ceil(finer.size[0] / 2), ceil(finer.size[1] / 2))
        self.scale = (finer.scale[0] * 2, finer.scale[1] * 2)
        self._finer = finer
        self._halve = halve

    def read(self, plane: int, window: Window, wanted: Wanted) -> NDArray[Any]:
        """Return pixels (C, h, w), see `Level`."""
        doubled = tuple(
            slice(2 * part.start, min(2 * part.stop, length))
            for part, length in zip(window, self._finer.size, strict=True)
        )
        return self._halve(self._finer.read(plane, doubled, wanted))


class KeptLevel:
    """A level of half the resolution of another. Each block of it is made once and kept.

    Args:
        finer: The other level.
        halve: What makes the one of the other.
        block: Height and width of a block.
        kept: Where blocks are kept.
    """

    def __init__(self, finer: Level, halve: Halve, block: tuple[int, int], kept: ScratchBlocks) -> None:
        self._made = HalvedLevel(finer, halve)
        self.size, self.scale = self._made.size, self._made.scale
        self._block = block
        self._kept = kept
        self._locks = KeyLocks()

    def read(self, plane: int, window: Window, wanted: Wanted) -> NDArray[Any]:
        """Return pixels (C, h, w), see `Level`."""
        rows, columns = window
        high, wide = self._block
        pixels: NDArray[Any] | None = None
        for top in range(rows.start // high * high, rows.stop, high):
            for left in range(columns.start // wide * wide, columns.stop, wide):
                block = self._read_block(plane, top, left, wanted)
                if pixels is None:
                    shape = (len(block), rows.stop - rows.start, columns.stop - columns.start)
                    pixels = np.empty(shape, block.dtype)
                y, x = max(top, rows.start), max(left, columns.start)
                part = block[:, y - top : rows.stop - top, x - left : columns.stop - left]
                y, x = y - rows.start, x - columns.start
                pixels[:, y : y + part.shape[1], x : x + part.shape[2]] = part
        if pixels is None:
            raise ValueError(f"The window {window} is empty.")
        return pixels

    def _read_block(self, plane: int, top: int, left: int, wanted: Wanted) -> NDArray[Any]:
        key = (self.scale, plane, top, left)
        with self._locks.hold(key):
            block = self._kept.get(key)
            if block is None:
                rows = slice(top, min(top + self._block[0], self.size[0]))
                columns = slice(left, min(left + self._block[1], self.size[1]))
                block = self._made.read(plane, (rows, columns), wanted)
                self._kept.put(key, block)
        return block


def complete(files: Sequence[Level], halve: Halve, kept: ScratchBlocks, *, by_rows: bool) -> list[Level]:
    """Return the levels of a file and those that are missing between and above them, the finest first.

    Args:
        files: The levels of the file, the finest first.
        halve: What makes a level of the one before it.
        kept: Where the blocks of levels are kept.
        by_rows: Whether the file is read by whole rows, as one in strips is.
    """
    levels: list[Level] = []
    for i, level in enumerate(files):
        levels.append(level)
        following = files[i + 1] if i + 1 < len(files) else None
        levels += _made_after(level, following, halve, kept, by_rows=by_rows)
    return levels


def _made_after(
    level: Level, following: Level | None, halve: Halve, kept: ScratchBlocks, *, by_rows: bool
) -> Iterable[Level]:
    """Yield the levels that are made of a level of a file, up to the next one of it."""
    made: Level = level
    while _is_gap(made, following):
        if made is level:
            made = HalvedLevel(level, halve)
        else:
            width = ceil(made.size[1] / 2)
            made = KeptLevel(made, halve, (BAND_ROWS, width) if by_rows else (BLOCK, BLOCK), kept)
        yield made


def _is_gap(level: Level, following: Level | None) -> bool:
    """Return whether a level is missing between two, or above the last one."""
    if following is None:
        return max(level.size) > SMALLEST_LEVEL
    return max(following.scale[0] / level.scale[0], following.scale[1] / level.scale[1]) > LARGEST_GAP
