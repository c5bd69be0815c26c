"""Distances between the planes of a TIFF file, along Z and in time."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from tifffile import TiffFile, TiffPageSeries

from unetkit.io.base.stored import Step
from unetkit.io.base.units import make_step
from unetkit.io.tiff.metadata import ome_pixels


def read_steps(file: TiffFile, all_series: Sequence[TiffPageSeries], number: int, axes: str) -> tuple[Step, ...]:
    """Return the steps along Z and T of a series, where it has these axes and the file gives sizes with units."""
    if file.is_ome:
        found = _ome(ome_pixels(file, all_series, number))
    elif file.imagej_metadata is not None:
        facts = file.imagej_metadata
        found = [make_step("Z", facts.get("spacing"), facts.get("unit")), make_step("T", facts.get("finterval"), "s")]
    elif file.is_lsm:
        facts = file.lsm_metadata or {}
        found = [make_step("Z", facts.get("VoxelSizeZ"), "m"), make_step("T", facts.get("TimeIntervall"), "s")]
    else:
        found = []
    return tuple(step for step in found if step is not None and step.axis in axes and step.unit)


def _ome(pixels: ElementTree.Element | None) -> list[Step | None]:
    if pixels is None:
        return []
    return [
        make_step("Z", pixels.get("PhysicalSizeZ"), pixels.get("PhysicalSizeZUnit", "µm")),
        make_step("T", pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit", "s")),
    ]
