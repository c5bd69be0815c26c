"""Masks, labels and probabilities as OME-Zarr: a folder of chunks at several resolutions."""

from __future__ import annotations

import errno
import json
import shutil
from collections import deque
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

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
    shared_file,
)
from unetkit.io.base.blocks import check_block
from unetkit.io.base.contracts import OutputSpec, Piece, Window
from unetkit.io.base.windows import inside
from unetkit.io.ome_zarr.labels import check_label, find_label_place, register_label
from unetkit.io.ome_zarr.layout import Layout
from unetkit.io.ome_zarr.pyramid import Chunk, chunks_of, chunks_of_piece, level_pieces, shrink_chunk, store_chunk
from unetkit.io.writing.rechunk import Block, cut_bands, cut_blocks, cut_picked_bands
from unetkit.io.writing.same_job import check_same_job, job_to_json
from unetkit.io.writing.workers import Workers

ASIDE = ".unfinished-"
"""Start of the name of the folder in an unfinished output in which files are written before they are renamed."""

JOB_FILE = "job.json"


class OmeZarrSink:
    """Writes an OME-Zarr folder, which appears under its name when it is whole.

    Axes are stored in the order t, c, z, y, x; those that are neither T nor Z are renamed or flattened as in OME-TIFF.
    Planes are stored in chunks of one plane, volumes in chunks of many (see `chunk_of`); a reader sees no difference.
    Notes and channel names are in the group's attribute `unetkit`. Masks and labels carry "image-label", by which
    viewers know them for labels. It names no colours, as napari shows nothing of labels without one. In the folder
    `labels` of an OME-Zarr image they are of that image's version, have its levels, name it as their source, and are
    added to its list.

    Blocks of whole chunks are written in place, by several processes at a time, and renamed when they are whole.
    `finish` cannot know what others wrote: what nobody wrote is 0. Chunks of zeros are not stored.

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
        self._aside: Path | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the open arrays: another process opens its own."""
        return {**self.__dict__, "_arrays": []}

    @property
    def block(self) -> tuple[int, ...]:
        """Blocks are of whole chunks."""
        return self._layout.chunk

    def write(self, rows: Iterable[NDArray[Any]]) -> None:
        """Write the whole output from its rows.

        Raises:
            OutputError: The folder cannot be written.
        """
        self._make_group()
        layout = self._layout
        with (
            errors_of(rows) as safe_rows,
            partial_folder(self._path) as folder,
            Workers() as workers,
        ):
            arrays = layout.create(folder)

            def store(block: Block) -> None:
                band = block.band
                store_chunk(layout, arrays, Chunk(band.plane, block.channel, block.window, band.level), block.pixels)

            # Chunk by chunk in our own threads: of a larger piece, zarr goes on to write after one chunk has failed.
            picks, (height, *others) = layout.picks, layout.chunk
            bands = (
                cut_bands(layout.spec, safe_rows, height)
                if picks is None
                else cut_picked_bands(layout.spec, safe_rows, height, picks)
            )
            deque(workers.map(store, cut_blocks(bands, others)), maxlen=0)
        register_label(self._path)

    def begin(self) -> None:
        """Create an empty folder beside the output, in which nothing but zeros is stored.

        Raises:
            OutputError: It cannot be written.
        """
        self._make_group()
        self._aside = begin_folder(self._path) / f"{ASIDE}{uuid4().hex}"
        self._arrays = []
        try:
            self._aside.mkdir()
            self._write_metadata()
            with shared_file(self._aside / JOB_FILE) as file:
                file.write(job_to_json(self._layout.job()).encode())
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def resume(self) -> bool:
        """Go on with what an earlier run began, see `SharedSink`. The metadata are those of this run.

        Raises:
            OutputError: What is there is of another output, or cannot be written.
        """
        begun, self._arrays = partial_place(self._path), []
        self._aside = _find_aside(begun)
        stored = self._aside and _read_job(self._aside)
        if not stored:
            self.begin()
            return False
        check_same_job(begun, stored, self._layout.job())
        try:
            self._write_metadata()
        except OSError as error:
            raise cannot_write(self._path, error) from error
        return True

    def write_block(self, item: int, window: Window, pixels: NDArray[Any]) -> None:
        """Store a block of whole chunks; another process may write the same pixels there at the same time.

        Raises:
            OutputError: The folder cannot be written.
        """
        layout = self._layout
        check_block(layout.spec, item, window, pixels, self.block)
        try:
            arrays = self._open()
            for chunk in chunks_of(layout, item, window):
                store_chunk(layout, arrays, chunk, pixels[chunk.channel][inside(chunk.window, window)])
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def pieces(self) -> list[list[Piece]]:
        """Return the parts of each smaller level, each of bounded work."""
        return level_pieces(self._layout)

    def shrink(self, piece: Piece) -> None:
        """Make a part of a smaller level of the level above it.

        Raises:
            OutputError: The folder cannot be written.
        """
        try:
            arrays = self._open()
            for chunk in chunks_of_piece(self._layout, piece):
                shrink_chunk(self._layout, arrays, chunk)
            (self._find_begun() / _mark(piece)).touch()
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def finish(self) -> None:
        """Make of the smaller levels what nobody made, and let the output appear.

        Raises:
            OutputError: The folder cannot be written.
        """
        layout = self._layout
        try:
            arrays = self._open()
            made = {path.name for path in self._find_begun().iterdir()}
            with Workers() as workers:
                for pieces in self.pieces():
                    left = (piece for piece in pieces if _mark(piece) not in made)
                    chunks = (chunk for piece in left for chunk in chunks_of_piece(layout, piece))
                    deque(workers.map(partial(shrink_chunk, layout, arrays), chunks), maxlen=0)
            shutil.rmtree(self._find_begun())
        except OSError as error:
            raise cannot_write(self._path, error) from error
        finish_folder(self._path)
        self._arrays, self._aside = [], None
        register_label(self._path)

    def abandon(self) -> None:
        """Remove what was written."""
        self._arrays, self._aside = [], None
        drop_folder(self._path)

    def _make_group(self) -> None:
        if self._place is not None:
            make_folder(self._place.group)

    def _write_metadata(self) -> None:
        aside = self._find_begun()
        for name, content in self._layout.metadata().items():
            (aside.parent / name).parent.mkdir(exist_ok=True)
            with shared_file(aside.parent / name, aside) as file:
                file.write(content)

    def _find_begun(self) -> Path:
        """Return the folder aside of what this or another process began."""
        if self._aside is None:
            self._aside = _find_aside(partial_place(self._path))
        if self._aside is None:
            raise ValueError(f"{self._path}: begin comes before blocks.")
        return self._aside

    def _open(self) -> list[Any]:
        """Return the arrays of what this or another process began."""
        aside = self._find_begun()
        if not self._arrays:
            from unetkit.io.ome_zarr.store import WholeFiles

            if not aside.is_dir():
                raise FileNotFoundError(errno.ENOENT, "it was finished or abandoned")
            self._arrays = self._layout.open(WholeFiles(aside.parent, aside))
        return self._arrays


def _mark(piece: Piece) -> str:
    """Return the name of the file that says that a piece is made."""
    spans = "_".join(f"{part.start}-{part.stop}" for part in piece.window)
    return f"made-{piece.level}-{piece.items.start}-{piece.items.stop}_{spans}"


def _find_aside(begun: Path) -> Path | None:
    """Return the folder in an unfinished output in which files are written before they are renamed."""
    return next(begun.glob(f"{ASIDE}*"), None)


def _read_job(aside: Path) -> dict[str, Any] | None:
    """Return what an unfinished output is; None where it was not yet begun as a whole."""
    try:
        job: dict[str, Any] = json.loads((aside / JOB_FILE).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return job
