"""How wide the rings around objects are, as a user writes it: plain data that a command's help imports."""

from __future__ import annotations

import re

from unetkit.foundation.errors import ConfigError

RING = re.compile(r"\s*(?P<size>\d+(?:\.\d+)?)\s*(?P<unit>um|µm|μm|px|)\s*")
"""A width with its unit: micro sign or Greek mu; pixels without a unit."""

WIDEST_RING_PX = 1000.0
"""Widest ring, in pixels: as many rows are kept on both sides of those that are measured."""


def ring_in_pixels(ring: str | None, pixel_size_um: tuple[float, ...] | None, axes: int = 2) -> float:
    """Return the width of rings in pixels; 0 for none.

    Args:
        ring: The width as a user writes it, "5um" or "10"; None for no rings.
        pixel_size_um: Size of a pixel (y, x), if it is known.
        axes: 2 for objects of planes, 3 for those of volumes, which have no rings.

    Raises:
        ConfigError: It is given in µm, and pixels have no known size or are not square; it is too wide; or objects are
            in volumes.

    >>> ring_in_pixels("5um", (0.5, 0.5)), ring_in_pixels("3", None), ring_in_pixels(None, None)
    (10.0, 3.0, 0.0)
    """
    if ring is None:
        return 0.0
    if axes != 2:
        raise ConfigError(
            f"ring: {ring} is for objects of planes, and these are volumes.",
            "Leave the ring out; or measure each plane by itself with --dims 2.",
        )
    width, unit = parse_ring(ring)
    if unit != "px":
        if pixel_size_um is None:
            raise ConfigError(
                f"ring: {ring} is in µm, but the files do not say how large their pixels are.",
                "Give a ring in pixels, such as --ring 10; `unetkit measure` also takes --pixel-size-um.",
            )
        if abs(pixel_size_um[0] - pixel_size_um[1]) > 1e-6 * pixel_size_um[0]:
            height, width_um = pixel_size_um
            raise ConfigError(
                f"ring: {ring} is in µm, but pixels are {height:g} x {width_um:g} µm (y, x).",
                "Give a ring in pixels, such as --ring 10.",
            )
        width /= pixel_size_um[0]
    if not 1 <= width <= WIDEST_RING_PX:
        raise ConfigError(f"ring: {ring} is {width:.4g} pixels wide.", f"Give 1 to {WIDEST_RING_PX:.0f} pixels.")
    return width


def parse_ring(text: str) -> tuple[float, str]:
    """Return the width of a ring and its unit, "um" or "px".

    Raises:
        ConfigError: It is no width.
    """
    found = RING.fullmatch(text)
    if found is None:
        raise ConfigError(f"ring: '{text}' is no width.", "Write it like 5um, or in pixels like 10.")
    return float(found["size"]), found["unit"] or "px"
