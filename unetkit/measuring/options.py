"""What a user chooses for measurements: plain data that a command's help imports."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from unetkit.foundation.errors import ConfigError
from unetkit.io.base.read_options import parse_channels
from unetkit.objects.ring_width import parse_ring, ring_in_pixels


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
        overwrite: Replace existing files, each when the new one is complete.
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
            parse_ring(self.ring)
        if self.pixel_size_um is not None and not (isfinite(self.pixel_size_um) and self.pixel_size_um > 0):
            raise ConfigError(f"A pixel size of {self.pixel_size_um} µm has no meaning.", "Give a number above 0.")

    def ring_px(self, pixel_size_um: tuple[float, ...] | None) -> float:
        """Return the width of the rings in pixels; 0 for none.

        Args:
            pixel_size_um: Size of a pixel (y, x), if it is known.

        Raises:
            ConfigError: It is given in µm, and pixels have no known size or are not square; or it is too wide.
        """
        return ring_in_pixels(self.ring, pixel_size_um)


DEFAULT_MEASURE = MeasureOptions()
"""Everything but rings."""
