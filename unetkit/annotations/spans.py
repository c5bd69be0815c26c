"""Which pixels polygons cover, exactly: runs along rows, of all polygons at once.

A pixel is inside a polygon if its centre is, by the even-odd rule. A centre on an edge belongs to what lies to the
right of the edge, and on a horizontal edge to what lies below it. Thus polygons that share an edge share no pixel and
leave none out, whichever way round they were drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST_CROSSINGS = 2**22
"""How many crossings of edges and rows are handled at a time: about 500 MB."""

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Edges:
    """The edges of rings, each from its upper end to its lower one, so that neighbours compute the same.

    Attributes:
        upper: (n, 2) x and y of the upper ends.
        lower: (n, 2) x and y of the lower ends.
        down: (n,) whether the ring goes from the upper end to the lower one.
        ring: (n,) number of the ring.
    """

    upper: NDArray[np.float64]
    lower: NDArray[np.float64]
    down: NDArray[np.bool_]
    ring: Ints

    def some(self, which: NDArray[np.bool_]) -> Edges:
        """Return those edges for which (n,) is True."""
        return Edges(self.upper[which], self.lower[which], self.down[which], self.ring[which])


class Spans(NamedTuple):
    """Runs of pixels along rows, in the order of their owners.

    Attributes:
        owner: (n,) number of what each belongs to.
        row: (n,) its row.
        start: (n,) its first column.
        stop: (n,) the column after its last one.
    """

    owner: Ints
    row: Ints
    start: Ints
    stop: Ints


class Box(NamedTuple):
    """A rectangle of pixels: its first row and column, and those after its last ones."""

    top: int
    bottom: int
    left: int
    right: int


class Crossings(NamedTuple):
    """Where rings cross the middle of rows: their inside begins or ends at a column.

    Attributes:
        ring: (n,) number of the ring.
        row: (n,) the row.
        column: (n,) the first column whose centre is not left of the crossing.
        down: (n,) direction of the ring.
    """

    ring: Ints
    row: Ints
    column: Ints
    down: NDArray[np.bool_]


def edges_of(rings: Sequence[NDArray[np.float64]], box: Box) -> Edges:
    """Return the edges of rings (n, 2), which are closed here, that may cross the middle of a row of a box."""
    sizes = np.array([len(one) for one in rings], np.int64)
    points = np.concatenate([np.zeros((0, 2)), *rings])
    bounds = np.cumsum(sizes)
    following = np.arange(1, len(points) + 1)
    following[bounds[sizes > 0] - 1] = (bounds - sizes)[sizes > 0]
    y = points[:, 1]
    other = y[following]
    met = np.flatnonzero((np.minimum(y, other) < box.bottom) & (np.maximum(y, other) > box.top) & (y != other))
    begins, ends = points[met], points[following[met]]
    down = (ends[:, 1] > begins[:, 1])[:, np.newaxis]
    ring = np.searchsorted(bounds, met, side="right")
    return Edges(np.where(down, begins, ends), np.where(down, ends, begins), down[:, 0], ring)


def find_crossings(edges: Edges, box: Box) -> Iterator[tuple[Crossings, Box]]:
    """Yield the crossings with the rows of a box, and the rows: some at a time, from the top to the bottom."""
    first = np.clip(np.ceil(edges.upper[:, 1] - 0.5), box.top, box.bottom).astype(np.int64)
    count = np.clip(np.ceil(edges.lower[:, 1] - 0.5), box.top, box.bottom).astype(np.int64) - first
    crossing = count > 0
    edges, first, count = edges.some(crossing), first[crossing], count[crossing]
    total = int(count.sum())
    if total > MOST_CROSSINGS and box.bottom - box.top > 1:
        middle = (box.top + box.bottom) // 2
        yield from find_crossings(edges, box._replace(bottom=middle))
        yield from find_crossings(edges, box._replace(top=middle))
        return
    which = np.repeat(np.arange(len(count)), count)
    row = np.arange(total) - np.repeat(np.cumsum(count) - count - first, count)
    upper, lower = edges.upper[which], edges.lower[which]
    # Multiplied first, so that corners and halves of whole numbers are met exactly.
    x = upper[:, 0] + (row + 0.5 - upper[:, 1]) * (lower[:, 0] - upper[:, 0]) / (lower[:, 1] - upper[:, 1])
    column = np.clip(np.ceil(x - 0.5), box.left, box.right).astype(np.int64)
    yield Crossings(edges.ring[which], row, column, edges.down[which]), box


def fill(found: Crossings, owners: Ints, box: Box) -> Spans:
    """Return the pixels that are inside, by the even-odd rule over all rings of an owner.

    Args:
        found: The crossings of whole rows.
        owners: (rings,) number of the owner of each ring.
        box: The box that the crossings are of.
    """
    wide = box.right - box.left + 1
    keys = (owners[found.ring] * (box.bottom - box.top) + found.row - box.top) * wide + found.column - box.left
    keys.sort()
    line, start = np.divmod(keys[0::2], wide)
    stop = start + keys[1::2] - keys[0::2]
    some = stop > start
    owner, row = np.divmod(line[some], box.bottom - box.top)
    return Spans(owner, row + box.top, start[some] + box.left, stop[some] + box.left)


def windings(found: Crossings, box: Box) -> tuple[Ints, Ints]:
    """Return rings and how often each winds around some of its pixels: 1 or -1 throughout, unless it crosses itself."""
    wide = box.right - box.left + 1
    keys = (found.ring * (box.bottom - box.top) + found.row - box.top) * wide + found.column - box.left
    order = np.argsort(keys, kind="stable")
    winding = np.cumsum(np.where(found.down[order], 1, -1))  # each row of a ring adds up to 0
    keys = keys[order]
    some = np.flatnonzero((winding[:-1] != 0) & (keys[1:] > keys[:-1]))
    return keys[some] // (wide * (box.bottom - box.top)), winding[some]
