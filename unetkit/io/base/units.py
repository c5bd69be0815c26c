"""Units of length and time, and what counts as the size of a pixel."""

from __future__ import annotations

import re
from math import isfinite
from typing import Any

from unetkit.io.base.stored import Step

LARGEST_PIXEL_UM = 20.0
"""Pixels that are larger (coarser than 1270 dpi) come from a resolution for print or screens, not from a microscope."""

SMALLEST_PIXEL_UM = 1e-5
"""No microscope has smaller pixels."""

UM_PER_INCH = 25_400.0

UNITS_UM = {
    "pm": 1e-6,
    "picometer": 1e-6,
    "å": 1e-4,
    "angstrom": 1e-4,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "nanometre": 1e-3,
    "µm": 1.0,  # micro sign
    "μm": 1.0,  # Greek mu
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "micrometers": 1.0,
    "micrometre": 1.0,
    "mm": 1e3,
    "millimeter": 1e3,
    "millimetre": 1e3,
    "cm": 1e4,
    "centimeter": 1e4,
    "centimetre": 1e4,
    "in": UM_PER_INCH,
    "inch": UM_PER_INCH,
    "inches": UM_PER_INCH,
    "m": 1e6,
    "meter": 1e6,
    "metre": 1e6,
}
"""Micrometres in a unit of length, as OME, OME-Zarr and ImageJ name them (in lower case)."""

UNITS_S = {
    "ns": 1e-9,
    "nanosecond": 1e-9,
    "µs": 1e-6,  # micro sign
    "μs": 1e-6,  # Greek mu
    "us": 1e-6,
    "microsecond": 1e-6,
    "ms": 1e-3,
    "msec": 1e-3,
    "millisecond": 1e-3,
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "seconds": 1.0,
    "min": 60.0,
    "minute": 60.0,
    "minutes": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
    "hours": 3600.0,
    "d": 86_400.0,
    "day": 86_400.0,
    "days": 86_400.0,
}
"""Seconds in a unit of time, as OME, OME-Zarr and ImageJ name them (in lower case)."""


def make_step(axis: str, size: Any, unit: Any) -> Step | None:
    """Return a step in micrometres or seconds; None if the size is not above 0 or the unit does not fit the axis.

    >>> make_step("Z", "50", "nm"), make_step("T", 2, "minute"), make_step("Z", 0, "µm")
    (Step(axis='Z', size=0.05, unit='µm'), Step(axis='T', size=120.0, unit='s'), None)
    """
    try:
        number = float(size)
    except (TypeError, ValueError):
        return None
    name = decode_unit(unit or "")
    factor = (UNITS_S if axis == "T" else UNITS_UM).get(name) if name else 1.0
    if factor is None or not isfinite(number) or number <= 0:
        return None
    return Step(axis, number * factor, ("s" if axis == "T" else "µm") if name else "")


def length_in_um(text: str) -> float | None:
    """Return a length in micrometres, which is its unit if it names none; None if it is no length.

    >>> length_in_um("0.5"), length_in_um("1.5 mm"), length_in_um("4nm"), length_in_um("4 apples")
    (0.5, 1500.0, 0.004, None)
    """
    found = re.fullmatch(r"([-+.\deE]*[.\d])\s*(\D*)", text.strip())
    factor = UNITS_UM.get(decode_unit(found[2]) or "µm") if found else None
    try:
        return None if found is None or factor is None else float(found[1]) * factor
    except ValueError:
        return None


def decode_unit(unit: Any) -> str:
    """Return a unit in lower case; ImageJ writes the micro sign as an escape sequence."""
    return str(unit).replace("\\u00B5", "µ").replace("\\u00b5", "µ").strip().lower()


def plausible_size(size: tuple[float, float] | None) -> tuple[float, float] | None:
    """Return a pixel size (y, x) in µm if a microscope can have it, None if it comes from print or screens."""
    if size is None or not all(SMALLEST_PIXEL_UM <= one <= LARGEST_PIXEL_UM for one in size):
        return None
    return size
