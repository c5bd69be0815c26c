"""An array in an HDF5 file, read by windows; each chunk is decoded once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.arrays import ArraySource, check_axes
from unetkit.io.base.channels import pick_channels
from unetkit.io.base.inner import split_inner
from unetkit.io.base.read_options import ReadOptions, parse_channels
from unetkit.io.base.series import Series, pick_level
from unetkit.io.decoding.chunk_format import Box, DamagedChunkError
from unetkit.io.decoding.chunked import ChunkedArray
from unetkit.io.decoding.chunked_source import ChunkedSource
from unetkit.io.hdf5.datasets import choose, describe, find_images, open_file, opened, read_facts

PIECE = 512
"""Pixels along the last two dimensions of what is read at once of an array that is not stored in chunks."""


class Hdf5Source(ChunkedSource):
    """An array in an HDF5 file.

    Each chunk is decoded once when windows are read in order. Memory does not grow with the image. Reading is
    thread-safe. Truth values become 0 and 255.

    Args:
        path: The file, or `file.h5:/key`.
        reading: Axes, the number of the array where it is not named, channels, and what to do at bad chunks.
        cache_bytes: Bound of the decoded bytes that are kept in memory between reads.

    Attributes:
        info: The image as it is interpreted.

    Raises:
        ImageError: The file is damaged, has no such array or several, or `reading` does not fit it.
    """

    def __init__(self, path: Path, reading: ReadOptions, *, cache_bytes: int) -> None:
        file_path, key = split_inner(path)
        self._file = open_file(file_path, cache_bytes // 2)
        try:
            stored = choose(self._file, key, reading, file_path)
            name = str(path)
            facts = read_facts(stored)
            axes = reading.axes.upper() if reading.axes else facts.axes
            check_axes(axes, tuple(stored.shape), name)
            pick_level(describe(stored).levels, reading, name)
            chunks = Hdf5Chunks(stored, name)
            self._array = ChunkedArray(chunks, cache_bytes=cache_bytes // 2, on_bad_tile=reading.on_bad_tile)
            total = ArraySource(self._array, axes, name).info.channels
            picked = pick_channels(parse_channels(reading.channels), (), total, axes, name)
            self._pixels = ArraySource(self._array, axes, name, picked)
            info = self._pixels.info
            sizes = dict(zip(axes, chunks.chunks, strict=True))
            planes = [i for i, axis in enumerate(axes) if axis in info.plane_axes]
            plane_bytes = info.channels * info.height * info.width * info.dtype.itemsize
            self.info = replace(
                info,
                format="HDF5",
                dtype=np.dtype(np.uint8) if info.dtype == np.bool_ else info.dtype,
                pixel_size_um=facts.pixel_size_um,
                steps=tuple(step for step in facts.steps if step.axis in info.plane_axes),
                colours=True if "S" in axes and info.channels > 1 else None,
                block=(min(sizes["Y"], info.height), min(sizes["X"], info.width)),
                compression=str(stored.compression or "none"),
                scratch_bytes=plane_bytes if self._array.oversize(planes) else 0,
            )
        except BaseException:  # whatever it is, the file must not stay open
            self._file.close()
            raise

    def close(self) -> None:
        """Stop the decoding threads and close the file."""
        super().close()
        self._file.close()


class Hdf5Chunks:
    """The chunks of an array, see `ChunkFormat`.

    Args:
        stored: The array in its open file.
        name: Path of the image, for messages.
    """

    noun = "chunks"
    chunks_per_task = 4

    def __init__(self, stored: h5py.Dataset, name: str) -> None:
        self.name = name
        self.shape = tuple(int(size) for size in stored.shape)
        self.dtype = stored.dtype.newbyteorder("=")
        self.fill = stored.fillvalue
        pieces = (*(1 for _ in self.shape[:-2]), *(min(PIECE, size) for size in self.shape[-2:]))
        self.chunks = tuple(stored.chunks or pieces)
        self._stored = stored

    def fetch(self, boxes: Sequence[Box], *, oversize: bool) -> Iterator[Sequence[tuple[int, Any]]]:  # noqa: ARG002
        """Leave the reading to `decode`: HDF5 does both in one step."""
        yield [(number, None) for number in range(len(boxes))]

    def decode(self, box: Box, encoded: Any) -> NDArray[Any]:  # noqa: ARG002
        """Read a part of the array.

        Raises:
            DamagedChunkError: It cannot be decoded.
        """
        try:
            return np.asarray(self._stored[box]).astype(self.dtype, copy=False)
        except (OSError, ValueError, RuntimeError) as error:
            raise DamagedChunkError(str(error)) from error

    def describe(self, box: Box) -> str:
        """Return which part a box is."""
        return f"chunk at {', '.join(str(part.start) for part in box)}"


def list_hdf5_series(path: Path) -> tuple[Series, ...]:
    """Return the arrays in a file that may be images, or the one that is named.

    Raises:
        ImageError: The file is damaged, or has no such array.
    """
    file_path, key = split_inner(path)
    with opened(file_path) as file:
        if key:
            return (describe(choose(file, key, ReadOptions(), file_path)),)
        return tuple(describe(one) for one in find_images(file))
