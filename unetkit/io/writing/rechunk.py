"""Rows of an output regrouped into bands of equal height, and halved again and again for viewers.

Rows are those along the first axis of an item: lines of a plane, planes of a volume.

Masks and labels are halved by taking the upper left of every 2 x 2 pixels: no value appears that was not there, no
class is preferred, and the share of each stays the same on average. (With the largest value, foreground would grow from
level to level until it fills the overview; with the majority, thin membranes and small nuclei would vanish.) What has a
fraction, that is probabilities, becomes the mean of the 2 x 2. In a volume it is the same along three axes.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.contracts import OutputSpec, Window

SMALLEST_LEVEL = 512
"""A level is halved as long as its longest side is longer than this."""

NO_COARSER = 2**0.5
"""Depth is halved where its step is at most so many times the pixel size in the plane: then the voxels of the smaller
level are closer to cubes than without."""


@dataclass(frozen=True)
class Band:
    """Neighbouring rows of one item at one level.

    Attributes:
        level: 0 for full resolution, 1 for half of it, ...
        plane: Number of the item.
        top: Row of the level at which the band starts.
        pixels: (channels, h, sizes of the level along the other axes).
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
        window: Where it lies in the item at its level.
        pixels: (h, ...), one size for each axis of an item.
    """

    band: Band
    channel: int
    window: Window
    pixels: NDArray[Any]

    @property
    def nbytes(self) -> int:
        """Size of the pixels."""
        return self.pixels.nbytes


def level_sizes(spec: OutputSpec) -> list[tuple[int, ...]]:
    """Return the size of each level, from full resolution down; one level unless a pyramid is asked for.

    >>> level_sizes(OutputSpec((1025, 600), np.dtype("uint8"), pyramid=True))
    [(1025, 600), (513, 300), (257, 150)]
    >>> level_sizes(OutputSpec((40, 1025, 600), np.dtype("uint8"), pixel_size_um=(2, 1, 1), pyramid=True))
    [(40, 1025, 600), (40, 513, 300), (20, 257, 150)]
    """
    sizes = [spec.size]
    for factors in level_factors(spec):
        sizes.append(tuple(-(-length // factor) for length, factor in zip(sizes[-1], factors, strict=True)))
    return sizes


def level_factors(spec: OutputSpec) -> list[tuple[int, ...]]:
    """Return for each smaller level by what each axis of the level above it is divided: 1 or 2.

    Planes are always halved along both axes. Volumes are halved along z too, but not while it is coarser, as viewers
    expect it: so voxels come close to cubes.
    """
    size, found = spec.size, []
    steps = spec.pixel_size_um or (1.0,) * len(size)
    while spec.pyramid and max(size) > SMALLEST_LEVEL:
        *depth, y, x = steps
        factors = (*(2 if step <= NO_COARSER * max(y, x) else 1 for step in depth), 2, 2)
        size = tuple(-(-length // factor) for length, factor in zip(size, factors, strict=True))
        steps = tuple(step * factor for step, factor in zip(steps, factors, strict=True))
        found.append(factors)
    return found


def halve(pixels: NDArray[Any], factors: Sequence[int] = (2, 2)) -> NDArray[Any]:
    """Return pixels at half the resolution: the mean of the floats that become one, or the first of other values.

    What is odd at the end of an axis is halved with itself.

    Args:
        pixels: (..., one size for each of `factors`).
        factors: 2 for each of the last axes that is halved, 1 for one that is not.

    >>> halve(np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]]))
    array([[1, 3],
           [7, 9]])
    >>> halve(np.array([[1, 2, 3], [5, 4, 5]], np.float32))
    array([[3., 4.]], dtype=float32)
    """
    if pixels.dtype.kind != "f":
        every: Any = (..., *(slice(None, None, factor) for factor in factors))
        firsts: NDArray[Any] = pixels[every]
        return firsts
    for axis in range(-1, -1 - len(factors), -1):
        if factors[axis] > 1:
            pixels = _add_pairs(pixels, axis)
    mean: NDArray[Any] = pixels * pixels.dtype.type(1 / prod(factors))
    return mean


def _add_pairs(pixels: NDArray[Any], axis: int) -> NDArray[Any]:
    """Return the sums of neighbours along an axis, counted from the last; an odd one at the end is added to itself."""

    def every(part: slice) -> Any:
        return (..., part, *(slice(None),) * (-1 - axis))

    if pixels.shape[axis] % 2:
        pixels = np.concatenate([pixels, pixels[every(slice(-1, None))]], axis=axis)
    added: NDArray[Any] = pixels[every(slice(0, None, 2))] + pixels[every(slice(1, None, 2))]
    return added


def cut_bands(spec: OutputSpec, rows: Iterable[NDArray[Any]], height: int) -> Generator[Band, None, None]:
    """Regroup rows into bands, level by level, buffering no more than one band of each level.

    Args:
        spec: What `rows` are; `spec.pyramid` decides whether there are levels beyond the first.
        rows: As given to `ImageSink.write`.
        height: Height of a band, even unless it is that of the items; at the end of an item it may be less.

    Yields:
        The bands of each level from the start of an item to its end, item after item; the levels alternate.

    Raises:
        ValueError: There are more or fewer rows than `spec` says, or they are of another kind.
    """
    factors = level_factors(spec)
    levels = [_Level(number, size, height) for number, size in enumerate(level_sizes(spec))]
    for block in rows:
        if levels[0].plane == spec.planes:
            raise ValueError(f"There are more rows than the {spec.planes} planes of {spec.size[0]} have.")
        if (block.shape[0], *block.shape[2:]) != (spec.channels, *spec.size[1:]) or block.dtype != spec.dtype:
            raise ValueError(f"Rows of {block.dtype} have the shape {block.shape}, which does not fit {spec}.")
        yield from _add(levels, factors, block)
        del block  # as wide as the image: it should be gone before the next is made
    if levels[0].plane < spec.planes:
        raise ValueError(f"The rows ended in plane {levels[0].plane} of {spec.planes}, at row {levels[0].row}.")


@dataclass(frozen=True)
class Pick:
    """Which pixels of the level above a smaller level consists of, where levels are not just halved.

    Attributes:
        planes: (P,) numbers of items, rising.
        places: (n,) numbers of pixels, rising, for each axis of an item.
    """

    planes: NDArray[np.intp]
    places: tuple[NDArray[np.intp], ...]


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
    levels = [_Level(number, tuple(map(len, pick.places)), height) for number, pick in enumerate(picks, 1)]
    for band in cut_bands(replace(spec, pyramid=False), rows, height):
        yield band
        yield from _pick(levels, picks, band)
        del band


def cut_blocks(bands: Iterable[Band], steps: Sequence[int]) -> Iterator[Block]:
    """Cut each channel of each band into blocks, in C order.

    Args:
        bands: What is cut.
        steps: Size of a block along each axis of an item but the first, less at the end.
    """
    for band in bands:
        height, *lengths = band.pixels.shape[1:]
        down = slice(band.top, band.top + height)
        for channel, pixels in enumerate(band.pixels):
            for corner in product(*(range(0, length, step) for length, step in zip(lengths, steps, strict=True))):
                others = tuple(
                    slice(at, min(at + step, length)) for at, step, length in zip(corner, steps, lengths, strict=True)
                )
                yield Block(band, channel, (down, *others), pixels[(slice(None), *others)])
        del band, pixels  # gone before the next is made


def _add(levels: list[_Level], factors: list[tuple[int, ...]], block: NDArray[Any]) -> Iterator[Band]:
    """Add rows to the first of the levels, and half of what fills a band there to the next."""
    for band in levels[0].add(block):
        yield band
        if factors:  # bands have an even height, so pairs of rows are never parted
            yield from _add(levels[1:], factors[1:], halve(band.pixels, factors[0]))


def _pick(levels: Sequence[_Level], picks: Sequence[Pick], band: Band) -> Iterator[Band]:
    """Yield the bands of smaller levels that are full with what is picked of a band of the level above them."""
    if not levels or band.plane not in picks[0].planes:
        return
    rows, *others = picks[0].places
    first, last = np.searchsorted(rows, [band.top, band.top + band.pixels.shape[1]])
    if first == last:
        return
    part = band.pixels[:, rows[first:last] - band.top]
    for axis, places in enumerate(others, 2):
        part = part.take(places, axis)
    for smaller in levels[0].add(part):
        yield smaller
        yield from _pick(levels[1:], picks[1:], smaller)


NOTHING: NDArray[Any] = np.empty(0)


class _Level:
    """The rows of one level that wait until a band is full.

    Attributes:
        plane: Number of whole items that were added.
        row: Number of rows that were added of the item after these.
    """

    def __init__(self, number: int, size: Sequence[int], band_height: int) -> None:
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
                    self._pixels = np.empty((block.shape[0], needed, *block.shape[2:]), block.dtype)
                self._pixels[:, filled : filled + part.shape[1]] = part
            if self.row - top < needed:
                return
            band, self._pixels = Band(self._number, self.plane, top, self._pixels), NOTHING
            self.plane, self.row = (self.plane + 1, 0) if self.row == self._height else (self.plane, self.row)
            yield band
