"""Exact outlines of objects: closed rings along the edges of their pixels.

A pixel (x, y) covers [x, x + 1] x [y, y + 1]. A ring is a list of corners, where the outline turns; between two corners
it follows edges of pixels. Filled again, by the rule of the pixel's centre, rings give the very same pixels.

How an outline is found, for all objects of a batch at once:

1. Each run has an edge at its left end and one at its right end, one pixel high. Where a run begins or ends below
   another that begins or ends at the same column, the two edges are one: their common point is no corner.
2. Corners on a line of the pixel grid, sorted by column, are the ends of horizontal edges: first and second, third and
   fourth, and so on. Corners on a column, sorted by line, are in the same way the ends of vertical edges.
3. So each corner has one horizontal and one vertical edge, and following them in turn gives the rings.

Where two pixels touch only diagonally, two corners lie on one point, and their order decides the turn. Pixels of
different pieces (4-connected) are kept apart, so that each piece has a ring of its own. Pixels of one piece are joined,
so that background between them is a hole of its own, and no ring meets itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, depth_first_order

from unetkit.foundation.errors import DataError
from unetkit.objects.collector import Objects
from unetkit.objects.runs import Runs

PORTION_RUNS = 1 << 16
"""Runs that are worked on together: what is made of them fits into the processor's cache."""

MOST_RUNS = 1 << 23
"""Runs that one object may have: outlining it takes about 400 bytes for each."""

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Outlines:
    """Outlines of N objects.

    An object has at least one piece; a piece is an outer ring and its holes. Seen as numbers (y upwards) outer rings
    run counter-clockwise and holes clockwise, as RFC 7946 asks for; on the screen (y downwards) it is the other way
    round.

    Attributes:
        points: (P, 2) int32 corners (x, y), ring after ring. Each ring ends with its first corner.
        rings: (K + 1,) where each ring begins in `points`, and P.
        pieces: (M + 1,) where each piece begins in `rings` (its outer ring; its holes follow), and K.
        objects: (N + 1,) where each object begins in `pieces`, and M.
    """

    points: NDArray[np.int32]
    rings: NDArray[np.intp]
    pieces: NDArray[np.intp]
    objects: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.objects) - 1


def portions(objects: Objects) -> Iterator[tuple[slice, Objects]]:
    """Divide a batch into parts that are worked on quickly: yield where each lies, and the part.

    Raises:
        DataError: An object has more runs than memory holds the outline of.
    """
    first, runs = objects.first, objects.runs
    largest = int(np.diff(first).argmax())
    if first[largest + 1] - first[largest] > MOST_RUNS:
        raise DataError(
            f"The outline of object {objects.labels[largest]} is too long for one object.",
            "If the labels are a mask, number its connected parts first (`unetkit export --connected` does).",
        )
    corner_bits = (4 * PORTION_RUNS).bit_length()
    most = 1 << max(62 - _bits(runs.stops) - max(_bits(runs.rows), corner_bits), 0)  # what one number can tell apart
    start = 0
    while start < len(objects):
        stop = int(np.searchsorted(first, first[start] + PORTION_RUNS, side="right")) - 1
        stop = min(max(stop, start + 1), start + most)
        part = slice(start, stop)
        inside = slice(int(first[start]), int(first[stop]))
        yield part, Objects(objects.plane, objects.labels[part], first[start : stop + 1] - first[start], runs[inside])
        start = stop


