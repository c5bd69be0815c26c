"""Blocks of work on the chunks of a file: which chunks a block writes alone, and which it shares with others.

    cuts of blocks    |            |          |
    chunks            +-----+-----+-----+-----+-----+
    cells             |  direct   |shared|... shared, direct ...

Along each axis the chunks that lie in one block alone are a direct span, and each chunk that blocks share is a span by
itself. Cells are all combinations of a span of each axis. A cell that is direct along every axis is written by its
block; any other waits until all of its blocks are there, for example a row of chunks below one block and above another.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from math import prod

from unetkit.io.base.contracts import Window
from unetkit.io.base.windows import common

Index = tuple[int, ...]
"""Number of a block or a cell along each axis."""


@dataclass(frozen=True)
class _Span:
    """Chunks along one axis that the same blocks write.

    Attributes:
        start: First pixel.
        stop: End.
        first: First of the blocks that share it.
        last: Last of them.
    """

    start: int
    stop: int
    first: int
    last: int


class Cells:
    """The cells of an item: windows of whole chunks that cover it exactly once.

    Args:
        size: Pixels along each axis.
        cuts: Where blocks start along each axis: rising, the first at 0.
        chunk: Pixels of a chunk along each axis.

    Raises:
        ValueError: The cuts do not rise from 0 within the item.
    """

    def __init__(self, size: Sequence[int], cuts: Sequence[Sequence[int]], chunk: Sequence[int]) -> None:
        self._edges: list[list[int]] = []
        self._spans: list[list[_Span]] = []
        for length, starts, step in zip(size, cuts, chunk, strict=True):
            edges = [*starts, length]
            if edges[0] or any(stop <= start for start, stop in pairwise(edges)):
                raise ValueError(f"Blocks that start at {list(starts)} do not cover {length} pixels.")
            self._edges.append(edges)
            self._spans.append(list(_spans(edges, step)))

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return prod(len(edges) - 1 for edges in self._edges)

    def block_indices(self) -> Iterator[Index]:
        """Yield all blocks, those at the top first."""
        yield from product(*(range(len(edges) - 1) for edges in self._edges))

    def block_window(self, block: Index) -> Window:
        """Return where a block lies."""
        return tuple(slice(edges[i], edges[i + 1]) for edges, i in zip(self._edges, block, strict=True))

    def direct(self, block: Index) -> Window | None:
        """Return the window of chunks that lie in a block alone; None if there is none."""
        parts = []
        for axis, i in enumerate(block):
            own = [span for span in self._of_block(axis, i).values() if span.first == span.last]
            if not own:
                return None
            parts.append(slice(own[0].start, own[0].stop))
        return tuple(parts)

    def shared_parts(self, block: Index) -> list[tuple[Index, Window]]:
        """Return the shared cells that a block is part of, and the window of its part of each."""
        whole = self.block_window(block)
        cells = product(*(self._of_block(axis, i) for axis, i in enumerate(block)))
        return [(cell, common(self.cell_window(cell), whole)) for cell in cells if self.is_shared(cell)]

    def shared_cells(self) -> Iterator[Index]:
        """Yield all shared cells, those at the top first."""
        yield from filter(self.is_shared, product(*(range(len(spans)) for spans in self._spans)))

    def is_shared(self, cell: Index) -> bool:
        """Return whether several blocks share a cell."""
        return any(span.first < span.last for span in self._of_cell(cell))

    def cell_window(self, cell: Index) -> Window:
        """Return where a cell lies: whole chunks."""
        return tuple(slice(span.start, span.stop) for span in self._of_cell(cell))

    def contributors(self, cell: Index) -> list[Index]:
        """Return the blocks that share a cell."""
        return list(product(*(range(span.first, span.last + 1) for span in self._of_cell(cell))))

    def _of_cell(self, cell: Index) -> list[_Span]:
        return [spans[i] for spans, i in zip(self._spans, cell, strict=True)]

    def _of_block(self, axis: int, block: int) -> dict[int, _Span]:
        """Return the spans of an axis that a block is part of, by their numbers."""
        spans, edges = self._spans[axis], self._edges[axis]
        number = bisect_right(spans, edges[block], key=lambda span: span.start) - 1
        found = {}
        while number < len(spans) and spans[number].start < edges[block + 1]:
            found[number] = spans[number]
            number += 1
        return found


def _spans(edges: list[int], step: int) -> Iterator[_Span]:
    """Yield the spans of an axis from its start to its end."""
    start, length = 0, edges[-1]
    while start < length:
        block = bisect_right(edges, start) - 1
        stop = length if edges[block + 1] == length else edges[block + 1] // step * step
        if stop > start:
            yield _Span(start, stop, block, block)
        else:
            stop = min(start + step, length)
            yield _Span(start, stop, block, bisect_right(edges, stop - 1) - 1)
        start = stop
