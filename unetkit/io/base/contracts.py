"""What an image is: planes or volumes of channels, read by windows and written by rows or blocks.

An image file may have any axes. There are three kinds: Y and X; channels (C and S, flattened into one); and all others
(T, Z, pages, ...). Each position along the others is one *plane*. Planes are numbered in C order. A plane is an *item*
of the image: it is read by windows, with one slice for each of its axes. Where Z is an axis of the item
(`unetkit.io.views.volume`), the item is a volume.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import ImageError
from unetkit.io.base.space import Space
from unetkit.io.base.stored import AS_SEEN, Encoding, Step

Window = tuple[slice, ...]
"""A part of an item: one slice with both ends for each of its axes, for example (rows, columns) of a plane."""

UNNAMED_AXES = "QI"
"""Letters of axes without a meaning: tifffile's 'unknown' and 'sequence of pages'."""


class Extent:
    """The sizes of an image or an output.

    Attributes:
        plane_shape: Sizes along the axes that are neither Y, X nor channels.
        size: Pixels along each axis of an item: (height, width) of a plane.
    """

    plane_shape: tuple[int, ...]
    size: tuple[int, ...]

    @property
    def planes(self) -> int:
        """Number of planes: the product of `plane_shape`."""
        return prod(self.plane_shape)

    @property
    def height(self) -> int:
        """Pixels along Y."""
        return self.size[-2]

    @property
    def width(self) -> int:
        """Pixels along X."""
        return self.size[-1]

    @property
    def pixels(self) -> int:
        """Pixels of all planes together, each counted once for all its channels."""
        return self.planes * prod(self.size)


