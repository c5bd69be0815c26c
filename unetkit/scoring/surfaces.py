"""How far the surfaces of predicted volumes are from the true ones: distances that add up, and the formulas of scores.

A surface lies where foreground meets background, and where it meets the end of the volume. Its elements lie at the
corners of voxels: the piece of surface that marching cubes draws between eight voxels is one element, with its area,
at the point in the middle of them (Nikolov et al. 2018, https://arxiv.org/abs/1809.04430). Each element is as far from
another surface as from the nearest of its elements.

Elements are collected plane by plane, so memory grows with the area of surfaces, not with the volume: 9 bytes for each
element, and about 100 while distances are measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from math import inf

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes, mesh_surface_area

from unetkit.scoring.pixels import Mask

CODES = 256
"""Ways in which eight voxels are foreground or background: a bit for each of them."""

POINTS_AT_ONCE = 2**18
"""Elements whose distances are measured at once."""

ROUNDING = 1e-6
"""Share of the tolerance by which a distance may be larger: voxels of 0.8 mm are 0.80000001 mm in a file."""

PERCENT = 95.0
"""Percentile of the distances that HD95 is."""


@dataclass(frozen=True)
class SurfaceCounts:
    """Surfaces measured in one or more volumes: add them to pool them. Distances and areas are in one unit.

    Attributes:
        predicted_area: Area of the predicted surface.
        true_area: Area of the true surface.
        predicted_near: Area of the predicted surface within the tolerance of the true one.
        true_near: Area of the true surface within the tolerance of the predicted one.
        distances: Sum of area times distance, over both surfaces; infinite where only one volume has a surface.
        robust: HD95, see `hd95`; None for several volumes, since percentiles do not add up.
    """

    predicted_area: float = 0.0
    true_area: float = 0.0
    predicted_near: float = 0.0
    true_near: float = 0.0
    distances: float = 0.0
    robust: float | None = 0.0

    def __add__(self, other: SurfaceCounts) -> SurfaceCounts:
        return SurfaceCounts(
            self.predicted_area + other.predicted_area,
            self.true_area + other.true_area,
            self.predicted_near + other.predicted_near,
            self.true_near + other.true_near,
            self.distances + other.distances,
            None,
        )


def surface_dice(counts: SurfaceCounts) -> float:
    """Return the share of both surfaces that is within the tolerance of the other one (Nikolov et al. 2018).

    It is 1 where neither volume has a surface, 0 where only one has.
    """
    area = counts.predicted_area + counts.true_area
    return (counts.predicted_near + counts.true_near) / area if area else 1.0


def average_distance(counts: SurfaceCounts) -> float:
    """Return the mean distance of all points of both surfaces from the other one (ASSD).

    It is 0 where neither volume has a surface, infinite where only one has.
    """
    area = counts.predicted_area + counts.true_area
    return counts.distances / area if area else 0.0


def hd95(counts: SurfaceCounts) -> float | None:
    """Return the distance within which 95 % of each surface is of the other one: the larger of two percentiles.

    It is the Hausdorff distance without the farthest 5 % of the area. It is 0 where neither volume has a surface,
    infinite where only one has.
    """
    return counts.robust


class Surface:
    """The surface of a mask that comes plane by plane, in bands of rows.

    Args:
        size: Voxels along (z, y, x).
    """

    def __init__(self, size: tuple[int, ...]) -> None:
        self._lattice = tuple(n + 1 for n in size)  # points at the corners of voxels, those at the border too
        self._places: list[NDArray[np.int64]] = []
        self._codes: list[NDArray[np.uint8]] = []
        self._before: NDArray[np.uint8] | None = None

    def add(self, depth: int, top: int, mask: Mask, ignored: Mask | None = None) -> None:
        """Add a band of a plane, and of what lies beyond the last one; a band goes through all planes in order.

        Args:
            depth: Number of the plane, from 0; the number of planes for what lies beyond them.
            top: The first row of points of the band.
            mask: (h + 1, w) the rows above and below each of h rows of points, False outside the volume.
            ignored: (h + 1, w) what nobody has annotated: elements that touch it have no area.
        """
        corners = _four(mask)
        hidden = None if ignored is None else _four(ignored) > 0
        if depth == 0 or self._before is None:
            self._before, self._hidden = np.zeros_like(corners), np.zeros(corners.shape, bool)
        code = self._before | corners << np.uint8(4)
        found = np.flatnonzero((code > 0) & (code < CODES - 1))
        if len(found):
            start = (depth * self._lattice[1] + top) * self._lattice[2]
            codes = code.ravel()[found]
            touches = self._hidden if hidden is None else self._hidden | hidden
            codes[touches.ravel()[found]] = 0
            self._places.append(start + found)
            self._codes.append(codes)
        self._before = corners
        self._hidden = np.zeros(corners.shape, bool) if hidden is None else hidden

    def elements(self) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Return the numbers of the points of all elements, in order, and their codes; 0 for those without an area."""
        if not self._places:
            return np.zeros(0, np.int64), np.zeros(0, np.uint8)
        places, codes = np.concatenate(self._places), np.concatenate(self._codes)
        if (np.diff(places) > 0).all():  # the planes were one band each
            return places, codes
        order = np.argsort(places, kind="stable")
        return places[order], codes[order]

    def points(self, places: NDArray[np.int64], sides: tuple[float, ...]) -> NDArray[np.float64]:
        """Return where (n, 3) points lie, in the unit of the sides of a voxel (z, y, x)."""
        points: NDArray[np.float64] = np.stack(np.unravel_index(places, self._lattice), axis=1) * np.array(sides)
        return points


