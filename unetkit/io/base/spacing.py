"""The distance of pixels that the user gives, for files that do not know it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isfinite

from unetkit.foundation.errors import ConfigError

Spacing = tuple[float, ...]
"""Distances in micrometres along the last axes: all of them; y and x; or z, y and x."""

UNITS_UM = {"nm": 1e-3, "µm": 1.0, "μm": 1.0, "um": 1.0, "mm": 1e3, "cm": 1e4}

PART = re.compile(r"\s*(?P<number>[-+.0-9eE]+)\s*(?P<unit>[a-zA-Zµμ]*)\s*")

MOST_AXES = 3


def parse_spacing(spacing: str | float | Sequence[float] | None) -> Spacing | None:
    """Return distances in µm.

    >>> parse_spacing("2,0.5,0.5"), parse_spacing("0.5mm"), parse_spacing("50,4,4nm"), parse_spacing([1, 0.25])
    ((2.0, 0.5, 0.5), (500.0,), (0.05, 0.004, 0.004), (1.0, 0.25))

    Raises:
        ConfigError: They are no distances, or more than three.
    """
    if spacing is None:
        return None
    if isinstance(spacing, str):
        parts = [PART.fullmatch(part) for part in spacing.split(",")]
        units = [part["unit"] for part in parts if part is not None]
        default = units[-1] if units else ""
        found = [_distance(part, default) for part in parts]
    else:
        numbers = [spacing] if isinstance(spacing, int | float) else spacing
        found = [float(one) for one in numbers]
    if not 1 <= len(found) <= MOST_AXES or not all(one is not None and isfinite(one) and one > 0 for one in found):
        shown = spacing if isinstance(spacing, str) else repr(spacing)
        raise ConfigError(
            f"'{shown}' is no spacing.",
            "Give z,y,x or y,x or one number in µm, or with a unit (nm, um, mm), for example 3,0.5,0.5mm.",
        )
    return tuple(one for one in found if one is not None)


def _distance(part: re.Match[str] | None, default: str) -> float | None:
    """Return a distance in µm; one without a unit has that of the last one."""
    if part is None:
        return None
    factor = UNITS_UM.get(part["unit"] or default or "µm")
    try:
        return None if factor is None else float(f"{float(part['number']) * factor:.9g}")
    except ValueError:
        return None
