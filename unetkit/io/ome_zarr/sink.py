"""Masks, labels and probabilities as OME-Zarr: a folder of chunks at several resolutions."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.atomic import (
    begin_folder,
    cannot_write,
    drop_folder,
    errors_of,
    finish_folder,
    make_folder,
    partial_folder,
    partial_place,
)
from unetkit.io.base.blocks import check_block
from unetkit.io.base.contracts import OutputSpec, Window
from unetkit.io.ome_zarr.labels import check_label, find_label_place, register_label
from unetkit.io.ome_zarr.layout import CHUNK, Layout
from unetkit.io.writing.rechunk import Block, cut_bands, cut_blocks, cut_picked_bands, halve
from unetkit.io.writing.workers import Workers


class OmeZarrSink:
    """Writes an OME-Zarr folder, which appears under its name when it is whole.

    Axes are stored in the order t, c, z, y, x; those that are neither T nor Z are renamed or flattened as in OME-TIFF.
    Notes and channel names are in the group's attribute `unetkit`. Masks and labels carry "image-label", by which
    viewers know them for labels. It names no colours, as napari shows nothing of labels without one. In the folder
    `labels` of an OME-Zarr image they are of that image's version, have its levels, name it as their source, and are
    added to its list.

    Blocks of whole chunks are written in place, by several processes at a time. `finish` cannot know what others wrote:
    what nobody wrote is 0.

    Args:
        path: The folder.
        spec: What will be written.

    Raises:
        OutputError: Probabilities are to become labels of an image.
    """

    shared = True

    def __init__(self, path: Path, spec: OutputSpec) -> None:
        check_label(path, spec)
        self._path = path
        self._place = find_label_place(path)
        self._layout = Layout(path.name, spec, self._place)
        self._arrays: list[Any] = []

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the open arrays: another process opens its own."""
        return {**self.__dict__, "_arrays": []}

    @property
    def block(self) -> tuple[int, ...]:
        """Blocks are of whole chunks."""
        return CHUNK, CHUNK

    def write(self, rows: Iterable[NDArray[Any]]) -> None:
        """Write the whole output from its rows.

        Raises:
            OutputError: The folder cannot be written.
        """
        self._make_group()
        layout = self._layout
        with (
            errors_of(rows) as safe_rows,
            partial_folder(self._path) as partial,
            Workers() as workers,
        ):
            arrays = layout.create(partial)

            def store(block: Block) -> None:
                band = block.band
                height, width = block.pixels.shape
                window = slice(band.top, band.top + height), slice(block.left, block.left + width)
                arrays[band.level][layout.index(band.level, band.plane, block.channel, window)] = block.pixels

            # Chunk by chunk in our own threads: of a larger piece, zarr goes on to write after one chunk has failed.
            picks = layout.picks
            bands = (
                cut_bands(layout.spec, safe_rows, CHUNK)
                if picks is None
                else cut_picked_bands(layout.spec, safe_rows, CHUNK, picks)
            )
            deque(workers.map(store, cut_blocks(bands, CHUNK)), maxlen=0)
        register_label(self._path)

    def begin(self) -> None:
        """Create an empty folder beside the output, in which nothing but zeros is stored.

        Raises:
            OutputError: It cannot be written.
        """
        self._make_group()
        partial = begin_folder(self._path)
        try:
            self._arrays = self._layout.create(partial)
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def write_block(self, item: int, window: Window, pixels: NDArray[Any]) -> None:
        """Store a block of whole chunks, which no other process reads or writes.

        Raises:
            OutputError: The folder cannot be written.
        """
        layout = self._layout
        self._open()
        check_block(layout.spec, item, window, pixels, self.block)
        try:
            for chunk in _chunks(item, layout.spec.channels, window):
                rows, columns = (
                    slice(part.start - whole.start, part.stop - whole.start)
                    for part, whole in zip(chunk.window, window, strict=True)
                )
                self._arrays[0][layout.index(0, item, chunk.channel, chunk.window)] = pixels[
                    chunk.channel, rows, columns
                ]
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def finish(self) -> None:
        """Make the smaller levels, and let the output appear.

        Raises:
            OutputError: The folder cannot be written.
        """
        self._open()
        try:
            with Workers() as workers:
                for level in range(1, len(self._layout.sizes)):
                    deque(workers.map(self._shrink, self._chunks_of(level)), maxlen=0)
        except OSError as error:
            raise cannot_write(self._path, error) from error
        finish_folder(self._path)
        self._arrays = []
        register_label(self._path)

    def abandon(self) -> None:
        """Remove what was written."""
        self._arrays = []
        drop_folder(self._path)

    def _make_group(self) -> None:
        if self._place is not None:
            make_folder(self._place.group)

    def _open(self) -> None:
        """Open what this or another process began."""
        partial = partial_place(self._path)
        if not partial.is_dir():
            raise ValueError(f"{self._path}: begin comes before blocks.")
        if not self._arrays:
            self._arrays = self._layout.open(partial)

    def _chunks_of(self, level: int) -> Iterator[_Chunk]:
        spec = self._layout.spec
        whole = tuple(slice(0, size) for size in self._layout.sizes[level])
        for plane in range(self._layout.planes(level)):
            yield from _chunks(plane, spec.channels, whole, level, spec.dtype.itemsize)

    def _shrink(self, chunk: _Chunk) -> None:
        """Store a chunk of a smaller level, made of that above it."""
        layout, above = self._layout, self._arrays[chunk.level - 1]
        if layout.picks is None:
            size = layout.sizes[chunk.level - 1]
            window = tuple(
                slice(2 * part.start, min(2 * part.stop, end)) for part, end in zip(chunk.window, size, strict=True)
            )
            pixels = halve(np.asarray(above[layout.index(chunk.level - 1, chunk.plane, chunk.channel, window)]))
        else:
            pick = layout.picks[chunk.level - 1]
            rows, columns = pick.rows[chunk.window[0]], pick.columns[chunk.window[1]]
            window = tuple(slice(int(each[0]), int(each[-1]) + 1) for each in (rows, columns))
            index = layout.index(chunk.level - 1, int(pick.planes[chunk.plane]), chunk.channel, window)
            pixels = np.asarray(above[index])[np.ix_(rows - rows[0], columns - columns[0])]
        self._arrays[chunk.level][layout.index(chunk.level, chunk.plane, chunk.channel, chunk.window)] = pixels


@dataclass(frozen=True)
class _Chunk:
    """A chunk of one level.

    Attributes:
        plane: Number of the plane.
        channel: Number of the channel.
        window: Where it lies in the plane at its level.
        level: Number of the level.
        nbytes: Size of the pixels of the level above that it is made of.
    """

    plane: int
    channel: int
    window: Window
    level: int = 0
    nbytes: int = 0


def _chunks(plane: int, channels: int, window: Window, level: int = 0, itemsize: int = 1) -> Iterator[_Chunk]:
    """Yield the chunks of a window that starts at one of them."""
    rows, columns = window
    for channel in range(channels):
        for top in range(rows.start, rows.stop, CHUNK):
            for left in range(columns.start, columns.stop, CHUNK):
                part = slice(top, min(top + CHUNK, rows.stop)), slice(left, min(left + CHUNK, columns.stop))
                yield _Chunk(plane, channel, part, level, 4 * CHUNK * CHUNK * itemsize)
