"""DICOM by slices: each is read and decoded when it is needed, once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import pixel_array

from unetkit.foundation.errors import ImageError
from unetkit.io.base.arrays import ArraySource, check_axes
from unetkit.io.base.channels import pick_channels
from unetkit.io.base.contracts import BadTile, Window
from unetkit.io.base.read_options import ReadOptions, parse_channels
from unetkit.io.base.series import Level, Series, pick_level, pick_series
from unetkit.io.decoding.chunk_format import Box, DamagedChunkError
from unetkit.io.decoding.chunked import ChunkedArray
from unetkit.io.medical.dicom_files import Slice, find_slices
from unetkit.io.medical.dicom_series import Stack, group, stack
from unetkit.io.medical.needs import INSTALL

LISTED = 8
"""How many series a remark names."""

COLOURS = 3


class DicomSource:
    """A DICOM series: the slices in a folder, or the frames of a file.

    Values are those that the slope and the intercept make of the stored ones, such as Hounsfield units: whole numbers
    where these are whole, float32 where not. Radiographs in which 0 is white are inverted, unless masks are read. No
    window for screens is applied. Memory does not grow with the series. Reading is thread-safe.

    Args:
        path: A folder, a file, or a DICOMDIR.
        reading: Which series; axes; channels; what to do with slices that are missing or damaged.
        as_stored: Whether values are read without inverting them.
        cache_bytes: Bound of the decoded bytes that are kept in memory between reads.

    Attributes:
        info: The image as it is interpreted.

    Raises:
        ImageError: A file cannot be read, slices do not make a volume, or `reading` does not fit it.
    """

    def __init__(self, path: Path, reading: ReadOptions, *, as_stored: bool, cache_bytes: int) -> None:
        name = str(path)
        slices, others = find_slices(path)
        series = group(slices)
        usual = max(range(len(series)), key=lambda number: len(series[number]))
        number = pick_series(len(series), reading.series, lambda i: _series(series[i]), name, usual)
        found = stack(series[number], name, reading.on_bad_tile)
        remarks = _remarks(series, number, others) if reading.series is None else ()
        self._slices = DicomSlices(found, name, inverted=not as_stored)
        samples = "S" if self._slices.samples > 1 else ""
        axes = reading.axes.upper() if reading.axes else f"{found.axes}YX{samples}"
        check_axes(axes, self._slices.shape, name)
        pick_level([_level(found, self._slices.size)], reading, name)
        self._array = ChunkedArray(self._slices, cache_bytes=cache_bytes, on_bad_tile=reading.on_bad_tile)
        total = ArraySource(self._array, axes, name).info.channels
        picked = pick_channels(parse_channels(reading.channels), (), total, axes, name)
        self._pixels = ArraySource(self._array, axes, name, picked)
        self.info = replace(
            self._pixels.info,
            format="DICOM",
            pixel_size_um=found.pixel_size_um,
            steps=tuple(step for step in found.steps if step.axis in self._pixels.info.plane_axes),
            space=found.space,
            colours=True if samples and self._pixels.info.channels > 1 else None,
            block=self._pixels.info.size,
            compression=self._slices.compression,
            remarks=(*remarks, *found.remarks, *self._slices.remarks),
        )

    @property
    def bad_tiles(self) -> list[BadTile]:
        """Slices that are missing or could not be decoded, and were read as background."""
        return list(dict.fromkeys(tile for box in list(self._array.bad_boxes) for tile in self._pixels.locate(box)))

    def read(self, item: int, window: Window) -> NDArray[Any]:
        """Return pixels (C, h, w) of one plane.

        Raises:
            ImageError: A slice cannot be decoded.
        """
        return self._pixels.read(item, window)

    def close(self) -> None:
        """Stop the decoding threads."""
        self._array.close()


class DicomSlices:
    """The slices of a series as chunks of an array, see `ChunkFormat`.

    Args:
        found: The series.
        name: Path of the image, for messages.
        inverted: Whether images in which 0 is white are inverted.

    Attributes:
        samples: Values of a pixel.
        size: Rows and columns.
        compression: How the pixels are compressed.
        remarks: Sentences for the user.

    Raises:
        ImageError: The pixels are of a kind that is not read, or compressed in a way that needs another package.
    """

    noun = "slices"
    chunks_per_task = 1

    def __init__(self, found: Stack, name: str, *, inverted: bool) -> None:
        there = [one for one in found.slices if one is not None]
        first = there[0]
        self.name = name
        self._stack = found
        self.samples, self.size = first.samples, first.size
        samples = (first.samples,) if first.samples > 1 else ()
        self.shape = (*found.shape, *first.size, *samples)
        self.chunks = (*(1 for _ in found.shape), *first.size, *samples)
        self._scaled = any((one.slope, one.inter) != (1, 0) for one in there)
        self.dtype = _value_type(there) if self._scaled else np.dtype(f"{'i' if first.signed else 'u'}{_bytes(first)}")
        self._inverted = inverted and first.photometric == "MONOCHROME1"
        self.fill = self._values(np.array(first.padding or 0), first)
        self.remarks = ("0 is white in it: its values are inverted.",) if self._inverted else ()
        self.compression = _compression(first)
        _check(there, name)

    def fetch(self, boxes: Sequence[Box], *, oversize: bool) -> Iterator[Sequence[tuple[int, Any]]]:  # noqa: ARG002
        """Leave the reading to `decode`."""
        yield [(number, None) for number in range(len(boxes))]

    def decode(self, box: Box, encoded: Any) -> NDArray[Any]:  # noqa: ARG002
        """Read and decode a slice.

        Raises:
            DamagedChunkError: It is missing, or cannot be decoded.
        """
        one = self._at(box)
        if one is None:
            raise DamagedChunkError("the slice is missing")
        try:
            pixels = pixel_array(one.path, index=one.frame)
        except Exception as error:  # broad: what decoders of other packages raise has no limits
            raise DamagedChunkError(f"{one.path.name}: {type(error).__name__}") from error
        return self._values(pixels, one).reshape((*(1 for _ in self._stack.shape), *pixels.shape))

    def describe(self, box: Box) -> str:
        """Return which slice a box is."""
        at = tuple(part.start for part in box[: len(self._stack.shape)])
        return f"slice {' '.join(map(str, at))}".strip()

    def _at(self, box: Box) -> Slice | None:
        at = tuple(part.start for part in box[: len(self._stack.shape)])
        return self._stack.slices[int(np.ravel_multi_index(at, self._stack.shape)) if at else 0]

    def _values(self, pixels: NDArray[Any], one: Slice) -> NDArray[Any]:
        """Return what stored values stand for."""
        if self._inverted:
            top = -1 if one.signed else 2**one.bits - 1
            pixels = (top - pixels.astype(np.int64)).astype(pixels.dtype)
        if not self._scaled:
            return pixels.astype(self.dtype, copy=False)
        return (pixels * np.float64(one.slope) + one.inter).astype(self.dtype)


def list_dicom_series(path: Path) -> tuple[Series, ...]:
    """Return the series in a folder or a file, from headers alone.

    Raises:
        ImageError: A file cannot be read.
    """
    return tuple(_series(one) for one in group(find_slices(path)[0]))


def _series(slices: Sequence[Slice]) -> Series:
    """Return what a series is, without checking that its slices make a volume."""
    first = slices[0]
    depth = () if len(slices) == 1 and first.position is None else (len(slices),)
    samples = (first.samples,) if first.samples > 1 else ()
    axes = f"{('Q' if first.position is None else 'Z') if depth else ''}YX{'S' if samples else ''}"
    dtype = f"{'' if first.signed else 'u'}int{_bytes(first) * 8}"
    level = Level(*first.size, None if first.spacing is None else tuple(1000 * size for size in first.spacing))
    return Series(first.title, axes, (*depth, *first.size, *samples), dtype, (level,))


def _remarks(series: Sequence[Sequence[Slice]], number: int, others: int) -> tuple[str, ...]:
    """Return remarks on what else there is."""
    remarks: tuple[str, ...] = ()
    if len(series) > 1:
        listed = ", ".join(
            f"{i}: {one[0].title or 'no name'}, {len(one)} slices"
            for i, one in enumerate(series[: LISTED + 1])
            if i != number
        )
        more = f" and {len(series) - LISTED - 1} more" if len(series) > LISTED + 1 else ""
        remarks = (
            f"It holds {len(series)} series, of which number {number} ({series[number][0].title or 'no name'}, "
            f"{len(series[number])} slices) is read; --series chooses another ({listed}{more}).",
        )
    return (*remarks, f"{others} DICOM files in it are no images.") if others else remarks


def _level(found: Stack, size: tuple[int, int]) -> Level:
    return Level(*size, found.pixel_size_um)


def _bytes(one: Slice) -> int:
    return max(1, one.allocated // 8)


def _value_type(slices: Sequence[Slice]) -> np.dtype[Any]:
    """Return the type of values with slope and intercept: the smallest of whole numbers that holds all, or float32."""
    if any(not (one.slope.is_integer() and one.inter.is_integer()) for one in slices):
        return np.dtype(np.float32)
    ends = []
    for one in slices:
        low, high = (-(2 ** (one.bits - 1)), 2 ** (one.bits - 1) - 1) if one.signed else (0, 2**one.bits - 1)
        ends += [low * one.slope + one.inter, high * one.slope + one.inter]
    for dtype in (np.int16, np.int32):
        if np.iinfo(dtype).min <= min(ends) and max(ends) <= np.iinfo(dtype).max:
            return np.dtype(dtype)
    return np.dtype(np.float32)


def _compression(one: Slice) -> str:
    return str(one.syntax.name) if one.syntax.is_compressed else "none"


def _check(slices: Sequence[Slice], name: str) -> None:
    """Raise an ImageError for pixels that are not read, or need a package that is missing."""
    first = slices[0]
    if first.photometric == "PALETTE COLOR":
        raise ImageError(f"{name} has pixels that are numbers of colours.", "Export it as RGB, or as PNG.")
    if first.samples not in (1, COLOURS) or first.allocated not in (1, 8, 16, 32):
        raise ImageError(
            f"{name} has pixels of {first.samples} x {first.allocated} bits, which are not read.", "Export it again."
        )
    for syntax in {one.syntax for one in slices}:
        try:
            ready = get_decoder(syntax).is_available if syntax.is_compressed else True
        except NotImplementedError:
            ready = False
        if not ready:
            raise ImageError(
                f"{name} is compressed with {syntax.name}, and no package is there that decodes it.",
                f"{INSTALL[:-1]}, or decompress it with `gdcmconv --raw`.",
            )
