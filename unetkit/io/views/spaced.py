"""A view of an image whose pixels are as far apart as the user says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from unetkit.foundation.errors import ImageError
from unetkit.io.base.contracts import UNNAMED_AXES, BadTile, ImageInfo, ImageSource, Window
from unetkit.io.base.stored import Step


class SpacedSource:
    """An image with another size of its pixels, which are not changed.

    Args:
        source: The image, whose items are planes; closed with this one.
        spacing: Distances along the last axes in µm: one for all, or those along y and x, or along z, y and x.

    Attributes:
        info: The image as it is interpreted.

    Raises:
        ImageError: The image has no planes along Z though a distance is given, or lies in space, with a spacing that
            its place rests on.
    """

    def __init__(self, source: ImageSource, spacing: Sequence[float]) -> None:
        self._source = source
        self.info = _spaced(source.info, spacing)

    @property
    def bad_tiles(self) -> list[BadTile]:
        """What could not be decoded so far."""
        return self._source.bad_tiles

    def read(self, item: int, window: Window) -> NDArray[Any]:
        """Return pixels (C, h, w) of one plane."""
        return self._source.read(item, window)

    def close(self) -> None:
        """Close the image."""
        self._source.close()


def _spaced(info: ImageInfo, spacing: Sequence[float]) -> ImageInfo:
    if info.space is not None and info.pixel_size_um is not None:
        raise ImageError(
            f"{info.name} says where it lies in space, and its spacing is a part of that.",
            "Leave --spacing out, or correct the file.",
        )
    depth = _depth_axis(info)
    if depth == "" and len(spacing) > 2:
        raise ImageError(
            f"{info.name} has no planes along Z, and --spacing gives {len(spacing)} distances.",
            "Give y,x, or say which axis is Z with --axes.",
        )
    *above, y, x = spacing if len(spacing) > 1 else (*([spacing[0]] if depth else []), spacing[0], spacing[0])
    steps = tuple(step for step in info.steps if step.axis not in (depth if above else "", "Y", "X"))
    steps = (*steps, *(Step(depth, one, "µm") for one in above))
    remarks = info.remarks
    if info.pixel_size_um not in (None, (y, x)):
        told = " x ".join(f"{one:g}" for one in info.pixel_size_um or ())
        remarks = (*remarks, f"It says that its pixels are {told} µm (y, x); {y:g} x {x:g} µm is taken (--spacing).")
    return replace(info, pixel_size_um=(y, x), steps=steps, space=None, remarks=remarks)


def _depth_axis(info: ImageInfo) -> str:
    """Return the letter of the axis that is depth, "" if there is none."""
    if "Z" in info.plane_axes:
        return "Z"
    return info.plane_axes if len(info.plane_axes) == 1 and info.plane_axes in UNNAMED_AXES else ""
