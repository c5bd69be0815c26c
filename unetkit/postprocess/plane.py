"""The objects of one plane, put together from the parts of its tiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from unetkit.postprocess.parts import LARGEST_DISTANCE, Edges, Ints, Part, highest_edges, join_edges

JoiningSaddle = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""Returns, from the peaks of regions, the lowest saddle over which each joins one with a higher peak."""

ALL = slice(None)


@dataclass(frozen=True)
class Line:
    """The pixels of a tile along one of its borders.

    Attributes:
        nodes: (N,) number of each pixel's group in the plane, from 1; 0 for background.
        distances: (N,) its distance.
        steps: (N,) its step.
    """

    nodes: NDArray[np.int64]
    distances: Ints
    steps: Ints


class Plane:
    """Collects the parts of a plane's tiles, in raster order of the tiles, and numbers its objects.

    Args:
        width: Columns of the plane.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._nodes = 0
        self._first: list[NDArray[np.int64]] = []
        self._peaks: list[Ints] = []
        self._sizes: list[NDArray[np.int64]] = []
        self._edges: list[Edges] = []
        self._tops: list[Line] = []
        self._bottoms: list[Line] = []
        self._above: Line | None = None
        self._left: Line | None = None

    def add(self, part: Part, top: int, left: int) -> None:
        """Add the part of the tile at (top, left), whose neighbours above and to the left are there already."""
        width = part.groups.shape[1]
        rows, columns = np.divmod(part.first_pixels, width)
        self._first.append((rows + top) * self._width + columns + left)
        self._peaks.append(part.peaks)
        self._sizes.append(np.bincount(part.groups.ravel(), minlength=len(part.peaks) + 1)[1:])
        edges = part.edges
        self._edges.append(Edges(edges.first + self._nodes, edges.second + self._nodes, edges.saddle))
        self._connect(part, last=left + width == self._width)
        self._nodes += len(part.peaks)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(N,) pixels of each group, in the order in which they were added."""
        return np.concatenate([np.zeros(0, np.int64), *self._sizes])

    def _connect(self, part: Part, last: bool) -> None:
        """Add the edges between a tile and those before it."""
        if self._left is not None:
            self._edges.append(_edges_between(self._left, self._line(part, (ALL, 0)), forward=(6, 3, 0)))
        self._left = None if last else self._line(part, (ALL, -1))
        self._tops.append(self._line(part, (0, ALL)))
        self._bottoms.append(self._line(part, (-1, ALL)))
        if last:
            if self._above is not None:
                self._edges.append(_edges_between(self._above, _join_lines(self._tops), forward=(2, 1, 0)))
            self._above = _join_lines(self._bottoms)
            self._tops, self._bottoms = [], []

    def _line(self, part: Part, where: tuple[int | slice, int | slice]) -> Line:
        groups = part.groups[where].astype(np.int64)
        return Line(
            np.where(groups > 0, groups + self._nodes, 0),
            part.distances[where].copy(),
            part.steps[where].copy(),
        )

    def number(
        self, joining_saddle: JoiningSaddle, smallest: int, lowest: float = 0.0
    ) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Number the objects from 1, in raster order of their first pixels.

        Args:
            joining_saddle: Which watershed regions are one object.
            smallest: Objects of fewer pixels become background.
            lowest: Objects whose highest peak is lower become background.

        Returns:
            The object (N,) of each group in the order in which they were added, 0 for background; and the highest peak
            (M,) of each object.
        """
        none = np.zeros(0, np.int64)
        first = np.concatenate([none, *self._first])
        peaks = np.concatenate([none, *self._peaks])
        edges = join_edges(self._edges)
        certain = edges.saddle >= LARGEST_DISTANCE
        objects = _join(edges[certain], len(first))
        edges = edges[~certain]
        if len(edges.first):
            region_of_object, region_peaks = _canonical(objects, first, peaks)
            edges = Edges(region_of_object[objects[edges.first]], region_of_object[objects[edges.second]], edges.saddle)
            objects = _join_regions(highest_edges(edges), joining_saddle(region_peaks))[region_of_object[objects]]
        object_peaks = _highest(objects, peaks)
        return _in_raster_order(
            objects, first, object_peaks, _are_kept(objects, self.sizes, object_peaks, smallest, lowest)
        )


def _join_lines(lines: list[Line]) -> Line:
    """Put lines one after another."""
    return Line(
        np.concatenate([line.nodes for line in lines]),
        np.concatenate([line.distances for line in lines]),
        np.concatenate([line.steps for line in lines]),
    )


def _edges_between(before: Line, after: Line, forward: tuple[int, int, int]) -> Edges:
    """Return the edges between two neighbouring lines of pixels, at `LARGEST_DISTANCE` where a step leads over them.

    Args:
        before: The upper or left one.
        after: The lower or right one.
        forward: Steps from `before` to the previous, the same and the next position in `after`.
    """
    found = []
    length = len(before.nodes)
    for shift, step in zip((-1, 0, 1), forward, strict=True):
        one, other = slice(max(-shift, 0), length - max(shift, 0)), slice(max(shift, 0), length - max(-shift, 0))
        meet = np.flatnonzero((before.nodes[one] > 0) & (after.nodes[other] > 0))
        here, there = meet + one.start, meet + other.start
        saddle = np.minimum(before.distances[here], after.distances[there]).astype(np.int64)
        saddle[(before.steps[here] == step) | (after.steps[there] == 8 - step)] = LARGEST_DISTANCE
        found.append(Edges(before.nodes[here] - 1, after.nodes[there] - 1, saddle))
    return highest_edges(join_edges(found))


def _join(links: Edges, count: int) -> NDArray[np.int64]:
    """Return for each of `count` groups the number of the object that the links make it a part of, from 0."""
    if not len(links.first):
        return np.arange(count)
    ones = np.ones(len(links.first), np.int8)
    graph = coo_array((ones, (links.first, links.second)), shape=(count, count))
    objects: NDArray[np.int64] = connected_components(graph, directed=False)[1]
    return objects


def _canonical(
    objects: NDArray[np.int64], first: NDArray[np.int64], peaks: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Order regions by their peaks, the highest first, then by first pixel, whatever the tiles are.

    Returns:
        The position of each object in this order, and the peaks (N,) in this order.
    """
    count = int(objects.max()) + 1
    object_peaks, object_first = np.zeros(count, np.int64), np.full(count, np.iinfo(np.int64).max)
    np.maximum.at(object_peaks, objects, peaks)
    np.minimum.at(object_first, objects, first)
    order = np.lexsort((object_first, -object_peaks))
    position = np.empty(count, np.int64)
    position[order] = np.arange(count)
    return position, object_peaks[order]