def trace_outlines(objects: Objects) -> Outlines:
    """Return the outlines of some objects; see `portions` for the number of them that is quick."""
    grid = _Grid(objects)
    owner, y, x, left = grid.corners()
    count = len(x)
    place = np.arange(count)
    bits = max(count - 1, 1).bit_length()
    column = ((owner << grid.x_bits | x) << 1 | left) << bits | place
    column.sort()
    ends = (column & ((1 << bits) - 1)).reshape(-1, 2)  # each vertical edge: its upper and its lower corner
    upward = left[ends[:, 0]] == 1
    begin = np.where(upward, ends[:, 1], ends[:, 0])
    end = np.where(upward, ends[:, 0], ends[:, 1])
    edge_at = np.empty(count, np.int32)
    edge_at[begin] = np.arange(len(begin), dtype=np.int32)
    following = edge_at[end ^ 1]  # the corner at the other end of the horizontal edge
    rings = _Rings(following)
    first = ends[rings.first, 0]
    outer = left[first] == 1  # leftmost edges: of an outer ring the object is right of it, of a hole left of it
    order = _by_piece(grid, owner[first], y[first], x[first], outer)
    edges, lengths = rings.walk(order)
    outer = outer[order]
    number = np.repeat(np.arange(len(order)), lengths)
    at = 2 * np.arange(len(edges)) + number
    starts = np.concatenate([[0], np.cumsum(2 * lengths + 1)])
    points = np.empty((int(starts[-1]), 2), np.int32)
    for step, corner in enumerate((begin[edges], end[edges])):
        points[at + step, 0] = x[corner]
        points[at + step, 1] = y[corner] + grid.top
    points[starts[1:] - 1] = points[starts[:-1]]
    pieces = np.flatnonzero(outer)
    whose = owner[first][order][pieces]
    return Outlines(
        points,
        starts,
        np.append(pieces, len(order)),
        np.searchsorted(whose, np.arange(len(objects) + 1)),
    )


class _Grid:
    """Corners of objects, and the runs that lie at them.

    A place on the pixel grid is one number, so that places are sorted and found quickly: owner, line and column.
    """

    def __init__(self, objects: Objects) -> None:
        self.runs = objects.runs
        self.top = int(self.runs.rows.min())
        self.owners: Numbers = objects.owners.astype(np.int64)
        self.x_bits = _bits(self.runs.stops)
        self.y_bits = int(self.runs.rows.max() - self.top + 1).bit_length()

    def places(self, owners: Numbers, y: Numbers, x: NDArray[Any]) -> Numbers:
        """Return the number of each place, given the line from the top and the column."""
        found: Numbers = (owners << self.y_bits | y) << self.x_bits | x
        return found

    def corners(self) -> tuple[Numbers, Numbers, Numbers, Numbers]:
        """Return owner, y from the top, x and side (1 for left ends of runs) of all corners, sorted in this order.

        Two corners on one point are sorted so that first and second, third and fourth end a horizontal edge.
        """
        rows = self.runs.rows - np.int64(self.top)
        upper = np.empty((len(rows), 2), np.int64)
        upper[:, 0] = self.places(self.owners, rows, self.runs.starts) << 1 | 1
        upper[:, 1] = self.places(self.owners, rows, self.runs.stops) << 1
        ends = np.concatenate([upper.ravel(), upper.ravel() + (2 << self.x_bits)])
        ends.sort(kind="stable")  # which merges two sorted lists quickly
        twice = ends[1:] == ends[:-1]
        kept = np.ones(len(ends), np.bool_)
        kept[1:] &= ~twice
        kept[:-1] &= ~twice
        ends = ends[kept]
        place, left = ends >> 1, ends & 1
        x = place & ((1 << self.x_bits) - 1)
        line = place >> self.x_bits
        y, owner = line & ((1 << self.y_bits) - 1), line >> self.y_bits
        double = np.flatnonzero(place[1:] == place[:-1])
        if len(double):
            pieces = _Pieces(self, np.unique(owner[double]))
            above = pieces.at(owner[double], y[double] - 1, x[double])
            below = pieces.at(owner[double], y[double], x[double])
            joined = double[above == below]
            left[joined], left[joined + 1] = 1, 0
        return owner, y, x, left


