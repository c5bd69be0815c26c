"""Units of length, and what counts as the size of a pixel."""

from __future__ import annotations

from typing import Any

LARGEST_PIXEL_UM = 20.0
"""Larger pixels than this are taken for a resolution of print or screens (1270 dpi), not for microscopy."""

UNITS_UM = {
    "pm": 1e-6,
    "picometer": 1e-6,
    "å": 1e-4,
    "angstrom": 1e-4,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "µm": 1.0,  # micro sign
    "μm": 1.0,  # Greek mu
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "mm": 1e3,
    "millimeter": 1e3,
    "cm": 1e4,
    "centimeter": 1e4,
    "m": 1e6,
    "meter": 1e6,
}
"""Micrometres in a unit of length, as OME, OME-Zarr and ImageJ name them (in lower case)."""


def decode_unit(unit: Any) -> str:
    """Return a unit in lower case; ImageJ writes the micro sign as an escape sequence."""
    return str(unit).replace("\\u00B5", "µ").replace("\\u00b5", "µ").strip().lower()
