"""Sizes and shapes of complete objects, from the sums over their runs.

Sums are of whole numbers about a corner of each object's bounding box. They are exact (up to 2^53), and the runs of an
object always come in raster order, so nothing depends on the strips in which a plane came.

Formulas are those of `skimage.measure.regionprops`, which names the sources.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.objects.collector import Objects

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Boxes:
    """Bounding boxes of N objects, in pixels of the plane or volume.

    Attributes:
        start: For each axis (N,) the first pixel.
        stop: For each axis (N,) the pixel after the last.
    """

    start: tuple[NDArray[np.int64], ...]
    stop: tuple[NDArray[np.int64], ...]


def find_boxes(objects: Objects) -> Boxes:
    """Return the bounding boxes of at least one object."""
    runs, starts = objects.runs, objects.first[:-1]
    first, *others = objects.coordinates  # runs are in the order of the first axis
    return Boxes(
        (
            first[starts].astype(np.int64),
            *(np.minimum.reduceat(along, starts).astype(np.int64) for along in (*others, runs.starts)),
        ),
        (
            first[objects.first[1:] - 1].astype(np.int64) + 1,
            *(np.maximum.reduceat(along, starts).astype(np.int64) + 1 for along in others),
            np.maximum.reduceat(runs.stops, starts).astype(np.int64),
        ),
    )


@dataclass(frozen=True)
class Moments:
    """Moments of N objects, with pixels as points.

    Attributes:
        area: (N,) number of pixels.
        mean: For each axis (N,) the mean place, from the start of the bounding box.
        covariance: For each axis and each axis (N,) their covariance.
    """

    area: NDArray[np.int64]
    mean: tuple[Numbers, ...]
    covariance: tuple[tuple[Numbers, ...], ...]


def find_moments(objects: Objects, boxes: Boxes) -> Moments:
    """Return the moments of at least one object."""
    runs, firsts = objects.runs, objects.first[:-1]
    counts = np.diff(objects.first)
    *before, left = (np.repeat(start, counts) for start in boxes.start)
    places = [along - origin for along, origin in zip(objects.coordinates, before, strict=True)]
    start, stop = runs.starts - left, runs.stops - left
    length = stop - start
    x = length * (start + stop - 1) // 2
    sums_of_runs = [*(place * length for place in places), x]

    def total(values: NDArray[Any]) -> Numbers:
        summed: Numbers = np.add.reduceat(values.astype(np.float64), firsts)
        return summed

    def products(one: int, other: int) -> NDArray[np.int64]:
        """Return the sum over the pixels of each run of the product of two coordinates."""
        if other < len(places):
            return places[one] * places[other] * length
        return places[one] * x if one < len(places) else _squares(stop) - _squares(start)

    area = np.add.reduceat(length, firsts)
    n = area.astype(np.float64)
    sums = [total(one) for one in sums_of_runs]
    pairs = {
        (one, other): (n * total(products(one, other)) - sums[one] * sums[other]) / (n * n)
        for one, other in combinations_with_replacement(range(len(sums)), 2)
    }
    axes = range(len(sums))
    return Moments(
        area,
        tuple(one / n for one in sums),
        tuple(tuple(pairs[min(one, other), max(one, other)] for other in axes) for one in axes),
    )


def _squares(end: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sum of the squares of 0, 1, ..., end - 1."""
    return (end - 1) * end * (2 * end - 1) // 6


def equivalent_diameter(area: NDArray[Any]) -> Numbers:
    """Return the diameters of circles of these areas."""
    diameter: Numbers = np.sqrt(4 / np.pi * area)
    return diameter


def axes_of(moments: Moments, size: tuple[float, ...] = (1.0, 1.0)) -> tuple[Numbers, Numbers]:
    """Return the lengths of the major and the minor axis of the ellipses that have the moments of objects in planes.

    Args:
        moments: The moments.
        size: Height and width of a pixel; the lengths are in its unit.
    """
    large, small = _eigenvalues(moments, size)
    return 4 * np.sqrt(large), 4 * np.sqrt(small)


def lengths_of_axes(moments: Moments, size: tuple[float, ...] = (1.0, 1.0, 1.0)) -> tuple[Numbers, ...]:
    """Return the lengths of the axes of the ellipsoids that have the moments of objects in volumes, the longest first.

    A solid ellipsoid has a variance of a fifth of the square of its half axis.

    Args:
        moments: The moments.
        size: Depth, height and width of a voxel; the lengths are in its unit.
    """
    axes = range(len(size))
    matrices = np.stack(
        [np.stack([moments.covariance[one][other] * (size[one] * size[other]) for other in axes], 1) for one in axes], 1
    )
    variances = np.maximum(np.linalg.eigvalsh(matrices), 0)
    return tuple(np.sqrt(20 * variances[:, axis]) for axis in reversed(axes))


def volume_diameter(volume: NDArray[Any]) -> Numbers:
    """Return the diameters of balls of these volumes."""
    diameter: Numbers = np.cbrt(6 / np.pi * volume)
    return diameter


def eccentricity(moments: Moments) -> Numbers:
    """Return the eccentricity of these ellipses: 0 for a circle, nearly 1 for a line."""
    large, small = _eigenvalues(moments)
    eccentricities: Numbers = np.sqrt(1 - np.divide(small, large, out=np.ones_like(large), where=large > 0))
    return eccentricities


def orientation(moments: Moments) -> Numbers:
    """Return the angle between the rows' direction (down) and the major axis, in radians from -pi/2 to pi/2."""
    (yy, yx), (_, xx) = moments.covariance
    difference = yy - xx
    diagonal = np.where(yx > 0, np.pi / 4, -np.pi / 4)
    angles: Numbers = np.where(difference == 0, diagonal, np.arctan2(2 * yx, difference) / 2)
    return angles


def _eigenvalues(moments: Moments, size: tuple[float, ...] = (1.0, 1.0)) -> tuple[Numbers, Numbers]:
    """Return the variances along the major and the minor axis."""
    (yy, yx), (_, xx) = moments.covariance
    yy, xx, yx = yy * size[0] ** 2, xx * size[1] ** 2, yx * size[0] * size[1]
    middle, spread = (yy + xx) / 2, np.hypot((yy - xx) / 2, yx)
    return middle + spread, np.maximum(middle - spread, 0)
