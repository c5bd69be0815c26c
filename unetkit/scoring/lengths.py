"""Distances as a user writes them: in pixels, or with a unit of length."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isfinite

from unetkit.foundation.errors import ConfigError, DataError
from unetkit.io.base.units import UNITS_UM

PIXELS = "px"
"""Unit of a distance in pixels."""

UNITS = {PIXELS: PIXELS, "nm": "nm", "um": "µm", "µm": "µm", "μm": "µm", "mm": "mm"}
"""Units as a user may write them, and as they are shown."""

WRITTEN = re.compile(r"\s*(?P<size>\d+(?:\.\d+)?|\.\d+)\s*(?P<unit>px|nm|um|µm|μm|mm|)\s*")

LEAST_MM_UM = 100.0
"""Where the sides of all voxels are at least this long, distances are shown in mm, else in µm."""


@dataclass(frozen=True)
class Length:
    """A distance.

    Attributes:
        size: 0 or more, in the unit.
        unit: "px", "nm", "µm" or "mm".
    """

    size: float
    unit: str

    def __str__(self) -> str:
        return f"{self.size:g} {self.unit}"

    def pixels(self, pixel_size_um: tuple[float, ...] | None, name: str) -> float:
        """Return the distance in pixels of a plane.

        Args:
            pixel_size_um: Size of a pixel (y, x), if it is known.
            name: Name of the image, for messages.

        Raises:
            DataError: It is given in a unit of length, and pixels have no known size or are not square.
        """
        if self.unit == PIXELS:
            return self.size
        if pixel_size_um is None:
            raise unknown_size(name, self)
        height, width = pixel_size_um
        if abs(height - width) > 0.01 * width:
            raise DataError(
                f"The tolerance is {self}, but pixels of {name} are {height:g} x {width:g} µm (y, x).",
                "Give a tolerance in pixels, such as 2.",
            )
        return self.size * UNITS_UM[self.unit] / width

    def along(self, sides: tuple[float, ...], unit: str) -> float:
        """Return the distance in a unit; pixels are as long as the shortest side of a voxel.

        Args:
            sides: Sides of a voxel, in the unit.
            unit: "px", "nm", "µm" or "mm".
        """
        if self.unit == PIXELS:
            return self.size * min(sides)
        return self.size * UNITS_UM[self.unit] / UNITS_UM[unit]


def parse_length(written: float | str) -> Length:
    """Return a distance as a user writes it: "1mm", "0.5 um", "2" or 2.0, in pixels without a unit.

    Raises:
        ConfigError: It is no distance.

    >>> parse_length("0.5um"), str(parse_length(2.0))
    (Length(size=0.5, unit='µm'), '2 px')
    """
    if isinstance(written, (int, float)) and isfinite(written) and written >= 0:
        return Length(float(written), PIXELS)
    found = WRITTEN.fullmatch(str(written))
    if found is None:
        raise ConfigError(f"tolerance is {written}.", "Give a distance in pixels, 0 or more; or such as 1mm or 0.5um.")
    return Length(float(found["size"]), UNITS[found["unit"] or PIXELS])


def unknown_size(name: str, length: Length) -> DataError:
    """Return the error for a distance in a unit of length where pixels have no known size."""
    return DataError(
        f"The tolerance is {length}, but {name} does not say how large its pixels are.",
        "Give --pixel-size-um, or a tolerance in pixels, such as 2.",
    )


def shown_unit(sides_um: tuple[float, ...] | None, tolerance: Length) -> str:
    """Return the unit in which distances between surfaces are shown: that of the tolerance, or one by the voxels."""
    if tolerance.unit != PIXELS:
        return tolerance.unit
    if sides_um is None:
        return PIXELS
    return "mm" if min(sides_um) >= LEAST_MM_UM else "µm"
