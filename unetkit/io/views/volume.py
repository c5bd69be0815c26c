"""A view of the planes of a stack as one volume."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import ImageError
from unetkit.io.base.contracts import UNNAMED_AXES, BadTile, ImageInfo, ImageSource, OutputSpec, Window
from unetkit.io.base.stored import Step

UM = "µm"
"""Unit of the distance between planes that makes them a volume whose voxels have a size."""


class VolumeSource:
    """The planes along Z as volumes: an item for each position along the other axes (time, ...).

    Args:
        source: The image, whose items are planes; closed with this one.

    Attributes:
        info: The image as it is interpreted: Z is an axis of its items.

    Raises:
        ImageError: The image has no axis that can be Z.
    """

    def __init__(self, source: ImageSource) -> None:
        info = source.info
        self._source = source
        self._axis = depth_axis(info)
        self._depth = info.plane_shape[self._axis]
        # C order: the planes of a volume are `_step` numbers apart.
        self._step = prod(info.plane_shape[self._axis + 1 :])
        self.info = _of_volumes(info, self._axis)

    @property
    def bad_tiles(self) -> list[BadTile]:
        """What could not be decoded so far."""
        found = []
        for tile in self._source.bad_tiles:
            item, depth = self._place(tile.item)
            found.append(BadTile(item, (depth, *tile.start), (1, *tile.size)))
        return found

    def read(self, item: int, window: Window) -> NDArray[Any]:
        """Return voxels (C, d, h, w) of one volume."""
        depths, *inside = window
        first = item // self._step * self._step * self._depth + item % self._step
        planes = [self._source.read(first + z * self._step, tuple(inside)) for z in range(depths.start, depths.stop)]
        return np.stack(planes, axis=1)

    def close(self) -> None:
        """Close the image."""
        self._source.close()

    def _place(self, plane: int) -> tuple[int, int]:
        """Return the volume that a plane lies in, and its place along Z."""
        outer, inner = divmod(plane, self._step)
        before, depth = divmod(outer, self._depth)
        return before * self._step + inner, depth


class PlaneSource:
    """The planes of volumes, one after the other: the way back from `VolumeSource`.

    Args:
        source: The image, whose items are volumes; closed with this one.

    Attributes:
        info: The image as it is interpreted: Z is the last of its plane axes.
    """

    def __init__(self, source: ImageSource) -> None:
        self._source = source
        self._depth = source.info.size[0]
        self.info = as_planes(source.info)

    @property
    def bad_tiles(self) -> list[BadTile]:
        """What could not be decoded so far."""
        return [
            BadTile(tile.item * self._depth + z, tile.start[1:], tile.size[1:])
            for tile in self._source.bad_tiles
            for z in range(tile.start[0], tile.start[0] + tile.size[0])
        ]

    def read(self, item: int, window: Window) -> NDArray[Any]:
        """Return pixels (C, h, w) of one plane."""
        volume, z = divmod(item, self._depth)
        plane: NDArray[Any] = self._source.read(volume, (slice(z, z + 1), *window))[:, 0]
        return plane

    def close(self) -> None:
        """Close the image."""
        self._source.close()


def depth_axis(info: ImageInfo) -> int:
    """Return which of the plane axes is Z: the one of that name, or else the only one if it has no name.

    Raises:
        ImageError: There is none.
    """
    found = find_depth(info)
    if found is not None:
        return found
    axes = f"the axes {info.axes}" if info.plane_axes else "one plane"
    raise ImageError(
        f"{info.name} has {axes}, and the model takes volumes.",
        "Give a stack; if one of its axes is depth, say so with --axes, for example --axes ZYX.",
    )


def find_depth(info: ImageInfo) -> int | None:
    """Return which of the plane axes is Z, see `depth_axis`; None if there is none."""
    if "Z" in info.plane_axes:
        return info.plane_axes.index("Z")
    return 0 if len(info.plane_axes) == 1 and info.plane_axes in UNNAMED_AXES else None


def _of_volumes(info: ImageInfo, axis: int) -> ImageInfo:
    letter, depth = info.plane_axes[axis], info.plane_shape[axis]
    step = next((one for one in info.steps if one.axis == letter), None)
    known = info.pixel_size_um is not None and step is not None and step.unit == UM
    return replace(
        info,
        axes=info.axes.replace(letter, "Z"),
        plane_axes=info.plane_axes.replace(letter, ""),
        plane_shape=info.plane_shape[:axis] + info.plane_shape[axis + 1 :],
        size=(depth, *info.size),
        block=(1, *info.block),
        pixel_size_um=(step.size, *info.pixel_size_um) if known and step and info.pixel_size_um else None,
        steps=tuple(one for one in info.steps if one.axis != letter),
    )


def as_planes(info: ImageInfo) -> ImageInfo:
    """Return the description of an image of volumes as one of planes: Z is the last of the plane axes."""
    return replace(info, block=info.block[1:], **sizes_of_planes(info))


def sizes_of_planes(extent: ImageInfo | OutputSpec) -> dict[str, Any]:
    """Return the fields that differ where volumes are described as planes."""
    depth, *size = extent.size
    voxel = extent.pixel_size_um
    return {
        "plane_axes": f"{extent.plane_axes}Z",
        "plane_shape": (*extent.plane_shape, depth),
        "size": tuple(size),
        "pixel_size_um": None if voxel is None else voxel[1:],
        "steps": (*extent.steps, *(() if voxel is None else (Step("Z", voxel[0], UM),))),
    }
