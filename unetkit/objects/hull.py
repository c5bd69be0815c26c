"""Areas of convex hulls, as `skimage.morphology.convex_hull_image` counts them: for the solidity of objects.

The hull is that of the middles of the four sides of each pixel, and its area the number of pixels whose centre lies in
it or on its border. All is computed in whole numbers, for all objects of a batch at once: coordinates are doubled, so
that the middle of a side is a whole number, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from unetkit.objects.collector import Objects
from unetkit.objects.shape import Boxes

Integers = NDArray[np.int64]

MOST_PASSES = 64
"""Passes after which the few objects that are not done are left to OpenCV, one at a time."""


@dataclass(frozen=True)
class _Points:
    """Points of objects, object after object, downwards in each and one for each row of half a pixel at most.

    Attributes:
        owners: (N,) number of the object.
        y: (N,) doubled row.
        x: (N,) doubled distance from the axis that the hull closes on; its least is what counts.
    """

    owners: Integers
    y: Integers
    x: Integers

    def __getitem__(self, chosen: NDArray[Any] | slice) -> _Points:
        return _Points(self.owners[chosen], self.y[chosen], self.x[chosen])


def convex_areas(objects: Objects, boxes: Boxes) -> Integers:
    """Return the areas (N,) of the convex hulls of at least one object of a plane, in pixels."""
    top, heights = boxes.start[0], boxes.stop[0] - boxes.start[0]
    first_row = np.append(0, np.cumsum(heights))
    rows = np.arange(first_row[-1]) - np.repeat(first_row[:-1] - top, heights)
    left, right = _ends_of_rows(objects)
    owners, row = left.owners, left.y
    inner_left = _inner_edge(_Points(owners, row, left.x), rows)
    inner_right = -_inner_edge(_Points(owners, row, -right.x), rows)
    areas: Integers = np.add.reduceat(inner_right - inner_left + 1, first_row[:-1])
    return areas


def _ends_of_rows(objects: Objects) -> tuple[_Points, _Points]:
    """Return the first and the last pixel of each object in each row that it has pixels in, not doubled."""
    runs = objects.runs
    owners = objects.owners
    new = np.ones(len(runs), np.bool_)
    new[1:] = (runs.rows[1:] != runs.rows[:-1]) | (owners[1:] != owners[:-1])
    first = np.flatnonzero(new)
    last = np.append(first[1:], len(runs)) - 1
    owners, rows = owners[first].astype(np.int64), runs.rows[first].astype(np.int64)
    left = _Points(owners, rows, runs.starts[first].astype(np.int64))
    return left, _Points(owners, rows, runs.stops[last].astype(np.int64) - 1)


def _inner_edge(pixels: _Points, rows: Integers) -> Integers:
    """Return the first pixel inside the hull for each row of each object.

    Args:
        pixels: The first pixel of each row that has pixels.
        rows: Number of each row of each object in the plane.
    """
    points = _vertices(_side_middles(pixels))
    same = points.owners[1:] == points.owners[:-1]
    begin, end = points[np.append(same, False)], points[np.append(False, same)]
    # An edge from y0 to y1 covers the rows whose doubled number is above y0 and at most y1: every vertex but the first,
    # which is the top of the object and no row, ends one.
    count = end.y // 2 - begin.y // 2
    y = 2 * rows - np.repeat(begin.y, count)
    width, height = np.repeat(end.x - begin.x, count), np.repeat(end.y - begin.y, count)
    doubled = 2 * height
    inner: Integers = -((-(np.repeat(begin.x, count) * height + width * y)) // doubled)
    return inner


def _side_middles(pixels: _Points) -> _Points:
    """Return the middles of the sides of pixels, doubled, without most of those that are no corner of the hull.

    Left are the middles of left sides that stand out from those of the two neighbours, and middles of upper and lower
    sides where there is no neighbour, or where it is farther in by two pixels or more.
    """
    own, rows, x = pixels.owners, pixels.y, pixels.x
    follows = (own[1:] == own[:-1]) & (rows[1:] == rows[:-1] + 1)  # whether a row continues the one before it
    step = np.diff(x)
    kept = np.ones((len(own), 3), np.bool_)  # middles of the upper, the left and the lower side
    kept[1:, 0] = ~follows | (step <= -2)
    kept[:-1, 2] = ~follows | (step >= 2)
    kept[1:-1, 1] = ~(follows[1:] & follows[:-1]) | (step[1:] > step[:-1])
    pixel, side = np.divmod(np.flatnonzero(kept), 3)
    return _Points(own[pixel], 2 * rows[pixel] + side - 1, 2 * x[pixel] - (side == 1))


def _vertices(points: _Points) -> _Points:
    """Return the corners of the hull of points that is open to growing x: its edge at the least x.

    A point on or behind the line between two others is no corner, whatever the others are. Those behind the line
    between their neighbours are removed again and again, until there are none.
    """
    kept: list[_Points] = [points[:0]]
    work, objects = points, int(points.owners.max(initial=0)) + 1
    for _ in range(MOST_PASSES):
        if not len(work.owners):
            break
        before, after = work[:-2], work[2:]
        inside = np.zeros(len(work.owners), np.bool_)
        y, x = work.y[1:-1], work.x[1:-1]
        behind = (x - before.x) * (after.y - before.y) >= (after.x - before.x) * (y - before.y)
        inside[1:-1] = behind & (before.owners == after.owners)
        changed = np.zeros(objects, np.bool_)
        changed[work.owners[inside]] = True
        again = changed[work.owners]
        kept.append(work[~again])
        work = work[again & ~inside]
    if len(work.owners):
        kept.append(_vertices_one_by_one(work))
    joined = [np.concatenate([getattr(part, name) for part in kept]) for name in ("owners", "y", "x")]
    order = np.argsort(joined[0], kind="stable")
    return _Points(*joined)[order]


def _vertices_one_by_one(points: _Points) -> _Points:
    """Return what `_vertices` does, in a time that does not depend on the shapes."""
    kept = []
    for part in np.split(np.arange(len(points.owners)), np.flatnonzero(np.diff(points.owners)) + 1):
        y, x = points.y[part], points.x[part]
        far = [[x.max() + 1, y[0]], [x.max() + 1, y[-1]]]  # closes the hull on the open side
        corners = np.concatenate([np.stack([x, y], 1), far]).astype(np.int32)
        hull = cv2.convexHull(corners.reshape(-1, 1, 2), returnPoints=False).ravel()
        chosen = np.sort(hull[hull < len(part)])
        chosen = np.unique(np.concatenate([[0], chosen, [len(part) - 1]]))
        kept.append(part[chosen])
    return points[np.concatenate(kept)]
