"""The faces of small boxes, put together to those of the large one that they fill: tiles to blocks to planes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unetkit.postprocess.faces import Faces, Side, Sides, edges_between, join_sides, map_sides, present
from unetkit.postprocess.joining import Groups, join_groups, join_list
from unetkit.postprocess.method import Method
from unetkit.postprocess.parts import Edges, Window, join_edges


class Assembly:
    """Puts the faces of boxes together. They are added in raster order; those of a row are of one height and depth.

    In memory are the groups of all of them, and the pixels along the sides of the whole and of what is not yet whole:
    of a row of boxes, of a layer of rows.

    Args:
        window: The place of the whole in its plane or volume.
        size: Pixels of the plane or volume along each axis.
    """

    def __init__(self, window: Window, size: tuple[int, ...]) -> None:
        self._window = window
        self._size = size
        self._next: list[int] = [span.start for span in window]
        self._count = 0
        self._groups: list[Groups] = []
        self._tile_groups: list[NDArray[np.int64]] = []
        self._edges: list[Edges] = []
        self._rows = [_Row(axis) for axis in range(len(window))]

    @property
    def is_whole(self) -> bool:
        """Whether all of it is there."""
        return bool(self._next[0] == self._window[0].stop)

    def add(self, window: Window, faces: Faces) -> None:
        """Add the faces of the next box.

        Args:
            window: Its place in the plane or volume.
            faces: Its faces.

        Raises:
            ValueError: It is not the next one.
        """
        start = [span.start for span in window]
        if start != self._next:
            raise ValueError(f"a block begins at {tuple(start)}, but the next one begins at {tuple(self._next)}")
        shift, edges = self._count, faces.edges
        self._groups.append(faces.groups)
        self._tile_groups.append(faces.tile_groups + shift)
        self._edges.append(Edges(edges.first + shift, edges.second + shift, edges.saddle))
        self._count += len(faces.groups)
        self._connect(window, map_sides(faces.sides, lambda side: side.shifted(shift)))

    def _connect(self, window: Window, sides: Sides) -> None:
        """Add the edges to the box before, and those of the row, the layer, ... that it completes."""
        for axis in reversed(range(len(window))):
            self._edges += self._rows[axis].add(sides)
            self._next[axis] = window[axis].stop
            if axis == 0 or window[axis].stop < self._window[axis].stop:
                break
            sides = self._rows[axis].take()
            self._next[axis] = self._window[axis].start

    def finish(self, method: Method) -> Faces:
        """Return the faces of the whole; of a plane or volume, each of its groups is an object.

        Args:
            method: Which watershed regions are one object.
        """
        sides = self._rows[0].take()
        nodes = np.concatenate([np.zeros(0, np.int32), *(side.nodes.ravel() for side in present(sides))])
        groups, members, edges = join_groups(
            join_list(self._groups),
            join_edges(self._edges),
            nodes[nodes > 0].astype(np.int64) - 1,
            method,
        )
        sides = map_sides(sides, lambda side: side.renumbered(members + 1))
        return Faces(groups, edges, sides, members[np.concatenate([np.zeros(0, np.int64), *self._tile_groups])])


class _Row:
    """The sides of boxes that follow each other along one axis, from one side of the whole to the other."""

    def __init__(self, axis: int) -> None:
        self._axis = axis
        self._boxes: list[Sides] = []

    def add(self, sides: Sides) -> list[Edges]:
        """Add the next box; return the edges between it and the one before, if there is one."""
        before = self._boxes[-1][self._axis][1] if self._boxes else None
        first = sides[self._axis][0]
        if before is not None:  # it is not needed again, so it is not kept
            self._boxes[-1] = self._without(self._boxes[-1], 1)
            sides = self._without(sides, 0)
        self._boxes.append(sides)
        return [] if before is None or first is None else [edges_between(before, first, self._axis)]

    def take(self) -> Sides:
        """Return the sides of all the boxes together, and begin anew."""
        boxes, self._boxes = self._boxes, []
        return tuple(
            (boxes[0][axis][0], boxes[-1][axis][1])
            if axis == self._axis
            else (self._side(boxes, axis, 0), self._side(boxes, axis, 1))
            for axis in range(len(boxes[0]))
        )

    def _side(self, boxes: list[Sides], axis: int, end: int) -> Side | None:
        sides = [side for box in boxes if (side := box[axis][end]) is not None]
        return join_sides(sides, self._axis - (axis < self._axis)) if sides else None

    def _without(self, sides: Sides, end: int) -> Sides:
        """Return the sides without one of the two along the row."""
        first, last = sides[self._axis]
        ends = (None, last) if end == 0 else (first, None)
        return (*sides[: self._axis], ends, *sides[self._axis + 1 :])