@dataclass(frozen=True)
class ImageInfo(Extent):
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
        size: Pixels along each axis of an item: (height, width) of a plane.
        alpha: Whether the file has an alpha channel; it is dropped when pixels are read.
        pixel_size_um: Size of a pixel along each axis of an item, (y, x) or (z, y, x), in micrometres, if the file says
            so.
        steps: Distances between planes along Z (µm) and T (s), where the file gives them. An OME-Zarr without units has
            steps along Y and X too, in place of a pixel size.
        channel_names: Names of the channels; empty if the file gives none.
        block: Size of what is decoded at once (a tile, a strip, or the whole item) along each axis of an item.
        compression: Name of the compression, "none" if there is none.
        scratch_bytes: Size of the temporary file that reading takes where the file is compressed in pieces, or seen in
            several planes at once, that are too large for memory; 0 for most files.
        orientation: Where the stored first row and column belong, as TIFF and EXIF number it (1 to 8). 1 is upright;
            `open_image` returns only upright images.
        nodata: Value of pixels without data, if the file names one.
        colours: Whether the channels are the colours of one picture (RGB); None if the file does not say.
        remarks: Sentences for the user: what was chosen where the file leaves a choice or a doubt.
        encoding: How the values are stored, for an image that is read as stored. Its alpha channel is counted then.
        space: Where the volume lies in the scanner or the patient, for a medical image.
    """

    name: str
    format: str
    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    plane_axes: str
    plane_shape: tuple[int, ...]
    channels: int
    size: tuple[int, ...]
    alpha: bool = False
    pixel_size_um: tuple[float, ...] | None = None
    steps: tuple[Step, ...] = ()
    channel_names: tuple[str, ...] = ()
    block: tuple[int, ...] = (0, 0)
    compression: str = "none"
    scratch_bytes: int = 0
    orientation: int = 1
    nodata: float | None = None
    colours: bool | None = None
    remarks: tuple[str, ...] = ()
    encoding: Encoding = AS_SEEN
    space: Space | None = None


@dataclass(frozen=True)
class BadTile:
    """A part of an image that could not be decoded and was read as background.

    Attributes:
        item: Number of the plane.
        start: Its first pixel, one number for each axis: (y, x).
        size: Number of pixels along each axis: (height, width).
    """

    item: int
    start: tuple[int, ...]
    size: tuple[int, ...]

    @property
    def window(self) -> Window:
        """Where it lies in its item."""
        return tuple(slice(first, first + length) for first, length in zip(self.start, self.size, strict=True))


class ImageSource(Protocol):
    """Pixels that are read window by window. Each part of the file is decoded once when windows are read in order."""

    @property
    def info(self) -> ImageInfo:
        """The image as it is interpreted."""

    @property
    def bad_tiles(self) -> list[BadTile]:
        """What could not be decoded so far, in pixels of this source; empty unless it is read as background."""

    def read(self, item: int, window: Window) -> NDArray[Any]:
        """Return pixels (C, h, w) of a window inside one item, in the file's dtype.

        Raises:
            ImageError: The file is truncated or cannot be decoded.
        """

    def close(self) -> None:
        """Release the file."""


@dataclass(frozen=True)
class OutputSpec(Extent):
    """What is about to be written.

    Attributes:
        size: Pixels along each axis of an item: (height, width) of a plane.
        dtype: Type of the pixels: uint8 for masks, uint16 or uint32 for labels, float32 for probabilities.
        channels: Values for each pixel: 1 for masks, the number of classes for multi-class probabilities.
        plane_axes: Leading axes, for example "TZ".
        plane_shape: Sizes along `plane_axes`.
        pixel_size_um: Size of a pixel along each axis of an item in micrometres.
        notes: What made the output (model name and hash, version, command); stored in the file where the format can.
        pyramid: Whether smaller versions for viewers are added, where the format can.
        channel_names: One for each channel, or none; stored where the format can.
        steps: See `ImageInfo`.
        name: What the image is called, without a suffix; stored where the format can.
        compression: Compression of a TIFF: "none", "deflate", "lzw", "zstd", or "auto" for deflate.
        layout: Layout of a TIFF: "tiles", "strips", or "auto" to choose by the size.
        space: See `ImageInfo`.
    """

    size: tuple[int, ...]
    dtype: np.dtype[Any]
    channels: int = 1
    plane_axes: str = ""
    plane_shape: tuple[int, ...] = ()
    pixel_size_um: tuple[float, ...] | None = None
    notes: tuple[tuple[str, str], ...] = ()
    pyramid: bool = False
    channel_names: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    name: str = ""
    compression: str = "auto"
    layout: str = "auto"
    space: Space | None = None


class ImageSink(Protocol):
    """A place for an output, which appears whole or not at all.

    It is written at once, from rows in order (`write`); or in blocks in any order, between `begin` and `finish` (see
    `unetkit.io.base.blocks.written_in_blocks`).
    """

    @property
    def block(self) -> tuple[int, ...]:
        """What blocks keep to, along each axis of an item.

        A block starts at a multiple of it, and ends at one or at the end of the item.
        """

    @property
    def shared(self) -> bool:
        """Whether several processes may write blocks at a time: whether it is a `SharedSink`."""

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

    def begin(self) -> None:
        """Begin an output that is written in blocks.

        Raises:
            OutputError: It cannot be written; `abandon` it then.
        """

    def write_block(self, item: int, window: Window, pixels: NDArray[Any]) -> None:
        """Write one block; each part of the output is written once, in any order, from several threads at a time.

        Args:
            item: Number of the plane.
            window: Where it lies in the plane, see `block`.
            pixels: (channels, h, w).

        Raises:
            OutputError: The output cannot be written.
        """

    def finish(self) -> None:
        """Let the output appear, after all its blocks were written; it is the same as `write` makes.

        Raises:
            OutputError: The output cannot be written; `abandon` it then.
        """

    def abandon(self) -> None:
        """Remove what was written since `begin`, if there is anything."""


@dataclass(frozen=True)
class Piece:
    """A part of a smaller level of an output, which one process makes.

    Attributes:
        level: Number of the level; 1 is the first that is smaller than the output.
        items: Numbers of the planes of the level.
        window: Where it lies in each of them.
    """

    level: int
    items: range
    window: Window


class SharedSink(ImageSink, Protocol):
    """A sink whose blocks several processes write at a time.

    It is sent to them (it can be pickled), or made there from the same path and spec. One process begins before and
    finishes after all others. A block may be written again, also at the same time, with the same pixels: by another
    process than the one that was killed, or was taken for dead.
    """

    def resume(self) -> bool:
        """Go on with what an earlier run began; begin if there is nothing.

        Returns:
            Whether there was something: the blocks that were written then need not be written again.

        Raises:
            OutputError: What is there is of another output, or cannot be written.
        """

    def pieces(self) -> list[list[Piece]]:
        """Return the parts of each smaller level, which are made of the level above: blocks, or pieces of that."""

    def shrink(self, piece: Piece) -> None:
        """Make a part of a smaller level, in any process and any number of times, when the level above it is there.

        `finish` makes those that nobody made.

        Raises:
            OutputError: The output cannot be written.
        """


def background(fill: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the value of pixels that cannot be decoded: the file's fill value, or 0 in place of NaN."""
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
