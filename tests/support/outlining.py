"""Outlines as shapely sees them, for tests: an independent view of what they hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from unetkit.objects.collector import Collector, Objects
from unetkit.objects.outlines import Outlines, portions, trace_outlines


def objects_of(labels: NDArray[Any], plane: int = 0) -> Objects | None:
    """Return all objects of a label image, in as many pieces as they are; None if there are none."""
    return Collector(plane, labels.shape[0]).add(labels)[1]


def polygons_of(outlines: Outlines) -> NDArray[Any]:
    """Return a MultiPolygon for each object."""
    return shapely.from_ragged_array(
        shapely.GeometryType.MULTIPOLYGON,
        outlines.points.astype(float),
        (outlines.rings, outlines.pieces, outlines.objects),
    )


def outlined(labels: NDArray[Any]) -> dict[int, shapely.MultiPolygon]:
    """Return the outline of each object of a label image."""
    objects = objects_of(labels)
    found: dict[int, shapely.MultiPolygon] = {}
    for _, part in portions(objects) if objects is not None else ():
        found.update(zip(part.labels.tolist(), polygons_of(trace_outlines(part)), strict=True))
    return found


def fill(polygons: dict[int, shapely.Geometry], shape: tuple[int, int]) -> NDArray[np.int64]:
    """Return a label image (height, width) of polygons: a pixel is of the polygon that its centre lies in."""
    labels = np.zeros(shape, np.int64)
    for label, polygon in polygons.items():
        left, top, right, bottom = (int(value) for value in np.round(polygon.bounds))
        y, x = np.mgrid[top:bottom, left:right]
        inside = shapely.contains_xy(polygon, x + 0.5, y + 0.5)
        assert not labels[top:bottom, left:right][inside].any(), "two polygons hold one pixel"
        labels[top:bottom, left:right][inside] = label
    return labels
