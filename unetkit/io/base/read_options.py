"""Which part of an image file is read, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal, cast, get_args

from unetkit.foundation.errors import ConfigError, closest
from unetkit.io.base.units import length_in_um

OnBadTile = Literal["stop", "background"]

Channels = tuple[int | str, ...]
"""Numbers and names of channels."""

PixelSizes = float | tuple[float, ...]
"""One size of a pixel that holds for all axes, or one for each, in micrometres."""

Stain = Literal["hematoxylin", "eosin", "dab"]
"""Stains that can be told apart, in the order of scikit-image's `hed_from_rgb`."""


@dataclass(frozen=True)
class ReadOptions:
    """What to read of a file that holds more than one image, or more than is wanted.

    Attributes:
        axes: One letter for each stored dimension, where the file says nothing or something wrong: Y and X, C or S for
            channels, any other for planes.
        series: Number of the image in a file that holds several, from 0; by default the first.
        level: Number of the level in a pyramid, 0 being the full resolution; by default 0.
        pixel_size: Size of a pixel in micrometres: the nearest finer level is read and resampled to it. One number, or
            one for each axis of a volume, such as 2,0.5,0.5 (z,y,x), also with units, such as 1mm,0.5mm,0.5mm.
        channels: Channels in the order wanted: numbers from 0, such as "0,2", or names that the file gives them, such
            as "DAPI" or "DAPI,GFP".
        stain: "hematoxylin", "eosin" or "dab": an RGB image of stained tissue is read as the amount of this stain, one
            grey channel in which nuclei (hematoxylin) are bright.
        region: "y,x,height,width" or "z,y,x,depth,height,width" in pixels of what is read otherwise (after `level` or
            `pixel_size`).
        spacing: Distances of pixels in micrometres, for files that do not know theirs. One number for all axes, or
            z,y,x, or y,x, such as 2,0.5,0.5, also with units, such as 3mm,0.5mm,0.5mm.
        on_bad_tile: What to do with a part of the file that cannot be decoded: "stop" is an error at the first one,
            "background" reads it as background and says so.

    Raises:
        ConfigError: A value has no meaning, or `level` and `pixel_size` are both given.
    """

    axes: str | None = None
    series: int | None = None
    level: int | None = None
    pixel_size: float | str | Sequence[float] | None = None
    channels: str | Sequence[int | str] | None = None
    stain: Stain | None = None
    region: str | Sequence[int] | None = None
    spacing: float | str | Sequence[float] | None = None
    on_bad_tile: OnBadTile = "stop"

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", parse_channels(self.channels))
        object.__setattr__(self, "region", parse_region(self.region))
        object.__setattr__(self, "pixel_size", parse_pixel_size(self.pixel_size))
        object.__setattr__(self, "spacing", parse_pixel_size(self.spacing, "spacing"))
        for name, value in (("series", self.series), ("level", self.level)):
            if value is not None and value < 0:
                raise ConfigError(f"The {name} {value} is negative.", "Count from 0; `unetkit info` lists them.")
        if self.level is not None and self.pixel_size is not None:
            raise ConfigError(
                f"Level {self.level} and the pixel size {show_sizes(self.pixel_sizes)} µm are both given.",
                "Give one of them: a pixel size picks the level by itself.",
            )
        if self.stain is not None and self.stain not in get_args(Stain):
            raise ConfigError(f"There is no stain '{self.stain}'.", closest(self.stain, get_args(Stain)))
        if self.on_bad_tile not in get_args(OnBadTile):
            raise ConfigError(f"'{self.on_bad_tile}' is no answer to a bad tile.", "Choose stop or background.")

    @property
    def pixel_sizes(self) -> tuple[float, ...]:
        """The wanted sizes of a pixel in micrometres: one for all axes, or one for each; none if it is left open."""
        return each_size(self.pixel_size)

    @property
    def spacings(self) -> tuple[float, ...]:
        """The distances of pixels that the user gives, in micrometres, as `pixel_sizes`."""
        return each_size(self.spacing)


def each_size(size: object) -> tuple[float, ...]:
    """Return sizes as `parse_pixel_size` gives them, each by itself."""
    sizes = cast(PixelSizes | None, size)
    return () if sizes is None else (sizes,) if isinstance(sizes, float | int) else sizes


