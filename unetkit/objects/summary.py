"""What the objects of an image amount to: a row for each image of a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.objects.areas import Areas
from unetkit.objects.csv_rows import CsvRows
from unetkit.objects.frame import Frame

SUMMARY_NAME = "summary.csv"
"""Name of the table of summaries in a folder of tables."""

UM2_PER_MM2 = 1e6


@dataclass
class Summary:
    """Numbers of one image, added up over batches of its objects.

    Attributes:
        image: Name of the image, without its suffix.
        frame: Its planes.
        objects: Number of objects, each counted in each plane.
        touching: How many of them touch the border of their plane.
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
        self._areas.add(values["area_px"])
        if "class" in values:
            for name, count in zip(*np.unique(values["class"].astype(str), return_counts=True), strict=True):
                self.by_class[str(name)] = self.by_class.get(str(name), 0) + int(count)

    @property
    def area_px(self) -> int:
        """Pixels of all objects."""
        return self._areas.total

    @property
    def mean_area_px(self) -> float:
        """Mean area of the objects in pixels, NaN if there are none."""
        return self.area_px / self.objects if self.objects else float("nan")

    @property
    def median_area_px(self) -> float:
        """Median area of the objects in pixels, NaN if there are none."""
        return self._areas.median

    def row(self) -> dict[str, Any]:
        """Return the cells of its row by their columns; without those in µm where the pixel size is not known."""
        pixels, size = self.frame.pixels, self.frame.pixel_size_um
        row: dict[str, Any] = {
            "image": self.image,
            "planes": self.frame.planes,
            "height_px": self.frame.height,
            "width_px": self.frame.width,
            "objects": self.objects,
            "objects_touching_border": self.touching,
            **{f"objects_{name}": count for name, count in self.by_class.items()},
            "density_per_megapixel": self.objects / (pixels / 1e6),
            "mean_area_px": self.mean_area_px,
            "median_area_px": self.median_area_px,
            "foreground_share": self.area_px / pixels,
        }
        if size is not None:
            um2 = size[0] * size[1]
            area_mm2 = pixels * um2 / UM2_PER_MM2
            row |= {
                "pixel_height_um": size[0],
                "pixel_width_um": size[1],
                "image_area_mm2": area_mm2,
                "density_per_mm2": self.objects / area_mm2,
                "mean_area_um2": self.mean_area_px * um2,
                "median_area_um2": self.median_area_px * um2,
            }
        return row


ORDER = (
    *("image", "planes", "height_px", "width_px", "pixel_height_um", "pixel_width_um", "image_area_mm2"),
    *("objects", "objects_*", "objects_touching_border", "density_per_mm2", "density_per_megapixel"),
    *("mean_area_um2", "median_area_um2", "mean_area_px", "median_area_px", "foreground_share"),
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
    row = summary.row()
    density = f"{row['density_per_mm2']:.4g} per mm²" if size else f"{row['density_per_megapixel']:.4g} per megapixel"
    area = f"{row['mean_area_um2']:.4g} µm²" if size else f"{row['mean_area_px']:.4g} pixels"
    return f"{summary.image}: {summary.objects} objects, {density}, {area} on average."
