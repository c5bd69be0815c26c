"""Sizes and shapes of complete objects, from the sums over their runs.

Sums are of whole numbers about a corner of each object's bounding box. They are exact (up to 2^53), and the runs of an
object always come in raster order, so nothing depends on the strips in which a plane came.

Formulas are those of `skimage.measure.regionprops`, which names the sources.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.objects.collector import Objects

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Boxes:
    """Bounding boxes (N,) of objects, in pixels of the plane; `bottom` and `right` are the first row and column after.

    Attributes:
        top: First row.
        left: First column.
        bottom: Row after the last.
        right: Column after the last.
    """

    top: NDArray[np.int64]
    left: NDArray[np.int64]
    bottom: NDArray[np.int64]
    right: NDArray[np.int64]


def find_boxes(objects: Objects) -> Boxes:
    """Return the bounding boxes of at least one object."""
    runs, starts = objects.runs, objects.first[:-1]
    return Boxes(
        runs.rows[starts].astype(np.int64),
        np.minimum.reduceat(runs.starts, starts).astype(np.int64),
        runs.rows[objects.first[1:] - 1].astype(np.int64) + 1,
        np.maximum.reduceat(runs.stops, starts).astype(np.int64),
    )


@dataclass(frozen=True)
class Moments:
    """Moments (N,) of objects, with pixels as points.

    Attributes:
        area: Number of pixels.
        y: Mean row, from the top of the bounding box.
        x: Mean column, from its left.
        yy: Variance of the rows.
        xx: Variance of the columns.
        yx: Covariance of rows and columns.
    """

    area: NDArray[np.int64]
    y: Numbers
    x: Numbers
    yy: Numbers
    xx: Numbers
    yx: Numbers


def find_moments(objects: Objects, boxes: Boxes) -> Moments:
    """Return the moments of at least one object."""
    runs, firsts = objects.runs, objects.first[:-1]
    counts = np.diff(objects.first)
    row = runs.rows - np.repeat(boxes.top, counts)
    left = np.repeat(boxes.left, counts)
    start, stop = runs.starts - left, runs.stops - left
    length = stop - start
    x = length * (start + stop - 1) // 2

    def total(values: NDArray[Any]) -> Numbers:
        summed: Numbers = np.add.reduceat(values.astype(np.float64), firsts)
        return summed

    area = np.add.reduceat(length, firsts)
    n = area.astype(np.float64)
    sum_y, sum_x = total(row * length), total(x)
    return Moments(
        area,
        sum_y / n,
        sum_x / n,
        (n * total(row * row * length) - sum_y * sum_y) / (n * n),
        (n * total(_squares(stop) - _squares(start)) - sum_x * sum_x) / (n * n),
        (n * total(row * x) - sum_y * sum_x) / (n * n),
    )


def _squares(end: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sum of the squares of 0, 1, ..., end - 1."""
    return (end - 1) * end * (2 * end - 1) // 6


def equivalent_diameter(area: NDArray[Any]) -> Numbers:
    """Return the diameters of circles of these areas."""
    diameter: Numbers = np.sqrt(4 / np.pi * area)
    return diameter


def axes_of(moments: Moments, size: tuple[float, ...] = (1.0, 1.0)) -> tuple[Numbers, Numbers]:
    """Return the lengths of the major and the minor axis of the ellipses that have the moments of the objects.

    Args:
        moments: The moments.
        size: Height and width of a pixel; the lengths are in its unit.
    """
    large, small = _eigenvalues(moments, size)
    return 4 * np.sqrt(large), 4 * np.sqrt(small)


def eccentricity(moments: Moments) -> Numbers:
    """Return the eccentricity of these ellipses: 0 for a circle, nearly 1 for a line."""
    large, small = _eigenvalues(moments)
    eccentricities: Numbers = np.sqrt(1 - np.divide(small, large, out=np.ones_like(large), where=large > 0))
    return eccentricities


def orientation(moments: Moments) -> Numbers:
    """Return the angle between the rows' direction (down) and the major axis, in radians from -pi/2 to pi/2."""
    difference = moments.yy - moments.xx
    diagonal = np.where(moments.yx > 0, np.pi / 4, -np.pi / 4)
    angles: Numbers = np.where(difference == 0, diagonal, np.arctan2(2 * moments.yx, difference) / 2)
    return angles


def _eigenvalues(moments: Moments, size: tuple[float, ...] = (1.0, 1.0)) -> tuple[Numbers, Numbers]:
    """Return the variances along the major and the minor axis."""
    yy, xx, yx = moments.yy * size[0] ** 2, moments.xx * size[1] ** 2, moments.yx * size[0] * size[1]
    middle, spread = (yy + xx) / 2, np.hypot((yy - xx) / 2, yx)
    return middle + spread, np.maximum(middle - spread, 0)
