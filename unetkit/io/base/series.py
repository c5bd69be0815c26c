"""The images in a file and their levels, and which of them `ReadOptions` choose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

from unetkit.foundation.errors import ConfigError, ImageError
from unetkit.io.base.read_options import ReadOptions, show_sizes
from unetkit.io.base.units import LARGEST_PIXEL_UM, SMALLEST_PIXEL_UM, UM_PER_INCH

PixelSize = tuple[float, ...]

SAME_SIZE_FACTOR = 1.01
"""A level whose pixels are larger than wanted by less than this factor has the wanted size: makers round."""

LISTED_SERIES = 20
"""How many images of a file an error names."""


@dataclass(frozen=True)
class Level:
    """One resolution of an image.

    Attributes:
        height: Pixels along Y.
        width: Pixels along X.
        pixel_size_um: Size of a pixel (y, x) in micrometres, if the file says so.
        step_um: Distance between planes along Z in micrometres, where levels have different ones.
    """

    height: int
    width: int
    pixel_size_um: PixelSize | None = None
    step_um: float | None = None


@dataclass(frozen=True)
class Series:
    """One of the images in a file.

    Attributes:
        name: What the file calls it; may be empty.
        axes: Stored axes, one letter each.
        shape: Sizes along `axes` at full resolution.
        dtype: Name of the type of the pixels.
        levels: Its resolutions, the full one first.
    """

    name: str
    axes: str
    shape: tuple[int, ...]
    dtype: str
    levels: tuple[Level, ...]


def pick_series(count: int, number: int | None, describe: Callable[[int], Series], name: str, default: int = 0) -> int:
    """Return the number of the series to read.

    Args:
        count: How many there are.
        number: Number of the wanted one; None if the user does not say.
        describe: Describes the series of a number, for the error.
        name: Path of the file, for messages.
        default: Number of the one that is read where the user does not say.

    Raises:
        ImageError: There is no such series. The remedy lists the series of the file.
    """
    if number is None:
        return default
    if number < count:
        return number
    known = []
    for i in range(min(count, LISTED_SERIES)):
        series = describe(i)
        known.append(f"{i} ({' '.join(filter(None, (series.name, series.axes, str(series.shape))))})")
    more = f" and {count - LISTED_SERIES} more" if count > LISTED_SERIES else ""
    raise ImageError(f"{name} has no series {number}.", f"Choose one of: {', '.join(known)}{more}.")


def pick_level(levels: Sequence[Level], reading: ReadOptions, name: str, stated: str = "") -> int:
    """Return the number of the level to read: the one asked for, or the coarsest that is as fine as the pixel size.

    Args:
        levels: The levels of the image.
        reading: The wanted level or pixel size.
        name: Path of the file, for messages.
        stated: What the file says about its resolution where this is no pixel size; for the error.

    Raises:
        ImageError: There is no such level, or a pixel size is wanted and the file gives none.
    """
    if reading.level is not None:
        if reading.level < len(levels):
            return reading.level
        known = ", ".join(f"{i} ({level.height} x {level.width})" for i, level in enumerate(levels))
        raise ImageError(f"{name} has no level {reading.level}.", f"Choose one of: {known} (height x width).")
    if reading.pixel_size is None:
        return 0
    *depth, wanted_y, wanted_x = broadcast_sizes(reading.pixel_sizes, max(2, len(reading.pixel_sizes)))
    sizes = [require_pixel_size(level.pixel_size_um, name, stated) for level in levels]
    fine = [
        i
        for i, (level, (y, x)) in enumerate(zip(levels, sizes, strict=True))
        if all(
            size is None or size <= wanted * SAME_SIZE_FACTOR
            for size, wanted in zip((level.step_um, y, x)[-2 - len(depth) :], (*depth, wanted_y, wanted_x), strict=True)
        )
    ]
    return max(fine, key=lambda i: max(sizes[i]), default=0)


def broadcast_sizes(sizes: Sequence[float], dims: int) -> tuple[float, ...]:
    """Return the wanted size of a pixel along each axis of an item.

    Args:
        sizes: One for all axes, or one for each.
        dims: Axes of an item.

    Raises:
        ConfigError: There are others.
    """
    if len(sizes) not in (1, dims):
        kind = "planes have (y,x)" if dims == 2 else "volumes have (z,y,x)"
        raise ConfigError(
            f"The pixel size {show_sizes(sizes)} has {len(sizes)} numbers, and {kind}.",
            f"Give one number, or {dims}.",
        )
    return tuple(sizes) * (dims if len(sizes) == 1 else 1)


def require_pixel_size(size: PixelSize | None, name: str, stated: str = "") -> PixelSize:
    """Return the pixel size of an image that is to be resampled.

    Args:
        size: The pixel size (y, x) in µm, if it is known.
        name: Path of the file, for messages.
        stated: What the file says about its resolution, such as "72 x 72 pixels per inch"; "" if it says nothing.

    Raises:
        ImageError: It is not known.
    """
    if size is None and stated:
        raise ImageError(
            f"{name} says {stated} (x, y), which is no pixel size of a microscope: its pixels would have to be from "
            f"{SMALLEST_PIXEL_UM:g} to {LARGEST_PIXEL_UM:g} µm large, at least "
            f"{UM_PER_INCH / LARGEST_PIXEL_UM:.0f} per inch.",
            "Write the pixel size into the file (in Fiji: Image > Properties), or leave the pixel size out.",
        )
    if size is None:
        raise ImageError(
            f"{name} does not say how large its pixels are, so it cannot be resampled to a pixel size.",
            "Leave out the pixel size, or pick a level of a pyramid by its number.",
        )
    return size


def scale_pixel_size(size: PixelSize | None, full: tuple[int, int], level: tuple[int, int]) -> PixelSize | None:
    """Return the pixel size (y, x) of a level from that of the full resolution.

    Args:
        size: Pixel size at full resolution.
        full: Height and width at full resolution.
        level: Height and width of the level.

    >>> scale_pixel_size((0.25, 0.25), (1001, 800), (250, 200))
    (1.0, 1.0)
    """
    if size is None:
        return None
    return size[0] * _reduction(full[0], level[0]), size[1] * _reduction(full[1], level[1])


def _reduction(full: int, level: int) -> float:
    """Return how many pixels became one. It is a whole number if the sizes allow it: pyramids drop last pixels."""
    whole = round(full / level)
    return whole if whole > 0 and full // whole <= level <= ceil(full / whole) else full / level
