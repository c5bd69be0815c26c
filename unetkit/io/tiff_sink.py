"""Masks and probabilities as tiled OME-TIFF, written while they are made."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from itertools import chain
from math import ceil, prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffWriter

from unetkit.errors import OutputError
from unetkit.io.image import OutputSpec
from unetkit.io.partial import partial_file

TILE = 512
TILE_STEP = 16
"""Heights and widths of tiles in TIFF are multiples of this."""

ENCODING_THREADS = 2
ENCODING_BYTES = 8 * 2**20
"""Pixels that wait for the encoding threads at most."""

CLASSIC_BYTES = 2**32 - 2**26
"""Uncompressed pixels that surely fit a classic TIFF with its metadata; larger outputs are BigTIFF."""

OME_TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")


class TiffSink:
    """Writes a tiled, deflate-compressed OME-TIFF, which appears under its name when it is whole.

    Values for each pixel (channels) are stored as samples (YXS). Of the plane axes, OME knows T and Z: the first others
    become Z and T as far as these are free, and with more than two plane axes all are flattened into one, Z.

    Args:
        path: The file.
        spec: What will be written.

    Raises:
        OutputError: OME-TIFF has no such dtype.
    """

    def __init__(self, path: Path, spec: OutputSpec) -> None:
        if np.dtype(spec.dtype).name not in OME_TYPES:
            raise OutputError(
                f"{path}: OME-TIFF does not hold pixels of {spec.dtype}.", f"Use one of {', '.join(OME_TYPES)}."
            )
        self._path = path
        self._spec = spec

    def write(self, rows: Iterable[NDArray[Any]]) -> None:
        """Write the whole output from its rows.

        Raises:
            OutputError: The file cannot be written.
        """
        spec = self._spec
        tiles = _Tiles(spec, rows)
        axes, plane_shape = ome_axes(spec.plane_axes, spec.plane_shape)
        samples = (spec.channels,) if spec.channels > 1 else ()
        shape = (*plane_shape, spec.height, spec.width, *samples)
        try:
            with (
                closing(tiles.cut()) as cut,
                partial_file(self._path) as partial,
                TiffWriter(partial, bigtiff=prod(shape) * spec.dtype.itemsize > CLASSIC_BYTES, ome=True) as writer,
            ):
                writer.write(
                    chain(cut),  # tifffile takes as many tiles as it needs, and would close a bare generator
                    shape=shape,
                    dtype=spec.dtype,
                    tile=tiles.tile,
                    photometric="minisblack",
                    planarconfig="contig" if samples else None,
                    compression="zlib",
                    compressionargs={"level": 1},
                    software="unetkit",
                    metadata=_metadata(spec, axes),
                    maxworkers=ENCODING_THREADS,
                    buffersize=ENCODING_BYTES,
                    **_resolution(spec),
                )
                if next(cut, None) is not None:
                    raise ValueError(f"There are more rows than the {spec.planes} planes of {spec.height} have.")
        except OutputError:
            if tiles.error is not None:  # an OSError of the rows is not one of this file
                raise tiles.error from None
            raise


class _Tiles:
    """Rows of pixels cut into tiles, plane after plane, buffering no more than one row of tiles.

    Attributes:
        tile: Height and width of a tile.
        error: What the rows raised, if they did.
    """

    def __init__(self, spec: OutputSpec, rows: Iterable[NDArray[Any]]) -> None:
        self.tile = (_tile_size(spec.height), _tile_size(spec.width))
        self.error: Exception | None = None
        self._spec = spec
        self._rows = rows

    def cut(self) -> Generator[NDArray[Any], None, None]:
        """Yield tiles (height, width) or (height, width, channels); those at the edges are smaller."""
        height, width = self.tile
        for band in self._bands():
            pixels = band[0] if self._spec.channels == 1 else band.transpose(1, 2, 0)
            for left in range(0, self._spec.width, width):
                tile = np.zeros((height, width, *pixels.shape[2:]), pixels.dtype)
                part = pixels[:, left : left + width]
                tile[: part.shape[0], : part.shape[1]] = part
                yield tile

    def _bands(self) -> Iterator[NDArray[Any]]:
        """Yield bands (channels, h, width) of the height of a tile, or less at the bottom of a plane."""
        spec = self._spec
        band = np.empty((spec.channels, self.tile[0], spec.width), spec.dtype)
        top = filled = plane = 0  # rows above the band in its plane, rows in it, and whole planes before it
        for block in self._pull():
            start = 0
            while start < block.shape[1]:
                needed = min(self.tile[0], spec.height - top)
                count = min(needed - filled, block.shape[1] - start)
                band[:, filled : filled + count] = block[:, start : start + count]
                start += count
                filled += count
                if filled == needed:
                    yield band[:, :needed]
                    plane, top = divmod(plane * spec.height + top + needed, spec.height)
                    filled = 0
        if (plane, top, filled) != (spec.planes, 0, 0):
            raise ValueError(f"The rows ended in plane {plane} of {spec.planes}, at row {top + filled}.")

    def _pull(self) -> Iterator[NDArray[Any]]:
        try:
            yield from self._rows
        except OSError as error:
            self.error = error
            raise


def ome_axes(plane_axes: str, plane_shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """Return plane axes that OME knows, and their sizes.

    >>> ome_axes("TZ", (3, 5)), ome_axes("Q", (7,)), ome_axes("TPZ", (2, 3, 4))
    (('TZ', (3, 5)), ('Z', (7,)), ('Z', (24,)))
    """
    if len(plane_axes) > 2:
        return "Z", (prod(plane_shape),)
    free = iter(axis for axis in "ZT" if axis not in plane_axes)
    return "".join(axis if axis in "TZ" else next(free) for axis in plane_axes), plane_shape


def _tile_size(pixels: int) -> int:
    return min(TILE, ceil(pixels / TILE_STEP) * TILE_STEP)


def _metadata(spec: OutputSpec, plane_axes: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"axes": plane_axes + ("YXS" if spec.channels > 1 else "YX"), "Creator": "unetkit"}
    if spec.pixel_size_um is not None:
        metadata["PhysicalSizeY"], metadata["PhysicalSizeX"] = spec.pixel_size_um  # OME's default unit is µm
    if spec.notes:
        metadata["MapAnnotation"] = {"Namespace": "unetkit", "Value": dict(spec.notes)}
    return metadata


def _resolution(spec: OutputSpec) -> dict[str, Any]:
    if spec.pixel_size_um is None:
        return {}
    size_y, size_x = spec.pixel_size_um
    return {"resolution": (1e4 / size_x, 1e4 / size_y), "resolutionunit": "CENTIMETER"}
