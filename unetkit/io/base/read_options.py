"""Which part of an image file is read, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal, get_args

from unetkit.foundation.errors import ConfigError, closest
from unetkit.io.base.spacing import parse_spacing

OnBadTile = Literal["stop", "background"]

Channels = tuple[int | str, ...]
"""Numbers and names of channels."""

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
        pixel_size: Size of a pixel in micrometres: the nearest finer level is read and resampled to it.
        channels: Channels in the order wanted: numbers from 0, such as "0,2", or names that the file gives them, such
            as "DAPI" or "DAPI,GFP".
        stain: "hematoxylin", "eosin" or "dab": an RGB image of stained tissue is read as the amount of this stain, one
            grey channel in which nuclei (hematoxylin) are bright.
        region: "y,x,height,width" in pixels of what is read otherwise (after `level` or `pixel_size`).
        spacing: Distances of pixels in micrometres, for files that do not know theirs: "z,y,x", "y,x", or one for all
            axes; with a unit where it is another, such as "3,0.5,0.5mm" or "50nm".
        on_bad_tile: What to do with a part of the file that cannot be decoded: "stop" is an error at the first one,
            "background" reads it as background and says so.

    Raises:
        ConfigError: A value has no meaning, or `level` and `pixel_size` are both given.
    """

    axes: str | None = None
    series: int | None = None
    level: int | None = None
    pixel_size: float | None = None
    channels: str | Sequence[int | str] | None = None
    stain: Stain | None = None
    region: str | Sequence[int] | None = None
    spacing: str | Sequence[float] | None = None
    on_bad_tile: OnBadTile = "stop"

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", parse_channels(self.channels))
        object.__setattr__(self, "region", parse_region(self.region))
        object.__setattr__(self, "spacing", parse_spacing(self.spacing))
        for name, value in (("series", self.series), ("level", self.level)):
            if value is not None and value < 0:
                raise ConfigError(f"The {name} {value} is negative.", "Count from 0; `unetkit info` lists them.")
        if self.pixel_size is not None and not (isfinite(self.pixel_size) and self.pixel_size > 0):
            raise ConfigError(f"A pixel size of {self.pixel_size} µm has no meaning.", "Give a number above 0.")
        if self.level is not None and self.pixel_size is not None:
            raise ConfigError(
                f"Level {self.level} and the pixel size {self.pixel_size:g} µm are both given.",
                "Give one of them: a pixel size picks the level by itself.",
            )
        if self.stain is not None and self.stain not in get_args(Stain):
            raise ConfigError(f"There is no stain '{self.stain}'.", closest(self.stain, get_args(Stain)))
        if self.on_bad_tile not in get_args(OnBadTile):
            raise ConfigError(f"'{self.on_bad_tile}' is no answer to a bad tile.", "Choose stop or background.")


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


def parse_region(region: str | Sequence[int] | None) -> tuple[int, int, int, int] | None:
    """Return top, left, height and width of a region.

    >>> parse_region("0,512,100,200")
    (0, 512, 100, 200)

    Raises:
        ConfigError: They are not four numbers, or the region is empty.
    """
    if region is None:
        return None
    numbers = _parse_numbers(region)
    if numbers is None or len(numbers) != 4 or min(numbers) < 0 or 0 in numbers[2:]:
        raise ConfigError(
            f"'{_show(region)}' is no region.",
            "Give y,x,height,width in pixels, for example 0,0,1024,1024; height and width are above 0.",
        )
    return (numbers[0], numbers[1], numbers[2], numbers[3])


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
