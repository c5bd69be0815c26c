"""Which groups of pixels are one object: those that certainly are, and watershed regions with shallow saddles."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from unetkit.postprocess.candidates import find_candidates
from unetkit.postprocess.choice import Choice
from unetkit.postprocess.measures import no_sums
from unetkit.postprocess.method import Method
from unetkit.postprocess.parts import LARGEST_DISTANCE, Edges, highest_edges


@dataclass(frozen=True)
class Groups:
    """Pixels that belong together.

    Attributes:
        first: (N,) the flat index in the plane of each group's first pixel in raster order.
        peaks: (N,) its largest distance.
        sizes: (N,) its pixels.
        sums: (N, 8) its measures, see `unetkit.postprocess.measures`; (N, 0) where none are needed.
        qualities: (N,) how good an object it is, see `unetkit.postprocess.choice`; 0 while it may still grow.
    """

    first: NDArray[np.int64]
    peaks: NDArray[np.int64]
    sizes: NDArray[np.int64]
    sums: NDArray[np.int64]
    qualities: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, chosen: NDArray[np.int64]) -> Groups:
        return Groups(*(values[chosen] for values in vars(self).values()))

    def merged(self, into: NDArray[np.int64], count: int) -> Groups:
        """Return `count` groups, where group i becomes a part of `into[i]`; one of nothing has no pixels."""
        peaks, sizes, qualities = np.zeros((3, count), np.int64)
        sums = np.zeros((count, self.sums.shape[1]), np.int64)
        merged = Groups(np.full(count, np.iinfo(np.int64).max), peaks, sizes, sums, qualities)
        np.minimum.at(merged.first, into, self.first)
        np.maximum.at(merged.peaks, into, self.peaks)
        np.add.at(merged.sizes, into, self.sizes)
        np.add.at(merged.sums, into, self.sums)
        np.maximum.at(merged.qualities, into, self.qualities)
        return merged


def join_list(parts: list[Groups]) -> Groups:
    """Put groups one after another, starting with none."""
    none = np.zeros(0, np.int64)
    return Groups(
        np.concatenate([none, *(part.first for part in parts)]),
        np.concatenate([none, *(part.peaks for part in parts)]),
        np.concatenate([none, *(part.sizes for part in parts)]),
        np.concatenate([part.sums for part in parts]) if parts else no_sums(0),
        np.concatenate([none, *(part.qualities for part in parts)]),
    )


def join_groups(
    groups: Groups, edges: Edges, outward: NDArray[np.int64], method: Method
) -> tuple[Groups, NDArray[np.int64], Edges]:
    """Put groups together that are one object, whatever else there is beyond the rectangle in which they are.

    Groups that touch at the largest distance are one region. An edge whose saddle is too low for the lower of its two
    regions stays so: peaks only rise when regions grow. The edges that are left make clusters of regions. Those that
    nothing beyond can touch are decided here.

    Args:
        groups: Groups of pixels.
        edges: Those that touch.
        outward: Those that something beyond the rectangle may touch, in any order, more than once too.
        method: Which watershed regions are one object.

    Returns:
        The groups after that, in the order of their first pixels; for each group before the number of its group now;
        and the edges between groups that may still be one object.
    """
    certain = edges.saddle >= LARGEST_DISTANCE
    members, count = _connect(edges[certain], len(groups))
    regions = groups.merged(members, count)
    lowest = method.joining_saddle(regions.peaks)
    edges = _renumbered(edges[~certain], members)
    edges = highest_edges(edges[edges.saddle >= np.minimum(lowest[edges.first], lowest[edges.second])])
    open_regions = _are_open(edges, members[outward], count)
    are_open = open_regions[edges.first]
    if method.choice is None:
        objects = _join_regions(regions, edges[~are_open], lowest)
    else:
        objects, regions = _choose_objects(regions, edges[~are_open], ~open_regions, method.choice)
    joined = regions.merged(objects, count)
    order = np.flatnonzero(joined.sizes)
    order = order[np.argsort(joined.first[order])]
    numbers = np.empty(count, np.int64)
    numbers[order] = np.arange(len(order))
    return joined[order], numbers[objects[members]], _renumbered(edges[are_open], numbers)


def _renumbered(edges: Edges, numbers: NDArray[np.int64]) -> Edges:
    return Edges(numbers[edges.first], numbers[edges.second], edges.saddle)


def _connect(links: Edges, count: int) -> tuple[NDArray[np.int64], int]:
    """Return for each of `count` groups what the links make it a part of, numbered from 0; and how many these are."""
    if not len(links.first):
        return np.arange(count), count
    ones = np.ones(len(links.first), np.int8)
    graph = coo_array((ones, (links.first, links.second)), shape=(count, count))
    connected, members = connected_components(graph, directed=False)
    return members.astype(np.int64), int(connected)


def _are_open(edges: Edges, outward: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    """Return which of `count` regions belong to a cluster that something else may touch."""
    clusters, number = _connect(edges, count)
    are_open = np.zeros(number, bool)
    are_open[clusters[outward]] = True
    return are_open[clusters]


def _join_regions(regions: Groups, edges: Edges, lowest: NDArray[np.float64]) -> NDArray[np.int64]:
    """Join regions over the saddles between them, the highest first; what is joined has the number of one of them.

    The order does not depend on the numbers of the regions: of two saddles of the same height, the one between the
    higher peaks is first, then the one whose regions begin first.

    Args:
        regions: The regions.
        edges: Saddles between them.
        lowest: (N,) the lowest saddle over which each joins one with a higher peak.
    """
    objects = np.arange(len(regions))
    those = np.unique(np.concatenate([edges.first, edges.second]))
    those = those[np.lexsort((regions.first[those], -regions.peaks[those]))]
    position = np.empty(len(regions), np.int64)
    position[those] = np.arange(len(those))
    one, other = position[edges.first], position[edges.second]
    higher, lower, saddles = np.minimum(one, other), np.maximum(one, other), edges.saddle
    order = np.lexsort((lower, higher, -saddles))
    parents, bounds = list(range(len(those))), lowest[those].tolist()

    def root(region: int) -> int:
        while parents[region] != region:
            parents[region] = region = parents[parents[region]]
        return region

    for here, there, saddle in zip(*(array[order].tolist() for array in (higher, lower, saddles)), strict=True):
        one_root, other_root = root(here), root(there)
        below = max(one_root, other_root)
        if one_root != other_root and saddle >= bounds[below]:
            parents[below] = min(one_root, other_root)
    objects[those] = those[np.array([root(region) for region in range(len(those))], np.int64)]
    return objects


def _choose_objects(
    regions: Groups, edges: Edges, closed: NDArray[np.bool_], choice: Choice
) -> tuple[NDArray[np.int64], Groups]:
    """Choose the best objects that regions can make; what is joined has the number of one of them.

    Args:
        regions: The regions.
        edges: Saddles between them.
        closed: (N,) those that nothing else can touch. Of these, the ones that have a quality are objects already.
        choice: How good objects are.

    Returns:
        For each region what it is a part of, and the regions with the qualities of these objects.
    """
    objects = np.arange(len(regions))
    those = np.flatnonzero(closed & (regions.qualities == 0))
    if not len(those):
        return objects, regions
    position = np.empty(len(regions), np.int64)
    position[those] = np.arange(len(those))
    some = regions[those]
    candidates = find_candidates(some.peaks, some.first, some.sizes, some.sums, _renumbered(edges, position))
    found = choice.qualities(candidates.features())
    chosen = candidates.best(found - choice.cost)
    _, one_of_each, which = np.unique(chosen, return_index=True, return_inverse=True)
    objects[those] = those[one_of_each][which]
    qualities = regions.qualities.copy()
    qualities[those] = found[chosen]
    return objects, replace(regions, qualities=qualities)
