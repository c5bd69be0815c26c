"""Hills of the foreground in one tile, by which touching objects are told apart.

Every foreground pixel has a height. From each pixel one climbs to the highest of its neighbours until none is higher:
the pixels from which one reaches the same summit are one hill (the watershed as catchment basins of steepest descent,
Cousty et al. 2009, "Watershed cuts", IEEE TPAMI 31, upside down). Which neighbour is the highest follows from the
pixels around: the hills do not depend on how an image is cut.

A hill is an object of its own only if the way down to the pass towards a higher one is long enough (its persistence;
Chazal et al. 2013, "Persistence-based clustering in Riemannian manifolds", Journal of the ACM 60): `joining_saddle` of
`Method`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from unetkit.postprocess.parts import FULL, STAY, Edges, Ints, Part, highest_edges, join_edges

HeightsOf = Callable[[NDArray[np.uint8]], Ints]
"""From a window (C, H, W) the height of each pixel, (H, W): 0 in the background, 1 to `FULL` in the foreground."""

RING = 1
"""Pixels around a tile whose heights decide on its hills: one step to a neighbour."""

OFFSETS = [(1 - step // 3, 1 - step % 3) for step in range(9)]
"""(dy, dx) of each step. Of equally high neighbours the first in raster order has the largest step, and wins."""


def find_basins(window: NDArray[np.uint8], rows: slice, columns: slice, *, heights_of: HeightsOf) -> Part:
    """Find the hills of a tile, and the ways over which one leaves it.

    Args:
        window: (C, H, W): the mask, 0 for background, and what else `heights_of` needs; the tile with its margin.
        rows: Rows of the tile.
        columns: Columns of the tile.
        heights_of: Gives the height of each pixel.
    """
    shape = rows.stop - rows.start, columns.stop - columns.start
    if not window[0, rows, columns].any():
        empty = np.zeros(shape, np.int32)
        return Part(empty, empty, np.full(shape, STAY, np.int32), np.zeros(0, np.int32), join_edges([]))
    ring = _tile_with_ring(heights_of(window), rows, columns)
    heights = np.ascontiguousarray(ring[1:-1, 1:-1])
    steps = _steps(ring)
    groups, peaks = _climb(heights, steps)
    groups, peaks, edges = _join_plains(groups, peaks, _edges(groups, heights))
    return Part(groups, heights, steps, peaks, edges)


def _tile_with_ring(heights: Ints, rows: slice, columns: slice) -> Ints:
    """Return the tile and one pixel around it, with zeros beyond the window."""
    ring = np.zeros((rows.stop - rows.start + 2, columns.stop - columns.start + 2), np.int32)
    top, left = min(rows.start, 1), min(columns.start, 1)
    inside = heights[rows.start - top : rows.stop + 1, columns.start - left : columns.stop + 1]
    ring[1 - top : 1 - top + inside.shape[0], 1 - left : 1 - left + inside.shape[1]] = inside
    return ring


def _steps(ring: Ints) -> Ints:
    """Return the step from each pixel inside the ring to the highest pixel among itself and its neighbours."""
    height, width = ring.shape[0] - 2, ring.shape[1] - 2
    keys = ring << 4
    best = keys[1:-1, 1:-1] + STAY
    for step, (dy, dx) in enumerate(OFFSETS):
        np.maximum(best, keys[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width] + step, out=best)
    best &= 15
    return best


def _climb(heights: Ints, steps: Ints) -> tuple[Ints, Ints]:
    """Follow the steps up to a summit or the last pixel within the tile; return the groups and their peaks."""
    height, width = heights.shape
    steps = steps.copy()
    for border, towards in ((steps[0], 1), (steps[-1], -1)):
        border[np.array([dy for dy, _ in OFFSETS])[border] == -towards] = STAY
    for border, towards in ((steps[:, 0], 1), (steps[:, -1], -1)):
        border[np.array([dx for _, dx in OFFSETS])[border] == -towards] = STAY
    pixels = np.flatnonzero(heights)
    moves = np.array([dy * width + dx for dy, dx in OFFSETS], np.int32)
    goals = pixels.astype(np.int32) + moves[steps.ravel()[pixels]]
    goal_of = np.empty(height * width, np.int32)
    while True:  # each round doubles the way that is looked ahead
        goal_of[pixels] = goals
        farther = goal_of[goals]
        if np.array_equal(farther, goals):
            break
        goals = farther
    summits = pixels[goals == pixels]
    goal_of[summits] = np.arange(1, len(summits) + 1)
    groups = np.zeros((height, width), np.int32)
    groups.ravel()[pixels] = goal_of[goals]
    return groups, heights.ravel()[summits]


def _edges(groups: Ints, heights: Ints) -> Edges:
    """Return the edges between the groups of a tile."""
    found = []
    here, after, all_ = slice(None, -1), slice(1, None), slice(None)
    for one, other in (
        ((all_, here), (all_, after)),
        ((here, all_), (after, all_)),
        ((here, here), (after, after)),
        ((here, after), (after, here)),
    ):
        meet = (groups[one] != groups[other]) & (heights[one] > 0) & (heights[other] > 0)
        saddle = np.minimum(heights[one][meet], heights[other][meet]).astype(np.int64)
        found.append(Edges(groups[one][meet].astype(np.int64) - 1, groups[other][meet].astype(np.int64) - 1, saddle))
    return highest_edges(join_edges(found))


def _join_plains(groups: Ints, peaks: Ints, edges: Edges) -> tuple[Ints, Ints, Edges]:
    """Make one group of those that touch at full height, so that a tile in a large object has few."""
    plain = edges.saddle >= FULL
    if not plain.any():
        return groups, peaks, edges
    links = edges[plain]
    ones = np.ones(len(links.first), np.int8)
    count, joined = connected_components(coo_array((ones, (links.first, links.second)), shape=(len(peaks), len(peaks))))
    joined_peaks = np.zeros(count, np.int32)
    np.maximum.at(joined_peaks, joined, peaks)
    joined = joined.astype(np.int64)
    edges = highest_edges(Edges(joined[edges.first], joined[edges.second], edges.saddle))
    groups = np.insert(joined + 1, 0, 0).astype(np.int32)[groups]
    return groups, joined_peaks, edges
