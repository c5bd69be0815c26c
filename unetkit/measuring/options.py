"""What a user chooses for measurements: plain data that a command's help imports."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isfinite

from unetkit.foundation.errors import ConfigError
from unetkit.io.base.read_options import parse_channels

RING = re.compile(r"\s*(?P<size>\d+(?:\.\d+)?)\s*(?P<unit>um|µm|μm|px|)\s*")
"""A width with its unit: micro sign or Greek mu; pixels without a unit."""

WIDEST_RING_PX = 1000.0
"""Widest ring, in pixels: as many rows are kept on both sides of those that are measured."""


@dataclass(frozen=True)
class MeasureOptions:
    """What is measured.

    Args:
        ring: Measure intensities also in a ring around each object: its width, in µm ("5um") or in pixels ("10"). It
            takes background pixels that are nearer to the object than to any other.
        channels: Channels of the image to measure: numbers from 0, such as "0,2", or names that the file gives them,
            such as "DAPI,GFP"; all by default.
        connected: The labels are masks or probabilities: number the connected parts of their foreground first. Pixels
            that touch, diagonally too, are one object.
        axes: Axes of the labels, one letter for each stored dimension, where the file says nothing or something wrong,
            such as "ZYX".
        pixel_size_um: Size of a pixel in µm, in place of what the files say.
        overwrite: Replace existing tables, each when the new one is complete.
    """

    ring: str | None = None
    channels: str | None = None
    connected: bool = False
    axes: str | None = None
    pixel_size_um: float | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        parse_channels(self.channels)
        if self.ring is not None:
            _parse_ring(self.ring)
        if self.pixel_size_um is not None and not (isfinite(self.pixel_size_um) and self.pixel_size_um > 0):
            raise ConfigError(f"A pixel size of {self.pixel_size_um} µm has no meaning.", "Give a number above 0.")

    def ring_px(self, pixel_size_um: tuple[float, float] | None) -> float:
        """Return the width of the rings in pixels; 0 for none.

        Args:
            pixel_size_um: Size of a pixel (y, x), if it is known.

        Raises:
            ConfigError: It is given in µm, and pixels have no known size or are not square; or it is too wide.
        """
        if self.ring is None:
            return 0.0
        width, unit = _parse_ring(self.ring)
        if unit != "px":
            if pixel_size_um is None:
                raise ConfigError(
                    f"ring: {self.ring} is in µm, but the files do not say how large their pixels are.",
                    "Give --pixel-size-um too, or a ring in pixels, such as --ring 10.",
                )
            if abs(pixel_size_um[0] - pixel_size_um[1]) > 1e-6 * pixel_size_um[0]:
                height, width_um = pixel_size_um
                raise ConfigError(
                    f"ring: {self.ring} is in µm, but pixels are {height:g} x {width_um:g} µm (y, x).",
                    "Give a ring in pixels, such as --ring 10.",
                )
            width /= pixel_size_um[0]
        if not 1 <= width <= WIDEST_RING_PX:
            raise ConfigError(
                f"ring: {self.ring} is {width:.4g} pixels wide.", f"Give 1 to {WIDEST_RING_PX:.0f} pixels."
            )
        return width


def _parse_ring(text: str) -> tuple[float, str]:
    """Return the width of a ring and its unit."""
    found = RING.fullmatch(text)
    if found is None:
        raise ConfigError(f"ring: '{text}' is no width.", "Write it like 5um, or in pixels like 10.")
    return float(found["size"]), found["unit"] or "px"


DEFAULT_MEASURE = MeasureOptions()
"""Everything but rings."""
