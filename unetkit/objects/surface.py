"""Surface areas of objects in volumes, by the formula of Crofton on the lines of the voxel grid.

The surface of a body is twice the mean, over all directions, of the number of times that parallel lines cross it times
the area that belongs to each line. On a grid there are lines in 13 directions: from a voxel to its 26 neighbours. Each
direction stands for those that are nearest to it, a part of the sphere. (Legland, Kieu and Devaux 2007, "Computation of
Minkowski measures on 2D and 3D binary images", Image Analysis and Stereology 26, as MorphoLibJ has it; for voxels of
any sides the parts of the sphere are those of its Voronoi cells.)

Of balls with a radius of 5 voxels and more it is off by about one percent, of flat sides along the grid it finds 93 %.
Crossings are whole numbers, counted on the runs of each object, so the surface does not depend on the tiles.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from unetkit.objects.collector import Objects
from unetkit.objects.shape import Boxes

Integers = NDArray[np.int64]

ROW_STEPS = ((0, 1), (1, -1), (1, 0), (1, 1))
"""Steps (z, y) from a row to those of its neighbours that follow it."""


def surface_areas(objects: Objects, boxes: Boxes, voxel: tuple[float, ...]) -> NDArray[np.float64]:
    """Return the surface areas (N,) of at least one object of a volume.

    Args:
        objects: The objects.
        boxes: Their bounding boxes.
        voxel: Depth, height and width of a voxel, in a unit whose square the areas have.
    """
    areas = np.zeros(len(objects))
    for direction, crossings in _crossings(objects, boxes):
        areas += crossings * _weights(voxel)[direction]
    return areas


def _crossings(objects: Objects, boxes: Boxes) -> Iterator[tuple[tuple[int, ...], Integers]]:
    """Yield each direction, and how often the lines in it enter or leave each object."""
    runs, owners = objects.runs, objects.owners
    lengths = runs.lengths.astype(np.int64)
    voxels = _sum_by_object(lengths, owners, len(objects))
    yield (0, 0, 1), 2 * _sum_by_object(np.ones_like(lengths), owners, len(objects))
    starts, stops, strides = _addresses(objects, boxes)
    for step in ROW_STEPS:
        shift = strides[0] * step[0] + strides[1] * step[1]
        # Runs in the neighbouring row that touch a run or its diagonal neighbours: from `first` to before `last`.
        first = np.searchsorted(stops, starts + shift - 1, side="right")
        last = np.searchsorted(starts, stops + shift + 1, side="left")
        touching = np.maximum(last - first, 0)
        here = np.repeat(np.arange(len(starts)), touching)
        there = np.arange(len(here)) - np.repeat(np.cumsum(touching) - touching - first, touching)
        begin, end = starts[here] + shift[here], stops[here] + shift[here]
        for across in (-1, 0, 1):
            shared = np.minimum(end + across, stops[there]) - np.maximum(begin + across, starts[there])
            same = _sum_by_object(np.maximum(shared, 0), owners[here], len(objects))
            yield (*step, across), 2 * (voxels - same)


def _addresses(objects: Objects, boxes: Boxes) -> tuple[Integers, Integers, tuple[Integers, Integers]]:
    """Return the first and last address of each run (R,), and for each run the steps to the next section and row.

    Addresses rise from run to run. Each object has its own, in a box that is larger than its own by so much that no
    step of one voxel leads from one row into another, or into the next object.
    """
    counts = np.diff(objects.first)
    sides = [stop - start + 2 for start, stop in zip(boxes.start, boxes.stop, strict=True)]
    begin = np.cumsum(np.prod(sides, axis=0)) - np.prod(sides, axis=0)
    z, y = (
        along - np.repeat(start, counts) + 1 for along, start in zip(objects.coordinates, boxes.start, strict=False)
    )
    width = np.repeat(sides[2], counts)
    section = width * np.repeat(sides[1], counts)
    rows = np.repeat(begin - boxes.start[2] + 1, counts) + z * section + y * width
    return rows + objects.runs.starts, rows + objects.runs.stops, (section, width)


def _sum_by_object(values: Integers, owners: NDArray[np.intp], count: int) -> Integers:
    summed: Integers = np.bincount(owners, values, count).astype(np.int64)  # whole numbers, exact in float64
    return summed


@lru_cache(maxsize=8)
def _weights(voxel: tuple[float, ...]) -> dict[tuple[int, ...], float]:
    """Return the area that each crossing of a line in a direction adds."""
    from scipy.spatial import SphericalVoronoi  # takes a while to import

    steps = [step for step in product((-1, 0, 1), repeat=3) if any(step)]
    vectors = np.array(steps) * np.array(voxel)
    lengths = np.linalg.norm(vectors, axis=1)
    shares = SphericalVoronoi(vectors / lengths[:, None]).calculate_areas() / (4 * np.pi)
    # A direction and its opposite are the same lines, and `_crossings` has one of the two.
    return {
        step: float(2 * 2 * share * np.prod(voxel) / length)
        for step, share, length in zip(steps, shares, lengths, strict=True)
    }
