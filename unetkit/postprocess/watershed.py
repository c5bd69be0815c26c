"""Watershed of the distance map of one tile, which separates touching objects.

Every foreground pixel has a distance. From each pixel a path goes to the neighbour with the largest distance, until no
neighbour has a larger one. The pixels whose paths end at the same peak are one region (the watershed as catchment
basins of steepest descent, Cousty et al. 2009, "Watershed cuts", IEEE TPAMI 31, inverted). Only neighbours decide on a
path, so the regions do not depend on the tiles.

Two regions that touch are joined unless the saddle between them is deep enough below the lower peak (its persistence;
Chazal et al. 2013, "Persistence-based clustering in Riemannian manifolds", Journal of the ACM 60): `joining_saddle` of
`Method`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from unetkit.postprocess.parts import LARGEST_DISTANCE, STAY, Edges, Ints, Part, highest_edges, join_edges

DistanceMap = Callable[[NDArray[np.uint8]], Ints]
"""Makes the distance map (H, W) of a window (C, H, W): 0 in the background, 1 to `LARGEST_DISTANCE` elsewhere."""

RING = 1
"""Pixels around a tile whose distances decide on its regions: one step to each neighbour."""

STEP_OFFSETS = [(1 - step // 3, 1 - step % 3) for step in range(9)]
"""(dy, dx) of each step.

Of neighbours with the same distance, the first in raster order has the largest step, and wins.
"""


def find_regions(window: NDArray[np.uint8], rows: slice, columns: slice, *, distance_map: DistanceMap) -> Part:
    """Find the watershed regions of a tile, and the steps that lead out of it.

    Args:
        window: (C, H, W): the mask, 0 for background, then the other channels that `distance_map` needs. It is the
            tile with its margin.
        rows: Rows of the tile.
        columns: Columns of the tile.
        distance_map: Gives the distance of each pixel.
    """
    shape = rows.stop - rows.start, columns.stop - columns.start
    if not window[0, rows, columns].any():
        empty = np.zeros(shape, np.int32)
        return Part(empty, empty, np.full(shape, STAY, np.int32), np.zeros(0, np.int32), join_edges([]))
    ring = _tile_with_ring(distance_map(window), rows, columns)
    distances = np.ascontiguousarray(ring[1:-1, 1:-1])
    steps = _steps(ring)
    groups, peaks = _climb(distances, steps)
    groups, peaks, edges = _join_plateaus(groups, peaks, _edges(groups, distances))
    return Part(groups, distances, steps, peaks, edges)


def _tile_with_ring(distances: Ints, rows: slice, columns: slice) -> Ints:
    """Return the tile and one pixel around it, with zeros beyond the window."""
    ring = np.zeros((rows.stop - rows.start + 2, columns.stop - columns.start + 2), np.int32)
    top, left = min(rows.start, 1), min(columns.start, 1)
    inside = distances[rows.start - top : rows.stop + 1, columns.start - left : columns.stop + 1]
    ring[1 - top : 1 - top + inside.shape[0], 1 - left : 1 - left + inside.shape[1]] = inside
    return ring


def _steps(ring: Ints) -> Ints:
    """Return the step from each pixel inside the ring to the largest distance among itself and its neighbours."""
    height, width = ring.shape[0] - 2, ring.shape[1] - 2
    keys = ring << 4
    best = keys[1:-1, 1:-1] + STAY
    for step, (dy, dx) in enumerate(STEP_OFFSETS):
        np.maximum(best, keys[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width] + step, out=best)
    best &= 15
    return best


def _climb(distances: Ints, steps: Ints) -> tuple[Ints, Ints]:
    """Follow the steps to a peak or to the last pixel within the tile; return the groups and their peaks."""
    height, width = distances.shape
    steps = steps.copy()
    for border, towards in ((steps[0], 1), (steps[-1], -1)):
        border[np.array([dy for dy, _ in STEP_OFFSETS])[border] == -towards] = STAY
    for border, towards in ((steps[:, 0], 1), (steps[:, -1], -1)):
        border[np.array([dx for _, dx in STEP_OFFSETS])[border] == -towards] = STAY
    pixels = np.flatnonzero(distances)
    moves = np.array([dy * width + dx for dy, dx in STEP_OFFSETS], np.int32)
    goals = pixels.astype(np.int32) + moves[steps.ravel()[pixels]]
    goal_of = np.empty(height * width, np.int32)
    while True:  # each round doubles the length of the paths
        goal_of[pixels] = goals
        farther = goal_of[goals]
        if np.array_equal(farther, goals):
            break
        goals = farther
    ends = pixels[goals == pixels]
    goal_of[ends] = np.arange(1, len(ends) + 1)
    groups = np.zeros((height, width), np.int32)
    groups.ravel()[pixels] = goal_of[goals]
    return groups, distances.ravel()[ends]


def _edges(groups: Ints, distances: Ints) -> Edges:
    """Return the edges between the groups of a tile."""
    found = []
    here, after, all_ = slice(None, -1), slice(1, None), slice(None)
    for one, other in (
        ((all_, here), (all_, after)),
        ((here, all_), (after, all_)),
        ((here, here), (after, after)),
        ((here, after), (after, here)),
    ):
        meet = (groups[one] != groups[other]) & (distances[one] > 0) & (distances[other] > 0)
        saddle = np.minimum(distances[one][meet], distances[other][meet]).astype(np.int64)
        found.append(Edges(groups[one][meet].astype(np.int64) - 1, groups[other][meet].astype(np.int64) - 1, saddle))
    return highest_edges(join_edges(found))


def _join_plateaus(groups: Ints, peaks: Ints, edges: Edges) -> tuple[Ints, Ints, Edges]:
    """Join the groups that touch at the largest distance, so that a tile in a large object has few groups."""
    plateau = edges.saddle >= LARGEST_DISTANCE
    if not plateau.any():
        return groups, peaks, edges
    links = edges[plateau]
    ones = np.ones(len(links.first), np.int8)
    count, joined = connected_components(coo_array((ones, (links.first, links.second)), shape=(len(peaks), len(peaks))))
    joined_peaks = np.zeros(count, np.int32)
    np.maximum.at(joined_peaks, joined, peaks)
    joined = joined.astype(np.int64)
    edges = highest_edges(Edges(joined[edges.first], joined[edges.second], edges.saddle))
    groups = np.insert(joined + 1, 0, 0).astype(np.int32)[groups]
    return groups, joined_peaks, edges
