"""Blocks of an output in any order, kept on disk and given back as rows in order: for formats written from the top."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.atomic import cannot_write
from unetkit.io.base.blocks import check_block
from unetkit.io.base.contracts import OutputSpec, Window
from unetkit.io.writing.compression import compress, decompress

STRIP_BYTES = 2**24
"""Pixels of a strip, the rows that are given back at once, at most; unless a single row is larger."""

MOST_ROWS = 512
"""Rows of a strip at most."""


@dataclass(frozen=True)
class _Piece:
    """The part of a block that lies in one strip.

    Attributes:
        window: Where it lies in its item.
        start: Where its pixels, compressed, start in the file.
        size: How many bytes they are.
    """

    window: Window
    start: int
    size: int

    def overlaps(self, window: Window) -> bool:
        """Return whether it shares a pixel with a window."""
        return all(a.start < b.stop and b.start < a.stop for a, b in zip(self.window, window, strict=True))


class BlockStore:
    """A temporary file of blocks, each cut into strips of rows, so that memory is bounded however blocks are cut.

    The file lies beside the output, has no name, and vanishes with the process. (Blocks of several processes, and of a
    run that is to go on after it was killed, wait in a `BlockFolder`.) Several threads may put blocks at a time. Rows
    run along the first axis of an item.

    Args:
        path: The output, beside which the file is made, for messages.
        spec: What is written.
        strip_rows: Rows of a strip; by default as many as go into `STRIP_BYTES`.

    Raises:
        OutputError: The file cannot be made.
    """

    def __init__(self, path: Path, spec: OutputSpec, strip_rows: int | None = None) -> None:
        self._path = path
        self._spec = spec
        row_bytes = spec.channels * prod(spec.size[1:]) * spec.dtype.itemsize
        self._strip = strip_rows or max(1, min(MOST_ROWS, STRIP_BYTES // row_bytes))
        self._pieces: dict[tuple[int, int], list[_Piece]] = defaultdict(list)
        self._end = 0
        self._lock = Lock()
        try:
            self._file = TemporaryFile(dir=path.parent, buffering=0)  # noqa: SIM115
        except OSError as error:
            raise cannot_write(path, error) from error

    def put(self, item: int, window: Window, pixels: NDArray[Any]) -> None:
        """Keep a block (channels, one size for each axis of `window`) of an item.

        Raises:
            OutputError: The disk is full.
            ValueError: A part of it was put before, or it does not fit the output.
        """
        check_block(self._spec, item, window, pixels)
        rows, others = window[0], window[1:]
        for strip in range(rows.start // self._strip, (rows.stop - 1) // self._strip + 1):
            top, bottom = max(rows.start, strip * self._strip), min(rows.stop, (strip + 1) * self._strip)
            part = pixels[:, top - rows.start : bottom - rows.start]
            self._append(item, strip, (slice(top, bottom), *others), compress(part))

    def rows(self) -> Iterator[NDArray[Any]]:
        """Yield the rows (channels, h, ...) from the top of an item to its end, item after item, as sinks take them.

        Raises:
            OutputError: The file cannot be read.
            ValueError: A part of the output was never put.
        """
        for item in range(self._spec.planes):
            for number in range(-(-self._spec.size[0] // self._strip)):
                yield self.strip(item, number)

    def strip(self, item: int, number: int) -> NDArray[Any]:
        """Return the rows (channels, h, ...) of a strip of an item, counted from 0.

        Raises:
            OutputError: The file cannot be read.
            ValueError: A part of it was never put.
        """
        top = number * self._strip
        return self._read_strip(item, number, top, min(top + self._strip, self._spec.size[0]))

    def close(self) -> None:
        """Delete the file."""
        self._file.close()

    def _append(self, item: int, strip: int, window: Window, data: bytes) -> None:
        with self._lock:
            there = self._pieces[item, strip]
            if any(piece.overlaps(window) for piece in there):
                raise ValueError(f"A part of {window} of item {item} was written before.")
            try:
                self._file.seek(self._end)
                rest = memoryview(data)
                while rest:
                    rest = rest[self._file.write(rest) :]
            except OSError as error:
                raise cannot_write(self._path, error) from error
            there.append(_Piece(window, self._end, len(data)))
            self._end += len(data)

    def _read_strip(self, item: int, strip: int, top: int, bottom: int) -> NDArray[Any]:
        spec = self._spec
        pixels = np.empty((spec.channels, bottom - top, *spec.size[1:]), spec.dtype)
        missing = pixels.size
        for piece in self._pieces[item, strip]:
            rows, others = piece.window[0], piece.window[1:]
            part = pixels[(slice(None), slice(rows.start - top, rows.stop - top), *others)]
            part[...] = np.frombuffer(decompress(self._read(piece)), spec.dtype).reshape(part.shape)
            missing -= part.size
        if missing:
            raise ValueError(f"{missing} pixels of rows {top} to {bottom} of item {item} were never written.")
        return pixels

    def _read(self, piece: _Piece) -> bytes:
        with self._lock:
            try:
                self._file.seek(piece.start)
                return bytes(self._file.read(piece.size))
            except OSError as error:
                raise cannot_write(self._path, error) from error


class OrderedSink(ABC):
    """A sink for a format that can only be written in order: blocks wait on disk until all are there.

    A format of another package that inherits this has to implement `write` alone.

    Args:
        path: The output.
        spec: What will be written.
    """

    shared = False

    def __init__(self, path: Path, spec: OutputSpec) -> None:
        self._path = path
        self._spec = spec
        self._blocks: BlockStore | None = None

    @property
    def block(self) -> tuple[int, ...]:
        """Blocks may be of any size."""
        return (1,) * len(self._spec.size)

    @abstractmethod
    def write(self, rows: Iterable[NDArray[Any]]) -> None:
        """Write the whole output from its rows, see `ImageSink`."""

    def begin(self) -> None:
        """Make an empty store of blocks.

        Raises:
            OutputError: It cannot be made.
        """
        self._blocks = BlockStore(self._path, self._spec)

    def write_block(self, item: int, window: Window, pixels: NDArray[Any]) -> None:
        """Keep a block until all are there.

        Raises:
            OutputError: The disk is full.
        """
        self._store().put(item, window, pixels)

    def finish(self) -> None:
        """Write the output from its blocks.

        Raises:
            OutputError: The output cannot be written.
        """
        self.write(self._store().rows())
        self.abandon()

    def abandon(self) -> None:
        """Delete the blocks."""
        if self._blocks is not None:
            self._blocks.close()
            self._blocks = None

    def _store(self) -> BlockStore:
        if self._blocks is None:
            raise ValueError(f"{self._path}: begin comes before blocks.")
        return self._blocks
