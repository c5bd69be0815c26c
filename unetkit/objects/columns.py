"""The columns of geometry: from complete objects to measurements in pixels and, where their size is known, in µm."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.objects.collector import Objects
from unetkit.objects.frame import Frame
from unetkit.objects.hull import convex_areas
from unetkit.objects.shape import (
    Boxes,
    Moments,
    axes_of,
    eccentricity,
    equivalent_diameter,
    find_boxes,
    find_moments,
    lengths_of_axes,
    orientation,
    volume_diameter,
)
from unetkit.objects.surface import surface_areas

Measurements = dict[str, NDArray[Any]]
"""Columns (N,) of N objects by their names, in the order in which they are written. Names end in their unit."""


def measure_geometry(objects: Objects, perimeters: NDArray[np.float64], frame: Frame) -> Measurements:
    """Return where objects of a plane are, how large and of what shape.

    Args:
        objects: At least one object.
        perimeters: (N,) their perimeters in pixels.
        frame: The planes that they are in.
    """
    boxes = find_boxes(objects)
    moments = find_moments(objects, boxes)
    size = frame.pixel_size_um
    columns = locate(boxes, moments, frame)
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
    return columns | {"touches_border": touch_border(boxes, frame)}


def measure_volumes(objects: Objects, frame: Frame) -> Measurements:
    """Return where objects of a volume are, how large and of what shape.

    Lengths of objects are given in pixels only where the size of a voxel is not known: it is taken for a cube then.

    Args:
        objects: At least one object.
        frame: The volumes that they are in.
    """
    boxes = find_boxes(objects)
    moments = find_moments(objects, boxes)
    size = frame.pixel_size_um
    voxel, unit = ((1.0, 1.0, 1.0), "px") if size is None else (size, "um")
    columns = locate(boxes, moments, frame)
    columns["volume_px"] = moments.area
    volume = moments.area * prod(voxel)
    if size is not None:
        columns["volume_um3"] = volume
    surface = surface_areas(objects, boxes, voxel)
    columns[f"equivalent_diameter_{unit}"] = volume_diameter(volume)
    columns[f"surface_{unit}2"] = surface
    lengths = lengths_of_axes(moments, voxel)
    columns |= {f"{name}_axis_{unit}": one for name, one in zip(("major", "middle", "minor"), lengths, strict=True)}
    columns["sphericity"] = np.cbrt(36 * np.pi * volume**2) / surface
    return columns | {"touches_border": touch_border(boxes, frame)}


def locate(boxes: Boxes, moments: Moments, frame: Frame) -> Measurements:
    """Return where the centres of objects are, and their bounding boxes."""
    size, letters = frame.pixel_size_um, "zyx"[-len(frame.size) :]
    centres = [start + mean for start, mean in zip(boxes.start, moments.mean, strict=True)]
    columns: Measurements = {f"centroid_{axis}_px": at for axis, at in zip(letters, centres, strict=True)}
    if size is not None:
        by_axis = zip(letters, centres, size, strict=True)
        columns |= {f"centroid_{axis}_um": at * length for axis, at, length in by_axis}
    for ends, names in ((boxes.start, ("front", "top", "left")), (boxes.stop, ("back", "bottom", "right"))):
        columns |= {f"bbox_{name}_px": end for name, end in zip(names[-len(ends) :], ends, strict=True)}
    return columns


def touch_border(boxes: Boxes, frame: Frame) -> NDArray[np.bool_]:
    """Return which objects (N,) have pixels at the border of their plane or volume."""
    ends = zip(boxes.start, boxes.stop, frame.size, strict=True)
    touching: NDArray[np.bool_] = np.any([(start == 0) | (stop == extent) for start, stop, extent in ends], axis=0)
    return touching