def compare_surfaces(
    predicted: Surface, true: Surface, sides: tuple[float, float, float], tolerance: float
) -> SurfaceCounts:
    """Measure the distances between two surfaces.

    Args:
        predicted: The predicted surface.
        true: The true surface of a volume of the same size.
        sides: Sides of a voxel (z, y, x).
        tolerance: Distance at which surfaces are taken to agree, in the same unit.
    """
    (own, own_codes), (other, other_codes) = predicted.elements(), true.elements()
    areas = element_areas(sides)
    own_areas, other_areas = areas[own_codes], areas[other_codes]
    if not len(own) or not len(other):
        infinite = bool(own_areas.sum() or other_areas.sum())
        away = inf if infinite else 0.0
        return SurfaceCounts(float(own_areas.sum()), float(other_areas.sum()), 0.0, 0.0, away, away)
    reach = tolerance * (1 + ROUNDING)
    points = partial(true.points, sides=sides)
    there, back = _distances(own, other, points), _distances(other, own, points)
    return SurfaceCounts(
        float(own_areas.sum()),
        float(other_areas.sum()),
        float(own_areas[there <= reach].sum()),
        float(other_areas[back <= reach].sum()),
        float((own_areas * there).sum() + (other_areas * back).sum()),
        max(_percentile(there, own_areas), _percentile(back, other_areas)),
    )


@cache
def element_areas(sides: tuple[float, float, float]) -> NDArray[np.float64]:
    """Return the area (256,) of the surface between eight voxels for each way in which they are foreground.

    Bit k stands for voxel k of a cube (2, 2, 2) in C order. It is the area of the triangles of marching cubes (Lorensen
    and Cline 1987). Where voxels touch along edges alone, there are two ways to draw them, and the smaller area counts,
    so that foreground and background may be exchanged.
    """
    areas = np.zeros(CODES)
    for code in range(1, CODES - 1):
        cube = np.array([code >> bit & 1 for bit in range(8)], np.float64).reshape(2, 2, 2)
        corners, triangles, _, _ = marching_cubes(cube, 0.5, spacing=sides, method="lorensen")
        areas[code] = mesh_surface_area(corners, triangles)
    return np.minimum(areas, areas[::-1])


def _four(mask: Mask) -> NDArray[np.uint8]:
    """Return four bits (h, w + 1) for the pixels around each point between the rows of a mask (h + 1, w)."""
    wide = np.pad(mask, ((0, 0), (1, 1))).view(np.uint8)
    above, below = wide[:-1], wide[1:]
    one, two, three = np.uint8(1), np.uint8(2), np.uint8(3)
    bits: NDArray[np.uint8] = above[:, :-1] | above[:, 1:] << one | below[:, :-1] << two | below[:, 1:] << three
    return bits


def _distances(
    places: NDArray[np.int64],
    others: NDArray[np.int64],
    points: Callable[[NDArray[np.int64]], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Return the distance (n,) of each place to the nearest of the others; places in both are not looked for."""
    distances = np.zeros(len(places))
    apart = np.flatnonzero(~np.isin(places, others, assume_unique=True))
    if len(apart):
        tree = cKDTree(points(others), copy_data=False)
        for first in range(0, len(apart), POINTS_AT_ONCE):
            some = apart[first : first + POINTS_AT_ONCE]
            distances[some] = tree.query(points(places[some]))[0]
    return distances


def _percentile(distances: NDArray[np.float64], areas: NDArray[np.float64]) -> float:
    """Return the distance within which `PERCENT` of the area is; 0 without any area."""
    order = np.argsort(distances, kind="stable")
    grown = np.cumsum(areas[order])
    if not grown[-1]:
        return 0.0
    place = int(np.searchsorted(grown / grown[-1], PERCENT / 100))
    return float(distances[order[min(place, len(order) - 1)]])
