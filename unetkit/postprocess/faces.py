"""What the neighbours of a rectangle of a plane have to know of it, so that objects are joined across its sides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unetkit.postprocess.joining import Groups
from unetkit.postprocess.parts import LARGEST_DISTANCE, Edges, Ints, Part, highest_edges, join_edges

Window = tuple[slice, ...]
"""A part of a plane: one slice with both ends for each of its axes, (rows, columns)."""

DOWN = (2, 1, 0)
"""Steps from a pixel to the pixels below it: left, straight, right."""

ACROSS = (6, 3, 0)
"""Steps from a pixel to the pixels to the right of it: above, straight, below."""


@dataclass(frozen=True)
class Line:
    """The pixels of a rectangle along one of its sides; none where the plane ends there.

    Attributes:
        nodes: (N,) number of each pixel's group, from 1; 0 for background.
        distances: (N,) its distance.
        steps: (N,) its step.
    """

    nodes: NDArray[np.int64]
    distances: Ints
    steps: Ints

    def renumbered(self, numbers: NDArray[np.int64]) -> Line:
        """Return the line with the number `numbers[i - 1]` in place of i."""
        return Line(np.concatenate([[0], numbers])[self.nodes], self.distances, self.steps)

    def shifted(self, by: int) -> Line:
        """Return the line with larger numbers."""
        return Line(np.where(self.nodes > 0, self.nodes + by, 0), self.distances, self.steps)


def join_lines(lines: list[Line]) -> Line:
    """Put lines one after another, starting with none."""
    none = np.zeros(0, np.int32)
    return Line(
        np.concatenate([none.astype(np.int64), *(line.nodes for line in lines)]),
        np.concatenate([none, *(line.distances for line in lines)]),
        np.concatenate([none, *(line.steps for line in lines)]),
    )


NO_LINE = join_lines([])


def edges_between(before: Line, after: Line, forward: tuple[int, int, int]) -> Edges:
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


class Sides(NamedTuple):
    """The pixels of a rectangle along its first and last row, and along its first and last column."""

    top: Line
    bottom: Line
    left: Line
    right: Line


@dataclass(frozen=True)
class Faces:
    """The groups of pixels of a rectangle, each of which lies in a single object, and what touches its sides.

    Its size is that of its groups and its sides, not of its pixels.

    Attributes:
        groups: The N groups.
        edges: Groups that touch, numbered from 0, where the rectangle alone does not tell whether they are one object.
        sides: The pixels along its sides.
        tile_groups: (M,) the group, from 0, of each group of its tiles, tile after tile.
    """

    groups: Groups
    edges: Edges
    sides: Sides
    tile_groups: NDArray[np.int64]


def faces_of(part: Part, window: Window, size: tuple[int, ...]) -> Faces:
    """Return the faces of a tile.

    Args:
        part: Its groups.
        window: Its place in the plane.
        size: Pixels of the plane along each axis.
    """
    first, sizes = part.first_pixels_and_sizes()
    rows, columns = np.divmod(first, part.groups.shape[1])
    first = (rows + window[0].start) * size[1] + columns + window[1].start
    groups = Groups(first, part.peaks.astype(np.int64), sizes)
    every = slice(None)
    sides = Sides(*(_line(part, where) for where in ((0, every), (-1, every), (every, 0), (every, -1))))
    return Faces(groups, part.edges, sides, np.arange(len(part.peaks)))


def _line(part: Part, where: tuple[int | slice, int | slice]) -> Line:
    return Line(part.groups[where].astype(np.int64), part.distances[where].copy(), part.steps[where].copy())
