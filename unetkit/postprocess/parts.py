"""The objects of one tile, before its neighbours are seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]

Window = tuple[slice, ...]
"""A part of a plane or volume: one slice with both ends for each of its axes, (rows, columns) or (planes, ...)."""

LARGEST_DISTANCE = 1 << 14
"""Largest value of a distance map in whole numbers. Touching pixels with this value belong to one object."""

LARGEST_PREDICTED = 255
"""Largest value of a predicted distance map, which has one byte for each pixel."""


def stay(axes: int) -> int:
    """Return the step of a pixel that leads to no neighbour, see `unetkit.postprocess.neighbours`."""
    return int(3**axes // 2)


@dataclass(frozen=True)
class Edges:
    """Pairs of groups or objects that touch, and the saddle between them.

    Attributes:
        first: (N,) the one of a pair.
        second: (N,) the other.
        saddle: (N,) the smallest distance on the way from one to the other, where it is largest.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    saddle: NDArray[np.int64]

    def __getitem__(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Edges:
        return Edges(self.first[chosen], self.second[chosen], self.saddle[chosen])


def join_edges(parts: list[Edges]) -> Edges:
    """Put edges one after another, starting with none."""
    none = np.zeros(0, np.int64)
    return Edges(
        np.concatenate([none, *(part.first for part in parts)]),
        np.concatenate([none, *(part.second for part in parts)]),
        np.concatenate([none, *(part.saddle for part in parts)]),
    )


def highest_edges(edges: Edges) -> Edges:
    """Keep the highest edge of each pair, with the smaller number first, and none of a group with itself."""
    edges = edges[edges.first != edges.second]
    low, high = np.minimum(edges.first, edges.second), np.maximum(edges.first, edges.second)
    order = np.lexsort((-edges.saddle, high, low))
    low, high = low[order], high[order]
    new = np.ones(len(order), bool)
    new[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    return Edges(low[new], high[new], edges.saddle[order][new])


@dataclass(frozen=True)
class Part:
    """The groups of pixels of one tile, each of which lies in a single object.

    Attributes:
        groups: (h, w) or (d, h, w) int32, 0 for background, then 1 to N.
        distances: int32 of the same shape, 0 for background, otherwise 1 to `LARGEST_DISTANCE`.
        steps: int32 of the same shape: the step of a pixel to that neighbour to whose object it belongs because it
            leads there, see `unetkit.postprocess.neighbours`; otherwise `stay`.
        peaks: (N,) the largest distance of each group.
        edges: Groups of this tile that touch, numbered from 0.
        sums: (N, 8) measures of the groups, see `unetkit.postprocess.measures`, or (N, 0) where none are needed.
    """

    groups: Ints
    distances: Ints
    steps: Ints
    peaks: Ints
    edges: Edges
    sums: NDArray[np.int64]

    def first_pixels_and_sizes(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the flat index (N,) of each group's first pixel in raster order, and its number of pixels (N,)."""
        flat = self.groups.ravel()
        starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
        groups = flat[starts]
        first = np.full(len(self.peaks) + 1, flat.size)
        np.minimum.at(first, groups, starts)
        sizes = np.bincount(groups, np.diff(starts, append=flat.size), len(first)).astype(np.int64)
        return first[1:], sizes[1:]
