"""Units of length, and what counts as the size of a pixel."""

from __future__ import annotations

from typing import Any

LARGEST_PIXEL_UM = 20.0
"""Larger pixels than this are taken for a resolution of print or screens (1270 dpi), not for microscopy."""

SMALLEST_PIXEL_UM = 1e-5
"""Smaller pixels than this are finer than those of any microscope."""

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


def decode_unit(unit: Any) -> str:
    """Return a unit in lower case; ImageJ writes the micro sign as an escape sequence."""
    return str(unit).replace("\\u00B5", "µ").replace("\\u00b5", "µ").strip().lower()


def plausible_size(size: tuple[float, float] | None) -> tuple[float, float] | None:
    """Return a pixel size (y, x) in µm that was computed from a resolution, None if it is one of print or screens."""
    if size is None or not all(SMALLEST_PIXEL_UM <= one <= LARGEST_PIXEL_UM for one in size):
        return None
    return size
