"""What the objects of an image amount to: a row for each image of a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.objects.areas import Areas
from unetkit.objects.csv_rows import CsvRows
from unetkit.objects.frame import Frame

SUMMARY_NAME = "summary.csv"
"""Name of the table of summaries in a folder of tables."""

UM_PER_MM = 1e3

PIXELS = {2: "pixel", 3: "voxel"}
"""What the pixels of planes and volumes are called."""

POWERS = {2: "²", 3: "³"}


@dataclass
class Summary:
    """Numbers of one image, added up over batches of its objects.

    Attributes:
        image: Name of the image, without its suffix.
        frame: Its planes or volumes.
        objects: Number of objects, each counted in each plane or volume.
        touching: How many of them touch its border.
        by_class: How many of them there are of each class.
    """

    image: str
    frame: Frame
    objects: int = 0
    touching: int = 0
    by_class: dict[str, int] = field(default_factory=dict)
    _areas: Areas = field(default_factory=Areas)

    def add(self, values: Mapping[str, NDArray[Any]]) -> None:
        """Count the objects of a batch."""
        self.objects += len(values["label"])
        self.touching += int(values["touches_border"].sum())
        self._areas.add(values[f"{self.measure}_px"])
        if "class" in values:
            for name, count in zip(*np.unique(values["class"].astype(str), return_counts=True), strict=True):
                self.by_class[str(name)] = self.by_class.get(str(name), 0) + int(count)

    @property
    def measure(self) -> str:
        """What the size of an object is: an area, or a volume."""
        return "area" if len(self.frame.size) == 2 else "volume"

    @property
    def area_px(self) -> int:
        """Pixels of all objects, voxels in volumes."""
        return self._areas.total

    @property
    def mean_area_px(self) -> float:
        """Mean area of the objects in pixels, NaN if there are none; in volumes their mean volume."""
        return self.area_px / self.objects if self.objects else float("nan")

    @property
    def median_area_px(self) -> float:
        """Median area of the objects in pixels, NaN if there are none; in volumes their median volume."""
        return self._areas.median

    def row(self) -> dict[str, Any]:
        """Return the cells of its row by their columns; without those in µm where the pixel size is not known."""
        pixels, size, measure = self.frame.pixels, self.frame.pixel_size_um, self.measure
        axes = len(self.frame.size)
        sides = ("depth", "height", "width")[-axes:]
        row: dict[str, Any] = {
            "image": self.image,
            "planes" if axes == 2 else "volumes": self.frame.planes,
            **{f"{side}_px": extent for side, extent in zip(sides, self.frame.size, strict=True)},
            "objects": self.objects,
            "objects_touching_border": self.touching,
            **{f"objects_{name}": count for name, count in self.by_class.items()},
            f"density_per_mega{PIXELS[axes]}": self.objects / (pixels / 1e6),
            f"mean_{measure}_px": self.mean_area_px,
            f"median_{measure}_px": self.median_area_px,
            "foreground_share": self.area_px / pixels,
        }
        if size is not None:
            um = prod(size)
            in_mm = pixels * um / UM_PER_MM**axes
            row |= {
                **{f"{PIXELS[axes]}_{side}_um": length for side, length in zip(sides, size, strict=True)},
                f"image_{measure}_mm{axes}": in_mm,
                f"density_per_mm{axes}": self.objects / in_mm,
                f"mean_{measure}_um{axes}": self.mean_area_px * um,
                f"median_{measure}_um{axes}": self.median_area_px * um,
            }
        return row


ORDER = (
    *("image", "planes", "volumes", "depth_px", "height_px", "width_px", "pixel_height_um", "pixel_width_um"),
    *("voxel_depth_um", "voxel_height_um", "voxel_width_um", "image_area_mm2", "image_volume_mm3"),
    *("objects", "objects_*", "objects_touching_border", "density_per_mm2", "density_per_mm3"),
    *("density_per_megapixel", "density_per_megavoxel"),
    *("mean_area_um2", "median_area_um2", "mean_volume_um3", "median_volume_um3"),
    *("mean_area_px", "median_area_px", "mean_volume_px", "median_volume_px", "foreground_share"),
)
"""Columns of a table of summaries; those of classes stand in the place of "objects_*"."""


def write_summaries(path: Path, summaries: Sequence[Summary]) -> None:
    """Write a CSV with a row for each image; cells that an image has no value for are empty."""
    rows = [summary.row() for summary in summaries]
    classes = dict.fromkeys(f"objects_{name}" for summary in summaries for name in summary.by_class)
    names = [name for one in ORDER for name in (classes if one == "objects_*" else [one])]
    known = [name for name in names if any(name in row for row in rows)]
    columns = {name: _column([row.get(name, 0 if name in classes else float("nan")) for row in rows]) for name in known}
    table = CsvRows(path, columns)
    table.write(columns)
    table.close()


def _column(cells: Sequence[Any]) -> NDArray[Any]:
    return np.array(cells, object) if isinstance(cells[0], str) else np.array(cells)


def describe_summary(summary: Summary) -> str:
    """Return a sentence on the objects of an image."""
    size = summary.frame.pixel_size_um
    if not summary.objects:
        return f"{summary.image}: no objects."
    row, measure, axes = summary.row(), summary.measure, len(summary.frame.size)
    if size:
        density, mean = f"{row[f'density_per_mm{axes}']:.4g} per mm{POWERS[axes]}", row[f"mean_{measure}_um{axes}"]
        return f"{summary.image}: {summary.objects} objects, {density}, {mean:.4g} µm{POWERS[axes]} on average."
    pixel = PIXELS[axes]
    density, mean = f"{row[f'density_per_mega{pixel}']:.4g} per mega{pixel}", row[f"mean_{measure}_px"]
    return f"{summary.image}: {summary.objects} objects, {density}, {mean:.4g} {pixel}s on average."
