"""Rows of an output regrouped into bands of equal height, and halved again and again for viewers.

Masks and labels are halved by taking the upper left of every 2 x 2 pixels: no value appears that was not there, no
class is preferred, and the share of each stays the same on average. (With the largest value, foreground would grow from
level to level until it fills the overview; with the majority, thin membranes and small nuclei would vanish.) What has a
fraction, that is probabilities, becomes the mean of the 2 x 2.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.contracts import OutputSpec

SMALLEST_LEVEL = 512
"""A level is halved as long as its larger side is longer than this."""


@dataclass(frozen=True)
class Band:
    """Neighbouring rows of one plane at one level.

    Attributes:
        level: 0 for full resolution, 1 for half of it, ...
        plane: Number of the plane.
        top: Row of the level at which the band starts.
        pixels: (channels, h, width of the level).
    """

    level: int
    plane: int
    top: int
    pixels: NDArray[Any]


@dataclass(frozen=True)
class Block:
    """The part of one channel of a band that a file stores as a unit: a tile or a chunk.

    Attributes:
        band: What it was cut from.
        channel: Number of the channel.
        left: Column of the level at which the block starts.
        pixels: (h, w).
    """

    band: Band
    channel: int
    left: int
    pixels: NDArray[Any]

    @property
    def nbytes(self) -> int:
        """Size of the pixels."""
        return self.pixels.nbytes


def level_sizes(spec: OutputSpec) -> list[tuple[int, int]]:
    """Return height and width of each level, from full resolution down; one level unless a pyramid is asked for.

    >>> level_sizes(OutputSpec((1025, 600), np.dtype("uint8"), pyramid=True))
    [(1025, 600), (513, 300), (257, 150)]
    """
    sizes = [(spec.height, spec.width)]
    while spec.pyramid and max(sizes[-1]) > SMALLEST_LEVEL:
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return sizes


def halve(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return pixels (..., h, w) at half the resolution: the mean of 2 x 2 floats, or the upper left of other values.

    An odd row or column at the end is halved with itself.

    >>> halve(np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]]))
    array([[1, 3],
           [7, 9]])
    >>> halve(np.array([[1, 2, 3], [5, 4, 5]], np.float32))
    array([[3., 4.]], dtype=float32)
    """
    corner = pixels[..., ::2, ::2]
    if pixels.dtype.kind != "f":
        return corner
    if pixels.shape[-2] % 2:
        pixels = np.concatenate([pixels, pixels[..., -1:, :]], axis=-2)
    if pixels.shape[-1] % 2:
        pixels = np.concatenate([pixels, pixels[..., -1:]], axis=-1)
    upper = pixels[..., ::2, ::2] + pixels[..., ::2, 1::2]
    lower = pixels[..., 1::2, ::2] + pixels[..., 1::2, 1::2]
    mean: NDArray[Any] = (upper + lower) * pixels.dtype.type(0.25)
    return mean


def cut_bands(spec: OutputSpec, rows: Iterable[NDArray[Any]], height: int) -> Generator[Band, None, None]:
    """Regroup rows into bands, level by level, buffering no more than one band of each level.

    Args:
        spec: What `rows` are; `spec.pyramid` decides whether there are levels beyond the first.
        rows: As given to `ImageSink.write`.
        height: Height of a band, even; at the bottom of a plane it may be less.

    Yields:
        The bands of each level from the top of a plane to its bottom, plane after plane; the levels alternate.

    Raises:
        ValueError: There are more or fewer rows than `spec` says, or they are of another kind.
    """
    levels = [_Level(number, size, height) for number, size in enumerate(level_sizes(spec))]
    for block in rows:
        if levels[0].plane == spec.planes:
            raise ValueError(f"There are more rows than the {spec.planes} planes of {spec.height} have.")
        if (block.shape[0], block.shape[2], block.dtype) != (spec.channels, spec.width, spec.dtype):
            raise ValueError(f"Rows of {block.dtype} have the shape {block.shape}, which does not fit {spec}.")
        yield from _add(levels, block)
        del block  # as wide as the image: it should be gone before the next is made
    if levels[0].plane < spec.planes:
        raise ValueError(f"The rows ended in plane {levels[0].plane} of {spec.planes}, at row {levels[0].row}.")


