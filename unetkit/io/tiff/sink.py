"""Masks, labels and probabilities as OME-TIFF, written while they are made."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffWriter

from unetkit.foundation.atomic import errors_of, partial_file
from unetkit.foundation.errors import OutputError
from unetkit.io.base.axes import kept_steps, ome_axes
from unetkit.io.base.contracts import OutputSpec
from unetkit.io.tiff.levels import link_levels
from unetkit.io.tiff.tiles import Pieces, TilePages, choose_pieces, tile_size
from unetkit.io.writing.block_store import OrderedSink
from unetkit.io.writing.rechunk import cut_bands, level_sizes

CLASSIC_BYTES = 2**32 - 2**26
"""Uncompressed pixels that surely fit a classic TIFF with its metadata; larger outputs are BigTIFF."""

TIFFFILE_COMPRESSIONS = {"none": None, "deflate": "zlib", "lzw": "lzw", "zstd": "zstd"}

LZW_GROWTH = 1.5
"""How much larger LZW makes what cannot be compressed."""

STEP_KEYS = {"Z": "PhysicalSizeZ", "T": "TimeIncrement"}

OME_TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")


def check_tiff(path: Path, spec: OutputSpec) -> None:
    """Check that an OME-TIFF can hold an output.

    Raises:
        OutputError: OME-TIFF has no such dtype.
    """
    if np.dtype(spec.dtype).name not in OME_TYPES:
        raise OutputError(
            f"{path}: OME-TIFF does not hold pixels of {spec.dtype}.", f"Use one of {', '.join(OME_TYPES)}."
        )


class TiffSink(OrderedSink):
    """Writes an OME-TIFF, which appears under its name when it is whole.

    Small images are stored in strips, compressed by deflate, as ImageJ without Bio-Formats reads no tiles and no
    Zstandard; large ones and pyramids in tiles.

    Of the plane axes, OME knows T and Z: the first others become Z and T as far as these are free, and with more than
    two plane axes all are flattened into one, Z. Each channel is a page (CYX), as only then it can have a name. The
    smaller levels of a pyramid are the SubIFDs of their page; those of an image of one page are pages of the file, too
    (see `link_levels`). The same rows give the same bytes, however they are cut.

    Args:
        path: The file.
        spec: What will be written.

    Raises:
        OutputError: OME-TIFF has no such dtype.
    """

    def __init__(self, path: Path, spec: OutputSpec) -> None:
        check_tiff(path, spec)
        super().__init__(path, spec)

    def write(self, rows: Iterable[NDArray[Any]]) -> None:
        """Write the whole output from its rows.

        Raises:
            OutputError: The file cannot be written.
        """
        spec = self._spec
        sizes = level_sizes(spec)
        pixels = spec.planes * spec.channels * sum(height * width for height, width in sizes)
        pieces = choose_pieces(spec)
        growth = LZW_GROWTH if pieces.compression == "lzw" else 1
        big = pixels * spec.dtype.itemsize * growth > CLASSIC_BYTES
        with (
            errors_of(rows) as safe_rows,
            partial_file(self._path) as partial,
            TilePages(cut_bands(spec, safe_rows, pieces.rows), sizes, self._path.parent, pieces) as pages,
        ):
            with TiffWriter(partial, bigtiff=big, byteorder="<", ome=True) as writer:
                first = pages.first()
                self._write_level(writer, chain(first), 0, sizes, pieces)
                deque(first, maxlen=0)  # tifffile takes as many pieces as it needs: what is left is smaller levels
                for level in range(1, len(sizes)):
                    self._write_level(writer, pages.level(level, spec.planes), level, sizes, pieces)
            if len(sizes) > 1 and spec.planes * spec.channels == 1:
                link_levels(partial)

    def _write_level(
        self, writer: TiffWriter, encoded: Iterator[bytes], level: int, sizes: list[tuple[int, ...]], pieces: Pieces
    ) -> None:
        """Write all pages of one level; level 0 announces the others."""
        spec = self._spec
        axes, plane_shape = ome_axes(spec.plane_axes, spec.plane_shape)
        axes += "CYX" if spec.channels > 1 else "YX"
        channels = (spec.channels,) if spec.channels > 1 else ()
        height, width = sizes[level]
        writer.write(
            encoded,
            shape=(*plane_shape, *channels, height, width),
            dtype=spec.dtype,
            tile=(tile_size(height), tile_size(width)) if pieces.tiled else None,
            rowsperstrip=None if pieces.tiled else pieces.rows,
            photometric="minisblack",
            compression=TIFFFILE_COMPRESSIONS[pieces.compression],
            software="unetkit",
            metadata=None if level else _metadata(spec, axes),
            subifds=None if level else len(sizes) - 1,
            subfiletype=int(level > 0),
            **_resolution(spec, level),
        )


def _metadata(spec: OutputSpec, axes: str) -> dict[str, Any]:
    # Made from what is written, as a random one would make every file another.
    metadata: dict[str, Any] = {"axes": axes, "Creator": "unetkit", "UUID": str(uuid5(NAMESPACE_URL, repr(spec)))}
    if spec.name:
        metadata["Name"] = spec.name
    if spec.pixel_size_um is not None:
        metadata["PhysicalSizeY"], metadata["PhysicalSizeX"] = spec.pixel_size_um  # OME's default unit is µm
    for step in kept_steps(spec):
        if step.unit and step.axis in STEP_KEYS:
            metadata[STEP_KEYS[step.axis]] = step.size  # in µm and s, the default units
    if spec.channel_names:
        metadata["Channel"] = {"Name": list(spec.channel_names)}
    if spec.notes:
        metadata["MapAnnotation"] = {"Namespace": "unetkit", "Value": dict(spec.notes)}
    return metadata


def _resolution(spec: OutputSpec, level: int) -> dict[str, Any]:
    if spec.pixel_size_um is None:
        return {}
    size_y, size_x = spec.pixel_size_um
    per_cm = 1e4 / 2**level
    return {"resolution": (per_cm / size_x, per_cm / size_y), "resolutionunit": "CENTIMETER"}
