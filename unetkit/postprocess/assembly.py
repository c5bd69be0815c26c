"""The faces of small rectangles, put together to those of the large one that they fill: tiles to blocks to planes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unetkit.postprocess.faces import ACROSS, DOWN, NO_LINE, Faces, Line, Sides, Window, edges_between, join_lines
from unetkit.postprocess.joining import Groups, JoiningSaddle, join_groups, join_list
from unetkit.postprocess.parts import Edges, join_edges


class Assembly:
    """Puts the faces of rectangles together. They are added in raster order, and those of a row are of one height.

    In memory are the groups of all of them, and the lines along the sides of the whole and below the last row.

    Args:
        window: The place of the whole in its plane.
        size: Pixels of the plane along each axis.
    """

    def __init__(self, window: Window, size: tuple[int, ...]) -> None:
        self._window = window
        self._size = size
        self._next = tuple(span.start for span in window)
        self._count = 0
        self._groups: list[Groups] = []
        self._tile_groups: list[NDArray[np.int64]] = []
        self._edges: list[Edges] = []
        self._lefts: list[Line] = []
        self._rights: list[Line] = []
        self._tops: list[Line] = []
        self._bottoms: list[Line] = []
        self._top = self._bottom = self._right = NO_LINE

    @property
    def is_whole(self) -> bool:
        """Whether all of it is there."""
        return self._next == (self._window[0].stop, self._window[1].start)

    def add(self, window: Window, faces: Faces) -> None:
        """Add the faces of the next rectangle.

        Args:
            window: Its place in the plane.
            faces: Its faces.

        Raises:
            ValueError: It is not the next one.
        """
        start = tuple(span.start for span in window)
        if start != self._next:
            raise ValueError(f"a block begins at {start}, but the next one begins at {self._next}")
        shift, edges = self._count, faces.edges
        sides = Sides(*(line.shifted(shift) for line in faces.sides))
        self._groups.append(faces.groups)
        self._tile_groups.append(faces.tile_groups + shift)
        self._edges.append(Edges(edges.first + shift, edges.second + shift, edges.saddle))
        self._count += len(faces.groups)
        self._connect_across(window[1], sides)
        self._next = (start[0], window[1].stop)
        self._tops.append(sides.top)
        self._bottoms.append(sides.bottom)
        if window[1].stop == self._window[1].stop:
            self._connect_down(window[0])

    def _connect_across(self, columns: slice, sides: Sides) -> None:
        """Add the edges between a rectangle and the one to its left."""
        if columns.start == self._window[1].start:
            self._lefts.append(sides.left)
        else:
            self._edges.append(edges_between(self._right, sides.left, ACROSS))
        self._right = sides.right
        if columns.stop == self._window[1].stop:
            self._rights.append(sides.right)

    def _connect_down(self, rows: slice) -> None:
        """Add the edges between a row of rectangles and the one above."""
        top = join_lines(self._tops)
        if rows.start == self._window[0].start:
            self._top = top
        else:
            self._edges.append(edges_between(self._bottom, top, DOWN))
        self._bottom = join_lines(self._bottoms)
        self._tops, self._bottoms = [], []
        self._next = (rows.stop, self._window[1].start)

    def finish(self, joining_saddle: JoiningSaddle) -> Faces:
        """Return the faces of the whole; of a plane, each of its groups is an object.

        Args:
            joining_saddle: Which watershed regions are one object.
        """
        lines = self._top, self._bottom, join_lines(self._lefts), join_lines(self._rights)
        spans = zip(self._window, self._size, strict=True)
        ends = [end for span, extent in spans for end in (span.start == 0, span.stop == extent)]
        sides = Sides(*(NO_LINE if end else line for line, end in zip(lines, ends, strict=True)))
        nodes = np.concatenate([line.nodes for line in sides])
        groups, members, edges = join_groups(
            join_list(self._groups), join_edges(self._edges), nodes[nodes > 0] - 1, joining_saddle
        )
        sides = Sides(*(line.renumbered(members + 1) for line in sides))
        return Faces(groups, edges, sides, members[np.concatenate([np.zeros(0, np.int64), *self._tile_groups])])