@dataclass(frozen=True)
class Pick:
    """Which pixels of the level above a smaller level consists of, where levels are not just halved.

    Attributes:
        planes: (P,) numbers of planes, rising.
        rows: (h,) numbers of rows, rising.
        columns: (w,) numbers of columns, rising.
    """

    planes: NDArray[np.intp]
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]


def cut_picked_bands(
    spec: OutputSpec, rows: Iterable[NDArray[Any]], height: int, picks: Sequence[Pick]
) -> Generator[Band, None, None]:
    """Regroup rows into bands as `cut_bands` does, with smaller levels that are picked pixel by pixel.

    Args:
        spec: What `rows` are.
        rows: As given to `ImageSink.write`.
        height: Height of a band.
        picks: One for each level beyond the first.
    """
    levels = [_Level(number, (len(pick.rows), len(pick.columns)), height) for number, pick in enumerate(picks, 1)]
    for band in cut_bands(replace(spec, pyramid=False), rows, height):
        yield band
        yield from _pick(levels, picks, band)
        del band


def cut_blocks(bands: Iterable[Band], width: int) -> Iterator[Block]:
    """Cut each channel of each band into blocks of a width, from left to right."""
    for band in bands:
        for channel, pixels in enumerate(band.pixels):
            for left in range(0, pixels.shape[1], width):
                yield Block(band, channel, left, pixels[:, left : left + width])
        del band, pixels  # gone before the next is made


def _add(levels: list[_Level], block: NDArray[Any]) -> Iterator[Band]:
    """Add rows to the first of the levels, and half of what fills a band there to the next."""
    for band in levels[0].add(block):
        yield band
        if len(levels) > 1:  # bands have an even height, so pairs of rows are never parted
            yield from _add(levels[1:], halve(band.pixels))


def _pick(levels: Sequence[_Level], picks: Sequence[Pick], band: Band) -> Iterator[Band]:
    """Yield the bands of smaller levels that are full with what is picked of a band of the level above them."""
    if not levels or band.plane not in picks[0].planes:
        return
    first, last = np.searchsorted(picks[0].rows, [band.top, band.top + band.pixels.shape[1]])
    if first == last:
        return
    part = band.pixels[:, picks[0].rows[first:last] - band.top][:, :, picks[0].columns]
    for smaller in levels[0].add(part):
        yield smaller
        yield from _pick(levels[1:], picks[1:], smaller)


NOTHING: NDArray[Any] = np.empty((0, 0, 0))


class _Level:
    """The rows of one level that wait until a band is full.

    Attributes:
        plane: Number of whole planes that were added.
        row: Number of rows that were added of the plane after these.
    """

    def __init__(self, number: int, size: tuple[int, int], band_height: int) -> None:
        self.plane = 0
        self.row = 0
        self._number = number
        self._height = size[0]
        self._band_height = band_height
        self._pixels = NOTHING

    def add(self, block: NDArray[Any]) -> Iterator[Band]:
        """Yield the bands that are full with `block`; what lies in it as a whole is not copied."""
        start = 0
        while start < block.shape[1]:
            filled = self.row % self._band_height
            top = self.row - filled
            needed = min(self._band_height, self._height - top)
            part = block[:, start : start + needed - filled]
            start += part.shape[1]
            self.row += part.shape[1]
            if part.shape[1] == needed:
                self._pixels = part
            else:
                if filled == 0:
                    self._pixels = np.empty((block.shape[0], needed, block.shape[2]), block.dtype)
                self._pixels[:, filled : filled + part.shape[1]] = part
            if self.row - top < needed:
                return
            band, self._pixels = Band(self._number, self.plane, top, self._pixels), NOTHING
            self.plane, self.row = (self.plane + 1, 0) if self.row == self._height else (self.plane, self.row)
            yield band
