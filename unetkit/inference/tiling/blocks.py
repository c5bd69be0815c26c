"""The blocks of tiles in which an item is predicted, one after the other, on one machine.

A plane is one block: its bands are rows of tiles, as wide as the plane. A volume is cut so that a band does not grow
with the planes: its blocks are one tile deep, and hold as many tiles beside each other as there is memory for.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import prod

from unetkit.inference.tiling.grid import TileBlock, TileGrid, TileSpan

BAND_BYTES = 2**25
"""Most bytes of a band of a volume, unless a single tile is larger."""


def cut_item(grid: TileGrid, item: int, value_bytes: int) -> list[TileBlock]:
    """Return the blocks of an item, in the order in which they are predicted: the first axis changes slowest.

    Args:
        grid: Its tiles.
        item: Its number.
        value_bytes: Bytes of what is predicted of a pixel.
    """
    if len(grid.size) == 2:
        return [grid.whole(item)]
    return [
        TileBlock(item, grid, ((span,), *others))
        for span in grid.bands
        for others in _cross_sections(grid, value_bytes)
    ]


def largest_cross_section(grid: TileGrid, value_bytes: int) -> int:
    """Return the pixels of the largest block of an item in a plane across its first axis.

    Args:
        grid: The tiles of the item.
        value_bytes: Bytes of what is predicted of a pixel.
    """
    if len(grid.size) == 2:
        return grid.size[1]
    return max(prod(map(_length, spans)) for spans in _cross_sections(grid, value_bytes))


def _cross_sections(grid: TileGrid, value_bytes: int) -> Iterator[tuple[tuple[TileSpan, ...], ...]]:
    """Yield the tiles of each block along all axes but the first: as many as possible along the last."""
    _, *axes = grid.spans
    depth = max(span.core_stop - span.core_start for span in grid.bands)
    free = BAND_BYTES / (depth * value_bytes)
    groups: list[list[tuple[TileSpan, ...]]] = []
    for number in range(len(axes) - 1, -1, -1):
        smallest = prod(max(_length((span,)) for span in spans) for spans in axes[:number])
        largest = max(_length((span,)) for span in axes[number])
        count = max(int(free / smallest / largest), 1)
        parts = [axes[number][i : i + count] for i in range(0, len(axes[number]), count)]
        groups.insert(0, parts)
        free /= max(map(_length, parts))
    return product(*groups)


def _length(spans: tuple[TileSpan, ...]) -> int:
    return spans[-1].core_stop - spans[0].core_start
