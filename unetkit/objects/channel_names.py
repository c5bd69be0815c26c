"""The channels of an image as columns of a table."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.contracts import ImageInfo


def name_channels(info: ImageInfo) -> tuple[str, ...]:
    """Return the names of channels, for columns: those of the file, the colours, `intensity`, or `channel_0` and on."""
    if info.channel_names:
        return info.channel_names
    if info.channels == 1:
        return ("intensity",)
    if info.channels == 3 and (info.colours or "S" in info.axes):
        return ("red", "green", "blue")
    return tuple(f"channel_{number}" for number in range(info.channels))


def as_numbers(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return pixels as numbers: truth values as 0 and 1."""
    return pixels.view(np.uint8) if pixels.dtype == np.bool_ else pixels