class _Pieces:
    """Which runs of some objects are connected along edges of pixels."""

    def __init__(self, grid: _Grid, owners: Numbers) -> None:
        chosen = np.isin(grid.owners, owners)
        runs: Runs = grid.runs[chosen]
        self._grid = grid
        whose, rows = grid.owners[chosen], runs.rows - np.int64(grid.top)
        self._starts = grid.places(whose, rows, runs.starts)
        self._stops = grid.places(whose, rows, runs.stops)
        below = np.int64(1) << grid.x_bits
        first = np.searchsorted(self._stops, self._starts + below, side="right")
        last = np.searchsorted(self._starts, self._stops + below, side="left")
        touched = np.concatenate([[0], np.cumsum(last - first)])
        others = np.arange(touched[-1]) + np.repeat(first - touched[:-1], last - first)
        graph = csr_array((np.ones(len(others), np.int8), others, touched), shape=(len(runs), len(runs)))
        self._piece: NDArray[np.int32] = connected_components(graph, directed=True, connection="weak")[1]

    def at(self, owners: Numbers, y: Numbers, x: Numbers) -> NDArray[np.int32]:
        """Return the piece of the run of a row that begins or ends at x."""
        place = self._grid.places(owners, y, x)
        begins = np.minimum(np.searchsorted(self._starts, place), len(self._starts) - 1)
        ends = np.minimum(np.searchsorted(self._stops, place), len(self._stops) - 1)
        return self._piece[np.where(self._starts[begins] == place, begins, ends)]


class _Rings:
    """Closed rings of edges, each of which names the one that follows it.

    Attributes:
        first: (K,) the first edge of each ring, ascending.
    """

    def __init__(self, following: NDArray[np.int32]) -> None:
        self._following = following
        count, ring = connected_components(_graph(following), directed=True, connection="strong")
        first = np.empty(count, np.intp)
        first[ring[::-1]] = np.arange(len(ring))[::-1]
        order = np.argsort(first)
        self.first: NDArray[np.intp] = first[order]
        self._lengths = np.bincount(ring, minlength=count)[order]

    def walk(self, order: NDArray[np.intp]) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
        """Return all edges, ring after ring in an order, and the number of edges of each ring."""
        first = self.first[order]
        before = np.empty_like(self._following)
        before[self._following] = np.arange(len(before), dtype=before.dtype)
        chain = self._following.copy()
        chain[before[first[:-1]]] = first[1:]
        edges: NDArray[np.int32] = depth_first_order(_graph(chain), first[0], return_predecessors=False)
        return edges, self._lengths[order]


def _graph(following: NDArray[np.int32]) -> csr_array:
    count = len(following)
    indices = np.arange(count + 1, dtype=np.int32)
    return csr_array((np.ones(count), following, indices), shape=(count, count))


def _by_piece(grid: _Grid, owner: Numbers, y: Numbers, x: Numbers, outer: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the order of rings in which the holes of each piece follow its outer ring.

    Args:
        grid: The corners.
        owner: (K,) the object of each ring, ascending.
        y: (K,) the upper end of the leftmost edge of the ring, from the top.
        x: (K,) its column.
        outer: (K,) whether it is an outer ring.
    """
    piece = np.cumsum(outer) - 1  # right where an object has one piece: its outer ring is the leftmost
    pieces_of, holes_of = np.bincount(owner, outer), np.bincount(owner, ~outer)
    mixed = np.flatnonzero((pieces_of > 1) & (holes_of > 0))
    if not len(mixed):
        return np.arange(len(owner))
    chosen = np.flatnonzero(np.isin(owner, mixed))
    found = _Pieces(grid, mixed).at(owner[chosen], y[chosen], x[chosen])
    of_found = np.empty(found.max() + 1, piece.dtype)
    shells = outer[chosen]
    of_found[found[shells]] = piece[chosen[shells]]
    piece[chosen] = of_found[found]
    return np.argsort(piece, kind="stable")


def _bits(values: NDArray[np.int32]) -> int:
    """Return the number of bits that hold values and the number after them."""
    return (int(values.max()) + 1).bit_length()
