"""What the neighbours of a rectangle or cuboid have to know of it, so that objects are joined across its sides.

*Box* stands for both here: a rectangle of a plane, whose sides are lines of pixels; or a cuboid of a volume, whose
sides are planes of voxels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unetkit.postprocess.joining import Groups
from unetkit.postprocess.measures import moved
from unetkit.postprocess.neighbours import offsets, shifted
from unetkit.postprocess.parts import LARGEST_DISTANCE, Edges, Part, Window, highest_edges, join_edges


@dataclass(frozen=True)
class Side:
    """The pixels of a box along one of its sides: arrays with one axis less than the box.

    Attributes:
        nodes: int32, the number of each pixel's group, from 1; 0 for background.
        distances: int16, its distance.
        steps: uint8, its step.
    """

    nodes: NDArray[np.int32]
    distances: NDArray[np.int16]
    steps: NDArray[np.uint8]

    def renumbered(self, numbers: NDArray[np.int64]) -> Side:
        """Return the side with the number `numbers[i - 1]` in place of i."""
        return Side(np.concatenate([[0], numbers]).astype(np.int32)[self.nodes], self.distances, self.steps)

    def shifted(self, by: int) -> Side:
        """Return the side with larger numbers."""
        return Side(np.where(self.nodes > 0, self.nodes + np.int32(by), 0), self.distances, self.steps)


Ends = tuple[Side | None, Side | None]
"""The sides of a box where it begins and where it ends along an axis; None where the plane or volume ends there."""

Sides = tuple[Ends, ...]
"""The sides of a box along each axis."""


def map_sides(sides: Sides, change: Callable[[Side], Side]) -> Sides:
    """Return sides that are changed, each by itself."""
    return tuple((first and change(first), last and change(last)) for first, last in sides)


def join_sides(sides: list[Side], axis: int) -> Side:
    """Put sides one after another along one of their axes."""
    if len(sides) == 1:
        return sides[0]
    return Side(
        np.concatenate([side.nodes for side in sides], axis),
        np.concatenate([side.distances for side in sides], axis),
        np.concatenate([side.steps for side in sides], axis),
    )


def edges_between(before: Side, after: Side, axis: int) -> Edges:
    """Return the edges between two neighbouring sides, at `LARGEST_DISTANCE` where a step leads over them.

    Args:
        before: The side where a box ends.
        after: The side where the next one begins.
        axis: The axis along which the boxes follow each other.
    """
    found = []
    steps = offsets(before.nodes.ndim + 1)
    for offset in offsets(before.nodes.ndim):
        here, there = shifted(offset)
        meet = np.nonzero((before.nodes[here] > 0) & (after.nodes[there] > 0))
        first, second = before.nodes[here][meet].astype(np.int64) - 1, after.nodes[there][meet].astype(np.int64) - 1
        saddle = np.minimum(before.distances[here][meet], after.distances[there][meet]).astype(np.int64)
        step = steps.index((*offset[:axis], 1, *offset[axis:]))
        leads = (before.steps[here][meet] == step) | (after.steps[there][meet] == len(steps) - 1 - step)
        saddle[leads] = LARGEST_DISTANCE
        found.append(Edges(first, second, saddle))
    return highest_edges(join_edges(found))


@dataclass(frozen=True)
class Faces:
    """The groups of pixels of a box, each of which lies in a single object, and what touches its sides.

    Its size is that of its groups and its sides, not of its pixels.

    Attributes:
        groups: The N groups.
        edges: Groups that touch, numbered from 0, where the box alone does not tell whether they are one object.
        sides: The pixels along its sides.
        tile_groups: (M,) the group, from 0, of each group of its tiles, tile after tile.
    """

    groups: Groups
    edges: Edges
    sides: Sides
    tile_groups: NDArray[np.int64]


def present(sides: Sides) -> Iterator[Side]:
    """Yield the sides that something may touch."""
    return (side for ends in sides for side in ends if side is not None)


def faces_of(part: Part, window: Window, size: tuple[int, ...]) -> Faces:
    """Return the faces of a tile.

    Args:
        part: Its groups.
        window: Its place in the plane or volume.
        size: Pixels of the plane or volume along each axis.
    """
    first, sizes = part.first_pixels_and_sizes()
    places = zip(np.unravel_index(first, part.groups.shape), window, strict=True)
    first = np.ravel_multi_index([inside + span.start for inside, span in places], size)
    sums = moved(part.sums, sizes, [span.start for span in window])
    groups = Groups(first, part.peaks.astype(np.int64), sizes, sums, np.zeros(len(first), np.int64))
    sides = tuple(
        (
            _side(part, axis, 0) if span.start > 0 else None,
            _side(part, axis, -1) if span.stop < extent else None,
        )
        for axis, (span, extent) in enumerate(zip(window, size, strict=True))
    )
    return Faces(groups, part.edges, sides, np.arange(len(part.peaks)))


def _side(part: Part, axis: int, at: int) -> Side:
    where = (slice(None),) * axis + (at,)
    return Side(part.groups[where].copy(), part.distances[where].astype(np.int16), part.steps[where].astype(np.uint8))
