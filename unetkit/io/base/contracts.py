"""What an image is to unetkit: planes of channels x height x width, read by windows and written by rows.

An image file may have any axes. They are sorted into three kinds: Y and X, channels (C and S, flattened into one), and
all others (T, Z, pages, ...), each combination of which is one *plane*. Planes are numbered in C order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import ImageError, OutputError
from unetkit.io.base.stored import AS_SEEN, Encoding, Step

UNNAMED_AXES = "QI"
"""Axis letters for which the file does not say what they are (tifffile's 'unknown' and 'sequence of pages')."""


@dataclass(frozen=True)
class ImageInfo:
    """An image as it is interpreted.

    Attributes:
        name: Path of the file, or a word for an array; used in messages.
        format: Kind of file: "TIFF", "OME-TIFF", "ImageJ TIFF", "PNG", "JPEG", "array", ...
        axes: Stored axes, one letter each, for example "TCYX"; S is samples (RGB).
        shape: Sizes along `axes`.
        dtype: Type of the pixels.
        plane_axes: The axes that are neither Y, X nor channels, for example "TZ"; "" for a single plane.
        plane_shape: Sizes along `plane_axes`.
        channels: Number of channels, an alpha channel not counted.
        height: Pixels along Y.
        width: Pixels along X.
        alpha: Whether the file has an alpha channel; it is dropped when pixels are read.
        pixel_size_um: Size of a pixel (y, x) in micrometres, if the file says so.
        steps: Distances between planes along Z (µm) and T (s), as far as the file gives them; of an OME-Zarr without
            units also those along Y and X, in place of a pixel size.
        channel_names: Names of the channels; empty if the file gives none.
        block: Height and width of the unit that the file decodes at once (a tile, a strip, or the whole image).
        compression: Name of the compression, "none" if there is none.
        scratch_bytes: Size of the temporary file that reading takes, because the file is compressed in pieces too large
            to be kept in memory; 0 for most.
        orientation: Where the stored first row and column belong, as TIFF and EXIF number it (1 to 8); 1 is upright, as
            all is that `open_image` returns.
        nodata: Value that the file names as that of pixels without data.
        colours: Whether the channels are the colours of one picture (RGB), as far as the file tells; None where it does
            not.
        remarks: Sentences for people: what was taken where the file leaves a choice or a doubt. Those who open a file
            for a user show them.
        encoding: How the values are stored, where an image is read as it is stored; its alpha channel is then counted.
    """

    name: str
    format: str
    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    plane_axes: str
    plane_shape: tuple[int, ...]
    channels: int
    height: int
    width: int
    alpha: bool = False
    pixel_size_um: tuple[float, float] | None = None
    steps: tuple[Step, ...] = ()
    channel_names: tuple[str, ...] = ()
    block: tuple[int, int] = (0, 0)
    compression: str = "none"
    scratch_bytes: int = 0
    orientation: int = 1
    nodata: float | None = None
    colours: bool | None = None
    remarks: tuple[str, ...] = ()
    encoding: Encoding = AS_SEEN

    @property
    def planes(self) -> int:
        """Number of planes: the product of `plane_shape`."""
        return prod(self.plane_shape)


@dataclass(frozen=True)
class BadTile:
    """A part of an image that could not be decoded and was read as background.

    Attributes:
        plane: Number of the plane.
        y: First row.
        x: First column.
        height: Number of rows.
        width: Number of columns.
    """

    plane: int
    y: int
    x: int
    height: int
    width: int


class ImageSource(Protocol):
    """Pixels that can be read window by window, each part of the file decoded once when windows are read in order."""

    @property
    def info(self) -> ImageInfo:
        """The image as it is interpreted."""

    @property
    def bad_tiles(self) -> list[BadTile]:
        """What could not be decoded so far, in pixels of this source; empty unless it goes on at such tiles."""

    def read(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Return pixels (C, h, w) of one plane in the file's dtype; the window lies inside the image.

        Raises:
            ImageError: The file is truncated or cannot be decoded.
        """

    def close(self) -> None:
        """Release the file."""


@dataclass(frozen=True)
class OutputSpec:
    """What is about to be written.

    Attributes:
        height: Pixels along Y.
        width: Pixels along X.
        dtype: Type of the pixels: uint8 for masks, uint16 or uint32 for labels, float32 for probabilities.
        channels: Values for each pixel: 1 for masks, the number of classes for multi-class probabilities.
        plane_axes: Leading axes, for example "TZ".
        plane_shape: Sizes along `plane_axes`.
        pixel_size_um: Size of a pixel (y, x) in micrometres.
        notes: What made the output (model name and hash, version, command); stored in the file where the format can.
        pyramid: Whether smaller versions for viewers are added, where the format can.
        channel_names: One for each channel, or none; stored where the format can.
        steps: See `ImageInfo`.
        name: What the image is called, without a suffix; stored where the format can.
        compression: Of a TIFF: "none", "deflate", "lzw", "zstd", or "auto" for deflate.
        layout: Of a TIFF: "tiles", "strips", or "auto" for what its size asks for.
    """

    height: int
    width: int
    dtype: np.dtype[Any]
    channels: int = 1
    plane_axes: str = ""
    plane_shape: tuple[int, ...] = ()
    pixel_size_um: tuple[float, float] | None = None
    notes: tuple[tuple[str, str], ...] = ()
    pyramid: bool = False
    channel_names: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    name: str = ""
    compression: str = "auto"
    layout: str = "auto"

    @property
    def planes(self) -> int:
        """Number of planes: the product of `plane_shape`."""
        return prod(self.plane_shape)


class ImageSink(Protocol):
    """A place for an output, which appears whole or not at all."""

    def write(self, rows: Iterable[NDArray[Any]]) -> None:
        """Write the whole output from its rows.

        Args:
            rows: Arrays (channels, h, width) that follow each other without gap or overlap: from the top of a plane to
                its bottom, plane after plane. `h` may vary; an array never crosses from one plane into the next, and
                is not changed after it was given.

        Raises:
            OutputError: The output cannot be written.

        An exception raised by `rows` passes through unchanged; the partial output is removed first.
        """


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
            height=shape[axes.index("Y")],
            width=shape[axes.index("X")],
        )

    def read(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Return pixels (C, h, w) of one plane."""
        index: list[int | slice] = [slice(None)] * len(self._axes)
        for axis, position in zip(
            self._plane_axes, np.unravel_index(plane, self.info.plane_shape or (1,)), strict=False
        ):
            index[axis] = int(position)
        index[self._axes.index("Y")] = rows
        index[self._axes.index("X")] = columns
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
        [BadTile(plane=1, y=4, x=0, height=4, width=4)]
        """
        rows, columns = box[self._axes.index("Y")], box[self._axes.index("X")]
        ranges = [range(box[axis].start, box[axis].stop) for axis in self._plane_axes]
        planes = [int(np.ravel_multi_index(one, self.info.plane_shape)) if one else 0 for one in product(*ranges)]
        height, width = rows.stop - rows.start, columns.stop - columns.start
        return [BadTile(plane, rows.start, columns.start, height, width) for plane in planes]

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


def background(fill: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the one value that stands for what cannot be decoded: the file's fill value, or 0 instead of NaN."""
    value = np.asarray(0 if fill is None else fill).astype(dtype)
    return value if dtype.kind != "f" or np.isfinite(value) else np.zeros((), dtype)


def match_channels(pixels: NDArray[Any], channels: int, name: str) -> NDArray[Any]:
    """Return `pixels` (C, h, w) with the number of channels that a model takes.

    Grey is repeated; everything else has to fit (alpha was dropped when the image was read).

    Raises:
        ImageError: The image has another number of channels.
    """
    if pixels.shape[0] == channels:
        return pixels
    if pixels.shape[0] == 1:
        return np.repeat(pixels, channels, axis=0)
    raise ImageError(
        f"{name} has {pixels.shape[0]} channels, but the model takes {channels}.",
        f"Choose one channel with --channels (the first is 0), give images of {channels} "
        f"channel{'s' if channels > 1 else ''} (grey is repeated, alpha is dropped), or train a model "
        f"with in_channels: {pixels.shape[0]}.",
    )