def parse_channels(channels: str | Sequence[int | str] | None) -> Channels | None:
    """Return the numbers and names of channels.

    >>> parse_channels("0, 2"), parse_channels([1]), parse_channels("DAPI,1")
    ((0, 2), (1,), ('DAPI', 1))

    Raises:
        ConfigError: A number is negative, or a name is empty.
    """
    if channels is None:
        return None
    parts = channels.split(",") if isinstance(channels, str) else channels
    parsed = tuple(_parse_channel(part) for part in parts)
    if not parsed or any(isinstance(one, int) and one < 0 for one in parsed) or "" in parsed:
        raise ConfigError(
            f"'{_show(channels)}' does not name channels.",
            "Give numbers from 0, for example 0,2, or names, for example DAPI,GFP.",
        )
    return parsed


def _parse_channel(part: object) -> int | str:
    """Return the number of a channel, or its name where it is none."""
    word = str(part).strip()
    try:
        return int(word)
    except ValueError:
        return word if isinstance(part, str) else ""


def parse_pixel_size(size: float | str | Sequence[float] | None, called: str = "pixel size") -> PixelSizes | None:
    """Return one size of a pixel, or one for each axis, in micrometres; `called` names the option.

    A unit at the end alone is that of all numbers.

    >>> parse_pixel_size("0.5"), parse_pixel_size("1mm, 500um, 500um"), parse_pixel_size("2,0.5,0.5mm")
    (0.5, (1000.0, 500.0, 500.0), (2000.0, 500.0, 500.0))

    Raises:
        ConfigError: They are no lengths above 0, or some have a unit and others have none.
    """
    if size is None:
        return None
    parts = size.split(",") if isinstance(size, str) else size if isinstance(size, Sequence) else [size]
    texts = [str(part).strip() for part in parts]
    units = [text.lstrip("+-.0123456789eE") for text in texts]
    if texts and units[-1] and not any(units[:-1]):
        texts = [*(f"{text}{units[-1]}" for text in texts[:-1]), texts[-1]]
    lengths = [length_in_um(text) for text in texts]
    sizes = tuple(one for one in lengths if one is not None and isfinite(one) and one > 0)
    if not 1 <= len(texts) <= 3 or len(sizes) < len(texts):
        raise ConfigError(
            f"A {called} of {','.join(texts)} has no meaning.",
            "Give a number above 0, or one for each axis, such as 2,0.5,0.5 (z,y,x), in µm or with units (1mm).",
        )
    if any(units[:-1]) and not all(units):
        raise ConfigError(
            f"Of the {called} {','.join(texts)} some numbers have a unit, and others have none.", "Give each its unit."
        )
    return sizes[0] if len(sizes) == 1 else sizes


def show_sizes(sizes: Sequence[float]) -> str:
    """Return sizes as they are given.

    >>> show_sizes((2.0, 0.5, 0.5))
    '2,0.5,0.5'
    """
    return ",".join(f"{size:g}" for size in sizes)


def parse_region(region: str | Sequence[int] | None) -> tuple[int, ...] | None:
    """Return the first pixel of a region along each axis, then its size along each.

    >>> parse_region("0,512,100,200"), parse_region([5, 0, 512, 10, 100, 200])
    ((0, 512, 100, 200), (5, 0, 512, 10, 100, 200))

    Raises:
        ConfigError: They are not four or six numbers, or the region is empty.
    """
    if region is None:
        return None
    numbers = _parse_numbers(region)
    if numbers is None or len(numbers) not in (4, 6) or min(numbers) < 0 or 0 in numbers[len(numbers) // 2 :]:
        raise ConfigError(
            f"'{_show(region)}' is no region.",
            "Give y,x,height,width in pixels, for example 0,0,1024,1024, or z,y,x,depth,height,width; sizes are above "
            "0.",
        )
    return numbers


def _parse_numbers(value: str | Sequence[int]) -> tuple[int, ...] | None:
    """Return whole numbers, None if they are none."""
    try:
        if isinstance(value, str):
            return tuple(int(part) for part in value.split(","))
        return tuple(int(part) for part in value) if all(int(part) == part for part in value) else None
    except (TypeError, ValueError):
        return None


def _show(value: str | Sequence[int | str]) -> str:
    return value if isinstance(value, str) else ",".join(str(part) for part in value)


WHOLE = ReadOptions()
"""The first image of a file, at full resolution, with all that it holds."""
