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

from unetkit.postprocess.measures import SUMS, measure_groups, no_sums
from unetkit.postprocess.neighbours import forward, offsets, shifted
from unetkit.postprocess.parts import LARGEST_DISTANCE, Edges, Ints, Part, Window, highest_edges, join_edges, stay

DistanceMap = Callable[[NDArray[np.uint8]], Ints]
"""Makes the distance map of a window: (H, W) of (C, H, W), or (D, H, W) of (C, D, H, W).

It is 0 in the background, and 1 to `LARGEST_DISTANCE` elsewhere.
"""

RING = 1
"""Pixels around a tile whose distances decide on its regions: one step to each neighbour.

Of neighbours with the same distance, the first in raster order has the largest step, and wins.
"""


def find_regions(
    window: NDArray[np.uint8], place: Window, *, distance_map: DistanceMap, measures: bool = False
) -> Part:
    """Find the watershed regions of a tile, and the steps that lead out of it.

    Args:
        window: (C, H, W) or (C, D, H, W): the mask, 0 for background, then the other channels that `distance_map`
            needs. It is the tile with its margin.
        place: The tile in the window.
        distance_map: Gives the distance of each pixel.
        measures: Whether regions of planes are measured; the mask is then the probability of the foreground, 0 to 255.
    """
    shape = tuple(span.stop - span.start for span in place)
    if not window[0][place].any():
        empty = np.zeros(shape, np.int32)
        sums = np.zeros((0, len(SUMS) if measures else 0), np.int64)
        stays = np.full(shape, stay(len(shape)), np.int32)
        return Part(empty, empty, stays, np.zeros(0, np.int32), join_edges([]), sums)
    ring = _tile_with_ring(distance_map(window), place)
    distances = np.ascontiguousarray(ring[(slice(1, -1),) * ring.ndim])
    steps = _steps(ring)
    groups, peaks = _climb(distances, steps)
    groups, peaks, edges = _join_plateaus(groups, peaks, _edges(groups, distances))
    sums = measure_groups(groups, window[0][place], distances, len(peaks)) if measures else no_sums(len(peaks))
    return Part(groups, distances, steps, peaks, edges, sums)


def _tile_with_ring(distances: Ints, place: Window) -> Ints:
    """Return the tile and one pixel around it, with zeros beyond the window."""
    ring = np.zeros([span.stop - span.start + 2 for span in place], np.int32)
    before = [min(span.start, 1) for span in place]
    inside = distances[tuple(slice(span.start - one, span.stop + 1) for span, one in zip(place, before, strict=True))]
    ring[tuple(slice(1 - one, 1 - one + extent) for one, extent in zip(before, inside.shape, strict=True))] = inside
    return ring


def _steps(ring: Ints) -> Ints:
    """Return the step from each pixel inside the ring to the largest distance among itself and its neighbours."""
    bits = (3**ring.ndim).bit_length()
    keys = ring << bits
    best: Ints = keys[(slice(1, -1),) * ring.ndim] + np.int32(stay(ring.ndim))
    for step, offset in enumerate(offsets(ring.ndim)):
        there = tuple(slice(1 + by, extent - 1 + by) for by, extent in zip(offset, ring.shape, strict=True))
        np.maximum(best, keys[there] + step, out=best)
    best &= (1 << bits) - 1
    return best


def _climb(distances: Ints, steps: Ints) -> tuple[Ints, Ints]:
    """Follow the steps to a peak or to the last pixel within the tile; return the groups and their peaks."""
    steps, moves = steps.copy(), np.array(offsets(steps.ndim), np.int32)
    for axis, along in enumerate(moves.T):
        for end, outward in ((0, -1), (-1, 1)):
            border = steps[(slice(None),) * axis + (end,)]
            border[along[border] == outward] = stay(steps.ndim)
    strides = np.cumprod([1, *steps.shape[:0:-1]])[::-1].astype(np.int32)
    pixels = np.flatnonzero(distances)
    goals = pixels.astype(np.int32) + (moves @ strides)[steps.ravel()[pixels]]
    goal_of = np.empty(distances.size, np.int32)
    while True:  # each round doubles the length of the paths
        goal_of[pixels] = goals
        farther = goal_of[goals]
        if np.array_equal(farther, goals):
            break
        goals = farther
    ends = pixels[goals == pixels]
    goal_of[ends] = np.arange(1, len(ends) + 1)
    groups = np.zeros(distances.shape, np.int32)
    groups.ravel()[pixels] = goal_of[goals]
    return groups, distances.ravel()[ends]


def _edges(groups: Ints, distances: Ints) -> Edges:
    """Return the edges between the groups of a tile."""
    found = []
    for one, other in map(shifted, forward(groups.ndim)):
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
