"""The columns of geometry: from complete objects to measurements in pixels and, where their size is known, in µm."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.objects.collector import Objects
from unetkit.objects.frame import Frame
from unetkit.objects.hull import convex_areas
from unetkit.objects.shape import (
    axes_of,
    eccentricity,
    equivalent_diameter,
    find_boxes,
    find_moments,
    orientation,
)

Measurements = dict[str, NDArray[Any]]
"""Columns (N,) of N objects by their names, in the order in which they are written. Names end in their unit."""


def measure_geometry(objects: Objects, perimeters: NDArray[np.float64], frame: Frame) -> Measurements:
    """Return where objects are, how large and of what shape.

    Args:
        objects: At least one object.
        perimeters: (N,) their perimeters in pixels.
        frame: The planes that they are in.
    """
    boxes = find_boxes(objects)
    moments = find_moments(objects, boxes)
    height, width = frame.size
    size = frame.pixel_size_um
    y, x = boxes.top + moments.y, boxes.left + moments.x
    columns: Measurements = {"centroid_y_px": y, "centroid_x_px": x}
    if size is not None:
        columns |= {"centroid_y_um": y * size[0], "centroid_x_um": x * size[1]}
    columns |= {f"bbox_{side}_px": getattr(boxes, side) for side in ("top", "left", "bottom", "right")}
    columns |= {"area_px": moments.area}
    if size is not None:
        columns["area_um2"] = moments.area * (size[0] * size[1])
    columns["equivalent_diameter_px"] = equivalent_diameter(moments.area)
    if size is not None:
        columns["equivalent_diameter_um"] = equivalent_diameter(columns["area_um2"])
    columns["perimeter_px"] = perimeters
    if size is not None and frame.square:
        columns["perimeter_um"] = perimeters * size[0]
    columns["major_axis_px"], columns["minor_axis_px"] = axes_of(moments)
    if size is not None:
        columns["major_axis_um"], columns["minor_axis_um"] = axes_of(moments, size)
    columns["eccentricity"] = eccentricity(moments)
    columns["solidity"] = moments.area / convex_areas(objects, boxes)
    columns["orientation_rad"] = orientation(moments)
    touches = (boxes.top == 0) | (boxes.left == 0) | (boxes.bottom == height) | (boxes.right == width)
    return columns | {"touches_border": touches}
