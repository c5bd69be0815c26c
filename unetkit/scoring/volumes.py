"""One volume of a prediction against that of the truth, plane after plane: voxels, surfaces and objects.

Planes are read once, in bands of rows. Voxels are counted as they come, objects as pairs of labels that meet, and of
surfaces their elements are kept (`unetkit.scoring.surfaces`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unetkit.scoring.compared import Compared, bands
from unetkit.scoring.instances import Overlaps, check_labels, count_overlaps
from unetkit.scoring.pixels import Counts, Mask, count_voxels
from unetkit.scoring.surfaces import Surface, SurfaceCounts, compare_surfaces


def count_volume(
    compared: Compared, planes: Sequence[int], sides: tuple[float, float, float], tolerance: float
) -> tuple[list[Counts], list[SurfaceCounts], list[Overlaps]]:
    """Return the voxels and surfaces of each foreground class in one volume, and the labels that meet in it.

    Args:
        compared: The prediction and the truth.
        planes: Numbers of the planes of the volume, in order.
        sides: Sides of a voxel (z, y, x).
        tolerance: Distance at which surfaces are taken to agree, in the unit of the sides.

    Returns:
        Voxels and surfaces, one of each class; and where objects or regions are compared, the overlaps of each plane.
    """
    info = compared.predicted.info
    size = (len(planes), *info.size)
    classes = range(compared.settings.classes - 1)
    counts = [Counts() for _ in classes]
    surfaces = [(Surface(size), Surface(size)) for _ in classes]
    overlaps: list[Overlaps] = []
    for core, rows in bands(compared.predicted.source, 1):
        points = slice(core.start, core.stop + (core.stop == info.height))  # the last ones lie below the last row
        for depth, plane in enumerate(planes):
            band = compared.band(plane, rows)
            inside = slice(core.start - rows.start, core.stop - rows.start)
            for k, masks in enumerate(band.masks):
                counts[k] += count_voxels(masks[0][inside], masks[1][inside], band.ignored[inside])
                for surface, mask in zip(surfaces[k], masks, strict=True):
                    ignored = _around(band.ignored, rows, points) if band.some_ignored is not None else None
                    surface.add(depth, points.start, _around(mask, rows, points), ignored)
            if compared.settings.instances or compared.settings.boundaries:
                check_labels(band.labels, compared.predicted.info.name)
                check_labels(band.true_labels, compared.true.info.name)
                overlaps.append(count_overlaps(band.labels[inside], band.true_labels[inside], band.ignored[inside]))
        nothing = np.zeros((points.stop - points.start + 1, info.width), bool)
        for surface in (one for pair in surfaces for one in pair):
            surface.add(len(planes), points.start, nothing)
    measured = [compare_surfaces(*pair, sides, tolerance) for pair in surfaces]
    return counts, measured, overlaps


def _around(mask: Mask, rows: slice, points: slice) -> Mask:
    """Return the rows (h + 1, w) above and below some rows of points, False outside the volume.

    Args:
        mask: The rows that were read.
        rows: Where they lie.
        points: The rows of points; row k of them lies above row k of pixels.
    """
    above = max(rows.start - (points.start - 1), 0)
    part = mask[max(points.start - 1 - rows.start, 0) : points.stop - rows.start]
    below = points.stop - points.start + 1 - above - len(part)
    return np.pad(part, ((above, below), (0, 0)))
