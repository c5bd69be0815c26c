"""Where objects lie: the planes or volumes of a label image, and the size of their pixels."""

from __future__ import annotations

from dataclasses import dataclass
from math import isclose, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.contracts import UNNAMED_AXES, Extent
from unetkit.io.base.stored import Step

SAME_SIZE = 1e-6
"""Largest difference, as a share, between height and width of a pixel that counts as square."""


@dataclass(frozen=True)
class Frame(Extent):
    """The planes or volumes of a label image.

    Attributes:
        size: (height, width) of a plane or (depth, height, width) of a volume, in pixels.
        plane_axes: Axes of the planes, for example "TZ"; "" for a single plane.
        plane_shape: Sizes along `plane_axes`.
        pixel_size_um: Size of a pixel (y, x) or voxel (z, y, x) in µm, if it is known.
        steps: Distances between planes along Z (µm) and T (s), as far as they are known.
    """

    size: tuple[int, ...]
    plane_axes: str = ""
    plane_shape: tuple[int, ...] = ()
    pixel_size_um: tuple[float, ...] | None = None
    steps: tuple[Step, ...] = ()

    @property
    def square(self) -> bool:
        """Whether pixels are as high as wide."""
        return self.pixel_size_um is None or isclose(*self.pixel_size_um[-2:], rel_tol=SAME_SIZE)

    @property
    def rows(self) -> int:
        """Rows of a plane; of a volume those of all its sections."""
        return prod(self.size[:-1])

    @property
    def section(self) -> int | None:
        """Rows of a section of a volume, see `unetkit.objects.runs`; None in planes."""
        return self.size[1] if len(self.size) == 3 else None

    def positions(self, plane: int, count: int) -> dict[str, NDArray[Any]]:
        """Return columns (count,) with the place of a plane along each axis, from 0; in µm or s too, where known.

        >>> Frame((8, 8), "TZ", (2, 3), steps=(Step("Z", 0.5, "µm"),)).positions(5, 1)
        {'t': array([1]), 'z': array([2]), 'z_um': array([1.])}
        """
        columns: dict[str, NDArray[Any]] = {}
        steps = {step.axis: step for step in self.steps if step.unit}
        unnamed = [axis for axis in self.plane_axes if axis in UNNAMED_AXES]
        indices = np.unravel_index(plane, self.plane_shape) if prod(self.plane_shape) and self.plane_shape else ()
        for axis, index in zip(self.plane_axes, indices, strict=True):
            name = "plane" if len(unnamed) == 1 and axis in unnamed else axis.lower()
            columns[name] = np.full(count, int(index))
            if axis in steps:
                unit = steps[axis].unit.replace("µ", "u")
                columns[f"{name}_{unit}"] = np.full(count, int(index) * steps[axis].size)
        return columns
