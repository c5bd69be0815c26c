"""Arrays as images: a source that is read by windows, and a sink that is filled with an output."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import ImageError, OutputError
from unetkit.io.base.contracts import UNNAMED_AXES, BadTile, ImageInfo, OutputSpec, Window


class ArraySource:
    """An array, or anything that can be sliced like one (memmap, zarr, dask), as an image source.

    Args:
        array: The pixels; only the windows asked for are read.
        axes: One letter for each dimension, for example "CYX" or "ZYXS"; Y and X are required.
        name: What to call it in messages.
        channels: Numbers of the channels to read, by default all of them.

    Attributes:
        info: The image as it is interpreted.
        bad_tiles: Always empty.

    Raises:
        ImageError: `axes` does not describe `array`, the array is empty, or has no such channels.
    """

    def __init__(self, array: Any, axes: str, name: str = "array", channels: Sequence[int] | None = None) -> None:
        shape = tuple(int(size) for size in array.shape)
        check_axes(axes, shape, name)
        channel_axes = [i for i, axis in enumerate(axes) if axis in "CS"]
        plane_axes = [i for i, axis in enumerate(axes) if axis not in "CSYX"]
        self._array = array
        self._axes = axes
        self._plane_axes = plane_axes
        self._order = [*channel_axes, axes.index("Y"), axes.index("X")]
        self._channel_axes = channel_axes
        self._channel_shape = tuple(shape[i] for i in channel_axes)
        total = prod(self._channel_shape)
        if channels is not None:
            check_channels(channels, total, axes, name)
        self._channels = None if channels is None else list(channels)
        interleaved = bool(channel_axes) and min(channel_axes) > max(axes.index("Y"), axes.index("X"))
        self._together = channels is None or interleaved or 2 * len(channels) >= total
        self.bad_tiles: list[BadTile] = []
        self.info = ImageInfo(
            name=name,
            format="array",
            axes=axes,
            shape=shape,
            dtype=np.dtype(array.dtype),
            plane_axes="".join(axes[i] for i in plane_axes),
            plane_shape=tuple(shape[i] for i in plane_axes),
            channels=total if channels is None else len(channels),
            size=(shape[axes.index("Y")], shape[axes.index("X")]),
        )

    def read(self, item: int, window: Window) -> NDArray[Any]:
        """Return pixels (C, h, w) of one plane."""
        index: list[int | slice] = [slice(None)] * len(self._axes)
        for axis, position in zip(
            self._plane_axes, np.unravel_index(item, self.info.plane_shape or (1,)), strict=False
        ):
            index[axis] = int(position)
        index[self._axes.index("Y")], index[self._axes.index("X")] = window
        if self._channels is None:
            return self._read_window(index)
        if self._together:
            return self._read_window(index)[self._channels]
        windows = []
        for channel in self._channels:
            for axis, position in zip(self._channel_axes, np.unravel_index(channel, self._channel_shape), strict=True):
                index[axis] = slice(int(position), int(position) + 1)
            windows.append(self._read_window(index))
        return np.concatenate(windows)

    def locate(self, box: Sequence[slice]) -> list[BadTile]:
        """Return where a box of the array, one slice for each dimension, lies in the planes.

        >>> ArraySource(np.zeros((2, 8, 8)), "ZYX").locate([slice(1, 2), slice(4, 8), slice(0, 4)])
        [BadTile(item=1, start=(4, 0), size=(4, 4))]
        """
        rows, columns = box[self._axes.index("Y")], box[self._axes.index("X")]
        ranges = [range(box[axis].start, box[axis].stop) for axis in self._plane_axes]
        planes = [int(np.ravel_multi_index(one, self.info.plane_shape)) if one else 0 for one in product(*ranges)]
        start, size = (rows.start, columns.start), (rows.stop - rows.start, columns.stop - columns.start)
        return [BadTile(plane, start, size) for plane in planes]

    def _read_window(self, index: Sequence[int | slice]) -> NDArray[Any]:
        """Return pixels (C, h, w) at one integer for each plane axis and one slice for each other."""
        window = np.asarray(self._array[tuple(index)])
        kept = [i for i in range(len(self._axes)) if i not in self._plane_axes]
        window = window.transpose([kept.index(i) for i in self._order])
        return window.reshape(-1, *window.shape[-2:])

    def close(self) -> None:
        """Nothing to release: the caller owns the array."""


class ArraySink:
    """Collects the output in an array.

    Args:
        spec: What will be written.
        target: Where to, for example a memmap or a zarr array of the shape and dtype below; a new array by default.

    Attributes:
        array: (planes ..., height, width), with the channels before the height where there is more than one; filled by
            `write`.

    Raises:
        OutputError: `target` has another shape or dtype.
    """

    def __init__(self, spec: OutputSpec, target: Any = None) -> None:
        channels = (spec.channels,) if spec.channels > 1 else ()
        shape = (*spec.plane_shape, *channels, spec.height, spec.width)
        if target is not None and not (hasattr(target, "shape") and hasattr(target, "dtype")):
            raise OutputError(
                f"The output is a {type(target).__name__}, and no array.",
                f"Give an array of shape {shape} and dtype {spec.dtype}, for example a NumPy array or a memmap.",
            )
        if target is not None and (tuple(target.shape) != shape or target.dtype != spec.dtype):
            raise OutputError(
                f"The output array has shape {tuple(target.shape)} and dtype {target.dtype}.",
                f"Give one of shape {shape} and dtype {spec.dtype}.",
            )
        self._spec = spec
        self.array = np.empty(shape, spec.dtype) if target is None else target

    def write(self, rows: Iterable[NDArray[Any]]) -> None:
        """Copy `rows` into `array`."""
        spec = self._spec
        position = 0
        for block in rows:
            plane, top = divmod(position, spec.height)
            place = [int(i) for i in np.unravel_index(plane, spec.plane_shape)] if spec.plane_shape else []
            window: Any = (*place, ..., slice(top, top + block.shape[1]), slice(None))
            self.array[window] = block if spec.channels > 1 else block[0]
            position += block.shape[1]


def check_axes(axes: str, shape: tuple[int, ...], name: str) -> None:
    """Raise an ImageError unless `axes` names each dimension of `shape` once, with Y and X among them."""
    if (
        not isinstance(axes, str)
        or len(axes) != len(shape)
        or len(set(axes)) != len(axes)
        or not {"Y", "X"} <= set(axes)
    ):
        raise ImageError(
            f"{name}: the axes '{axes}' do not describe an image of shape {shape}.",
            "Give one different letter for each dimension, with Y and X among them, for example 'CYX'.",
        )
    if not all(shape):
        raise ImageError(f"{name}: the image is empty (shape {shape}).", "Give an image with at least one pixel.")


def check_channels(channels: Sequence[int], total: int, axes: str, name: str) -> None:
    """Raise an ImageError unless an image with `total` channels has all of `channels`."""
    missing = [channel for channel in channels if not 0 <= channel < total]
    if missing:
        unnamed = any(axis in UNNAMED_AXES for axis in axes)
        raise ImageError(
            f"{name} has no channel {missing[0]}: it has {total}, and the first is number 0.",
            f"Give other channels, or --axes if its axes are not {axes}." if unnamed else "Give other channels.",
        )