def _join_regions(edges: Edges, joining: NDArray[np.float64]) -> NDArray[np.int64]:
    """Join regions over the saddles between them, the highest first; regions are numbered from the highest peak down.

    Args:
        edges: Saddles between regions.
        joining: (N,) the lowest saddle over which each region joins one with a higher peak.

    Returns:
        For each region the number of the one with the highest peak that it was joined to.
    """
    edges = edges[edges.saddle >= joining[edges.second]]  # `second` is the lower one; what it joins is higher still
    edges = edges[np.lexsort((edges.second, edges.first, -edges.saddle))]
    parents, bounds = list(range(len(joining))), joining.tolist()

    def root(region: int) -> int:
        while parents[region] != region:
            parents[region] = region = parents[parents[region]]
        return region

    for first, second, saddle in zip(edges.first.tolist(), edges.second.tolist(), edges.saddle.tolist(), strict=True):
        one, other = root(first), root(second)
        lower = max(one, other)
        if one != other and saddle >= bounds[lower]:
            parents[lower] = min(one, other)
    return np.array([root(region) for region in range(len(parents))], np.int64)


def _highest(objects: NDArray[np.int64], peaks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the highest peak of each object."""
    object_peaks = np.zeros(int(objects.max(initial=-1)) + 1, np.int64)
    np.maximum.at(object_peaks, objects, peaks)
    return object_peaks


def _are_kept(
    objects: NDArray[np.int64], sizes: NDArray[np.int64], object_peaks: NDArray[np.int64], smallest: int, lowest: float
) -> NDArray[np.bool_]:
    """Return which objects have enough pixels and a high enough peak."""
    object_sizes = np.zeros(len(object_peaks), np.int64)
    np.add.at(object_sizes, objects, sizes)
    return (object_sizes >= max(smallest, 1)) & (object_peaks >= lowest)


def _in_raster_order(
    objects: NDArray[np.int64],
    first: NDArray[np.int64],
    object_peaks: NDArray[np.int64],
    are_kept: NDArray[np.bool_],
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Number the objects that are kept from 1 in raster order of their first pixels, and the others 0.

    Returns:
        The number of each group's object, and the highest peak of each object that is kept.
    """
    count = len(are_kept)
    object_first = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(object_first, objects, first)
    kept = np.flatnonzero(are_kept)
    kept = kept[np.argsort(object_first[kept])]
    numbers = np.zeros(count, np.uint32)
    numbers[kept] = np.arange(1, len(kept) + 1)
    return numbers[objects], object_peaks[kept]
