"""What a user chooses for measurements: plain data that a command's help imports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unetkit.foundation.errors import ConfigError
from unetkit.io.base.read_options import each_size, parse_channels, parse_pixel_size
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
        dims: 3 if the labels are volumes, whose objects go through planes; 2 if each plane is an image of its own. By
            default 3 for labels that a model of volumes made, and for NIfTI and other medical formats.
        pixel_size_um: Size of a pixel in µm, in place of what the files say: one number, or one for each axis, such as
            "0.5,0.25" (y, x) or, of volumes, "2,0.5,0.5" (z, y, x).
        overwrite: Replace existing files, each when the new one is complete.
    """

    ring: str | None = None
    channels: str | None = None
    connected: bool = False
    axes: str | None = None
    dims: int | None = None
    pixel_size_um: str | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        parse_channels(self.channels)
        if self.ring is not None:
            parse_ring(self.ring)
        if self.dims not in (None, 2, 3):
            raise ConfigError(f"dims is {self.dims}.", "Give 2 for planes or 3 for volumes.")
        if self.pixel_size_um is not None:
            parse_pixel_size(self.pixel_size_um)

    def ring_px(self, pixel_size_um: tuple[float, ...] | None, axes: int = 2) -> float:
        """Return the width of the rings in pixels; 0 for none. See `ring_in_pixels`."""
        return ring_in_pixels(self.ring, pixel_size_um, axes)

    def lengths(self, axes: int) -> tuple[float, ...] | None:
        """Return the size of a pixel along each of some axes, in µm; None where it is not given.

        Raises:
            ConfigError: There are numbers for other axes.
        """
        if self.pixel_size_um is None:
            return None
        given = each_size(parse_pixel_size(self.pixel_size_um))
        if len(given) not in (1, axes):
            kind = "planes (y, x)" if axes == 2 else "volumes (z, y, x)"
            raise ConfigError(
                f"A pixel size of {self.pixel_size_um} has {len(given)} numbers, but the labels are {kind}.",
                f"Give {axes} numbers, or one for all axes; or say with --dims what the labels are.",
            )
        return given if len(given) == axes else given * axes


def lengths_text(size: str | float | Sequence[float] | None) -> str | None:
    """Return the size of a pixel as a user writes it on the command line.

    >>> lengths_text((2, 0.5, 0.5)), lengths_text(0.25), lengths_text(None)
    ('2,0.5,0.5', '0.25', None)
    """
    if size is None or isinstance(size, str):
        return size
    return ",".join(repr(float(one)).removesuffix(".0") for one in (size if isinstance(size, Sequence) else (size,)))


DEFAULT_MEASURE = MeasureOptions()
"""Everything but rings."""
