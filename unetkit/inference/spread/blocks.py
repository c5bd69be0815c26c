"""The blocks of a large image, of which each is the work of one task: rectangles of whole tiles.

Tiles are those of the whole image, so a pixel is predicted from the same window whatever the blocks are. A block is
whole rows of tiles, or about as long along each axis, whichever reads less of the image twice: what lies around a block
is read again by its neighbours, as whole tiles or strips of the file. Long edges also share more chunks of an output.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import ceil, prod

from unetkit.inference.tiling.grid import TileBlock, TileGrid
from unetkit.io.base.contracts import Window

Index = tuple[int, ...]
"""Number of a block along each axis."""

BLOCK_PIXELS = {"cpu": 1 << 24, "mps": 1 << 25, "cuda": 1 << 27}
"""Pixels of a block, by kind of device: seconds of work."""

SMALLEST_BLOCK = 1 << 20
"""Pixels of the blocks of an image that shall keep many workers busy, at least."""

BLOCKS_FOR_EACH_WORKER = 4
"""Blocks of an image that is alone, for each worker, so that none waits long for the last."""


@dataclass(frozen=True)
class BlockPlace:
    """A block, by the numbers of its tiles: what is sent to a worker.

    Attributes:
        item: Number of the item.
        index: Number of the block along each axis.
        tiles: Number of the first tile, and of that after the last one, along each axis.
    """

    item: int
    index: Index
    tiles: tuple[tuple[int, int], ...]

    @property
    def name(self) -> str:
        """The name of the block in the journal of a run."""
        return f"block {self.item} {' '.join(map(str, self.index))}"


@dataclass(frozen=True)
class Blocks:
    """The blocks of all items of an image.

    Attributes:
        grid: The tiles of each item.
        items: Number of items.
        cuts: Number of the first tile of each block along each axis, and at the end the number of tiles.
        together: Items that are one task, where an item is one block.
    """

    grid: TileGrid
    items: int
    cuts: tuple[tuple[int, ...], ...]
    together: int = 1

    @property
    def each(self) -> int:
        """Number of blocks of an item."""
        return prod(len(cuts) - 1 for cuts in self.cuts)

    def __len__(self) -> int:
        return self.each * self.items

    @property
    def largest(self) -> int:
        """Pixels of the first block, which is about as large as any."""
        return self.block(next(self.of_item(0))).pixels

    def tasks(self) -> Iterator[tuple[BlockPlace, ...]]:
        """Yield the blocks of each task: one, or several items."""
        if self.each > 1:
            yield from ((place,) for item in range(self.items) for place in self.of_item(item))
            return
        for first in range(0, self.items, self.together):
            items = range(first, min(first + self.together, self.items))
            yield tuple(place for item in items for place in self.of_item(item))

    def of_item(self, item: int) -> Iterator[BlockPlace]:
        """Yield the blocks of an item; the last axis changes fastest."""
        for index in product(*(range(len(cuts) - 1) for cuts in self.cuts)):
            tiles = tuple((cuts[i], cuts[i + 1]) for cuts, i in zip(self.cuts, index, strict=True))
            yield BlockPlace(item, index, tiles)

    def block(self, place: BlockPlace) -> TileBlock:
        """Return the tiles of a block."""
        return self.grid.cut(place.item, place.tiles)

    def window(self, place: BlockPlace) -> Window:
        """Return what a block covers of its item."""
        return self.block(place).window

    @cached_property
    def starts(self) -> list[tuple[int, ...]]:
        """The first pixel of each block along each axis."""
        return [
            tuple(spans[cut].core_start for cut in cuts[:-1])
            for spans, cuts in zip(self.grid.spans, self.cuts, strict=True)
        ]

    def sharing(self, window: Window) -> list[Index]:
        """Return the blocks of an item that share a pixel with a window."""
        numbers = [
            range(bisect_right(starts, part.start) - 1, bisect_left(starts, part.stop))
            for starts, part in zip(self.starts, window, strict=True)
        ]
        return [*product(*numbers)]

    def windows(self, indices: Iterable[Index]) -> list[Window]:
        """Return what blocks cover of their item."""
        edges = [(*starts, size) for starts, size in zip(self.starts, self.grid.size, strict=True)]
        return [
            tuple(slice(along[i], along[i + 1]) for along, i in zip(edges, index, strict=True)) for index in indices
        ]


def cut_blocks(grid: TileGrid, items: int, pixels: int, batch: int, unit: Sequence[int]) -> Blocks:
    """Cut the tiles of each item into blocks.

    Args:
        grid: The tiles of each item.
        items: Number of items.
        pixels: Pixels of a block; it may be fewer, and is more where a single tile is.
        batch: Tiles that go through a network together. Cuts keep to it, so that the same tiles do as without blocks.
        unit: Pixels along each axis that the file decodes at once, see `ImageInfo.block`.
    """
    shapes = [_rows(grid, pixels), _even(grid, pixels)]
    shape = min(shapes, key=lambda tiles: _reading(grid, tiles, unit))
    cuts = [
        _cut(len(spans), most, batch if axis == len(grid.spans) - 1 else 1)
        for axis, (spans, most) in enumerate(zip(grid.spans, shape, strict=True))
    ]
    together = 1
    if all(len(each) == 2 for each in cuts):
        together = max(pixels // prod(grid.size), 1)
        together = max(together // batch * batch, min(batch, items), 1)
    return Blocks(grid, items, tuple(cuts), together)


def _cores(grid: TileGrid) -> list[int]:
    """Return how many pixels a tile keeps along each axis, about."""
    return [max(length // len(spans), 1) for length, spans in zip(grid.size, grid.spans, strict=True)]


def _rows(grid: TileGrid, pixels: int) -> list[int]:
    """Return the tiles of a block along each axis, if blocks are rows of tiles, or parts of one row."""
    shape: list[int] = []
    thick = 1  # pixels of a block along the axes before this one
    for axis, core in enumerate(_cores(grid)):
        most = max(pixels // (thick * core * prod(grid.size[axis + 1 :])), 1)
        shape.append(min(most, len(grid.spans[axis])))
        thick *= core * shape[-1]
    return shape


def _even(grid: TileGrid, pixels: int) -> list[int]:
    """Return the tiles of a block along each axis, if blocks are about as long along each."""
    shape = [1] * len(grid.spans)
    cores, room = _cores(grid), float(pixels)
    by_length = sorted(range(len(shape)), key=lambda axis: grid.size[axis])
    for done, axis in enumerate(by_length):  # what a short axis leaves is for the longer ones
        side = room ** (1 / (len(shape) - done))
        shape[axis] = min(max(int(side / cores[axis]), 1), len(grid.spans[axis]))
        room /= cores[axis] * shape[axis]
    return shape


def _reading(grid: TileGrid, shape: Sequence[int], unit: Sequence[int]) -> float:
    """Return how many pixels are decoded for each that is predicted, about: a block, its halo, and whole pieces."""
    share = 1.0
    for axis, (core, tiles) in enumerate(zip(_cores(grid), shape, strict=True)):
        length = core * tiles
        read = length + grid.window[axis] - core + max(unit[axis] - 1, 0)
        share *= min(read, grid.size[axis]) / length
    return share


def block_pixels(device: str, pixels: int, images: int, workers: int) -> int:
    """Return the pixels of the blocks of an image.

    Args:
        device: Kind of device.
        pixels: Pixels of the image.
        images: Number of images of the run.
        workers: Number of workers.
    """
    usual = BLOCK_PIXELS[device]
    if images >= BLOCKS_FOR_EACH_WORKER * workers:
        return usual
    return min(usual, max(pixels // (BLOCKS_FOR_EACH_WORKER * workers), SMALLEST_BLOCK))


def _cut(tiles: int, most: int, batch: int) -> tuple[int, ...]:
    """Cut tiles along an axis into parts of about equal size.

    The first and the last tile, whose kept part is another, are no part of a batch with those between them.
    """
    if most >= tiles:
        return 0, tiles
    if batch > 1:
        most = max(most // batch * batch, batch)
        return tuple(dict.fromkeys((0, *range(1 + most, tiles - 1, most), tiles)))
    parts = ceil(tiles / most)
    return tuple(tiles * part // parts for part in range(parts + 1))
