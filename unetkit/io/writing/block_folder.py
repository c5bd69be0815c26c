"""Finished blocks of an output as files of a folder beside it, for many processes on many machines.

The folder may lie on a file system that machines share, NFS too. So nothing is locked, and nothing but the journal is
ever appended to. Each file is written under a name of its own and renamed, so it is whole or not there, however often
and wherever it is written. Names follow from what is in a file; a folder is listed once, and not for each block. They
start with a digest of the job: a process of an earlier job that is still alive does no harm.
"""

from __future__ import annotations

import errno
import json
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.atomic import beside, cannot_write, shared_file
from unetkit.foundation.errors import OutputError
from unetkit.io.base.contracts import OutputSpec, Window
from unetkit.io.base.windows import overlap, sizes_of, uncovered
from unetkit.io.writing.block_file import write_block
from unetkit.io.writing.block_reading import OpenBlocks, lost_block, patiently
from unetkit.io.writing.journal import Journal
from unetkit.io.writing.same_job import check_same_job, job_to_json

Block = tuple[int, Window]
"""An item, and where in it a block lies."""

PIXELS = "pixels"
"""The layer of blocks where there is only one."""

JOB_FILE = "job.json"
JOURNAL_FILE = "journal"
CHECKSUM_BYTES = 4


class BlockFolder:
    """The finished blocks of an output.

    It can be pickled, and sent to the processes that put and read blocks; or it is opened there (`open`).

    A block is a window of an item and its pixels. Blocks of different kinds, for example masks and labels, are kept
    apart by the name of their *layer*, of small letters. Blocks of a layer may overlap where their pixels are the same.

    Attributes:
        path: The folder.
        job: What the blocks are the result of.
    """

    def __init__(self, path: Path, job: dict[str, Any]) -> None:
        self.path = path
        self.job = job
        self._prefix = sha256(job_to_json(job).encode()).hexdigest()[:8]
        self._files: frozenset[str] | None = None
        self._listed: dict[str, dict[int, list[Window]]] = {}
        self._journal: Journal | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to this process."""
        return {**self.__dict__, "_files": None, "_listed": {}, "_journal": None}

    @staticmethod
    def place(output: Path) -> Path:
        """Return where the blocks of an output are kept."""
        return beside(output, ".blocks")

    @classmethod
    def job_of(cls, output: Path) -> dict[str, Any] | None:
        """Return the job of what an earlier run left beside an output; None if there is nothing that can be read."""
        try:
            return _read_job(cls.place(output))
        except OSError:  # going on with it will say what is wrong
            return None

    @classmethod
    def is_begun(cls, output: Path) -> bool:
        """Whether an earlier run left anything finished beside an output."""
        path = cls.place(output)
        try:
            return _read_job(path) is not None and _holds_any(path)
        except OSError:  # going on with it will say what is wrong
            return True

    @classmethod
    def make_place(cls, output: Path) -> None:
        """Make the folder, if it is not there, for files that wait in it without a job.

        Raises:
            OutputError: It cannot be made.
        """
        try:
            cls.place(output).mkdir(exist_ok=True)
        except OSError as error:
            raise cannot_write(cls.place(output), error) from error

    @classmethod
    def create(cls, output: Path, job: dict[str, Any]) -> BlockFolder:
        """Make an empty folder beside an output, replacing what an earlier run left.

        Args:
            output: The output.
            job: All that decides what the blocks hold, in values that JSON knows.

        Raises:
            OutputError: It cannot be made.
        """
        folder = cls(cls.place(output), job)
        try:
            folder.remove()
            folder.path.mkdir()
            folder._write(JOB_FILE, lambda file: file.write(job_to_json(job).encode()))
        except OSError as error:
            raise cannot_write(folder.path, error) from error
        return folder

    @classmethod
    def resume(cls, output: Path, job: dict[str, Any]) -> BlockFolder:
        """Go on with what an earlier run of the same job left; it is created if nothing was finished.

        Raises:
            OutputError: What is left is of another job, or cannot be read.
        """
        path = cls.place(output)
        try:
            stored = _read_job(path)
            begun = stored is not None and _holds_any(path)
        except OSError as error:
            raise _cannot_read(path, error) from error
        if stored is None or not begun:
            return cls.create(output, job)
        check_same_job(path, stored, job)
        return cls(path, job)

    @classmethod
    def open(cls, output: Path) -> BlockFolder:
        """Open the folder that another process made, without any check.

        Raises:
            OutputError: There is none.
        """
        path = cls.place(output)

        def read() -> dict[str, Any]:
            job = _read_job(path)
            if job is None:
                raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path / JOB_FILE))
            return job

        try:
            return cls(path, patiently(read))
        except OSError as error:
            raise _cannot_read(path, error) from error

    def put(self, item: int, window: Window, pixels: NDArray[Any], layer: str = PIXELS) -> None:
        """Keep a block; any process may, any number of times.

        Args:
            item: Number of the plane.
            window: Where it lies in the plane.
            pixels: (channels, one size for each axis of `window`).
            layer: What kind of block it is.

        Raises:
            OutputError: It cannot be written: the disk is full, or the folder was removed.
            ValueError: The pixels do not fit the window.
        """
        if pixels.shape[1:] != sizes_of(window) or not pixels.size:
            raise ValueError(f"A block of the shape {pixels.shape} does not fit {window}.")
        self._write(self.name(item, window, layer), lambda file: write_block(file, window, pixels))

    def name(self, item: int, window: Window, layer: str = PIXELS) -> str:
        """Return the name of the file of a block."""
        if not re.fullmatch("[a-z]+", layer):
            raise ValueError(f"The name of a layer is of small letters: {layer!r}")
        spans = "_".join(f"{part.start}-{part.stop}" for part in window)
        return f"{self._prefix}-{layer}-{item}_{spans}.block"

    def blocks(self, layer: str = PIXELS) -> list[Block]:
        """Return the blocks that are there, found by listing the folder."""
        self._files = None
        return [(item, window) for item, windows in self._list(layer).items() for window in windows]

    def has(self, item: int, window: Window, layer: str = PIXELS) -> bool:
        """Return whether a block was there when the folder was listed: in this process once, or by `blocks`.

        It is for a run that goes on: a block of which the journal says that it is done may have been forgotten.
        """
        return self.name(item, window, layer) in self._names()

    def forget(self, name: str) -> None:
        """Delete a file that is damaged, so that it is made again.

        Args:
            name: See `LostBlockError`.
        """
        (self.path / name).unlink(missing_ok=True)
        self._files = None

    def read(
        self, item: int, window: Window, blocks: Iterable[Window] | None = None, layer: str = PIXELS
    ) -> NDArray[Any]:
        """Return the pixels (channels, one size for each axis) of a window, put together of all blocks that share it.

        Args:
            item: Number of the plane.
            window: What is read.
            blocks: The windows of blocks that cover it; others may be among them. None to list the folder, once in
                a process, and again where that does not suffice.
            layer: What kind of blocks.

        Raises:
            LostBlockError: A block is missing or damaged.
            ValueError: `blocks` do not cover the window.
        """
        known = None if blocks is None else list(blocks)
        windows = self._covering(item, window, known, layer)
        with self._reading(item, layer) as files:
            channels, dtype = files.kind(windows[0])
            pixels = np.empty((channels, *sizes_of(window)), dtype)
            files.gather(pixels, window, windows)
        return pixels

    def rows(
        self, spec: OutputSpec, blocks: Iterable[Block] | None = None, layer: str = PIXELS
    ) -> Iterator[NDArray[Any]]:
        """Yield the rows (channels, h, ...) from the top of an item to its end, item after item, as sinks take them.

        Args:
            spec: The output, which blocks cover.
            blocks: The blocks that cover it; None to list the folder.
            layer: What kind of blocks.

        Raises:
            LostBlockError: A block is missing or damaged.
            ValueError: `blocks` do not cover the output, or are of another kind.
        """
        known: dict[int, list[Window]] | None = None
        if blocks is not None:
            known = defaultdict(list)
            for item, window in blocks:
                known[item].append(window)
        whole = tuple(slice(0, size) for size in spec.size)
        for item in range(spec.planes):
            windows = self._covering(item, whole, None if known is None else known[item], layer)
            with self._reading(item, layer) as files:
                yield from files.rows(spec, windows)

    def put_bytes(self, name: str, data: bytes) -> None:
        """Keep a small file under a name of letters, digits, "-" and "_"; any process may, any number of times.

        Raises:
            OutputError: It cannot be written.
        """
        checksum = crc32(data).to_bytes(CHECKSUM_BYTES, "little")
        self._write(self._bytes_name(name), lambda file: file.write(checksum + data))

    def read_bytes(self, name: str) -> bytes:
        """Return what `put_bytes` kept.

        Raises:
            LostBlockError: It is missing or damaged.
        """
        file = self._bytes_name(name)
        try:
            content = patiently((self.path / file).read_bytes)
        except OSError as error:
            raise lost_block(self.path, file, error.strerror or str(error)) from error
        data = content[CHECKSUM_BYTES:]
        if crc32(data).to_bytes(CHECKSUM_BYTES, "little") != content[:CHECKSUM_BYTES]:
            raise lost_block(self.path, file, "it was damaged")
        return data

    def note(self, line: str) -> None:
        """Append a line to the journal. One process alone may: the one that hands out the work.

        Raises:
            OutputError: It cannot be written.
        """
        self._opened_journal().append(line)

    def notes(self) -> list[str]:
        """Return the lines of the journal, for the process that appends to it.

        Raises:
            OutputError: It cannot be read.
        """
        return list(self._opened_journal().lines)

    def close(self) -> None:
        """Release the journal and keep all."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def remove(self) -> None:
        """Delete all. What other processes still put is an error there."""
        self.close()
        self._files = None
        removed = beside(self.path, f".{uuid4().hex}.removed")
        if self.path.is_dir():
            self.path.rename(removed)  # nobody finds it from here on
            shutil.rmtree(removed, ignore_errors=True)  # NFS keeps the names of files that are open elsewhere

    def _bytes_name(self, name: str) -> str:
        if not re.fullmatch(r"[\w-]+", name, re.ASCII):
            raise ValueError(f"A name is of letters, digits, '-' and '_': {name!r}")
        return f"{self._prefix}-{name}.bytes"

    def _reading(self, item: int, layer: str) -> OpenBlocks:
        return OpenBlocks(self.path, lambda window: self.name(item, window, layer))

    def _opened_journal(self) -> Journal:
        if self._journal is None:
            self._journal = Journal(self.path / JOURNAL_FILE)
        return self._journal

    def _write(self, name: str, write: Callable[[BinaryIO], Any]) -> None:
        try:
            with shared_file(self.path / name) as file:
                write(file)
        except OSError as error:
            raise cannot_write(self.path / name, error) from error

    def _names(self) -> frozenset[str]:
        """Return the files that were there when the folder was listed."""
        if self._files is None:
            self._files = frozenset(path.name for path in self.path.iterdir())
            self._listed = {}
        return self._files

    def _list(self, layer: str) -> dict[int, list[Window]]:
        """Return the blocks of a layer by their items, as they were when the folder was listed."""
        names = self._names()
        if layer not in self._listed:
            pattern = re.compile(rf"{self._prefix}-{layer}-(\d+)_([\d_-]+)\.block")
            found: dict[int, list[Window]] = defaultdict(list)
            for match in filter(None, map(pattern.fullmatch, names)):
                spans = (span.split("-") for span in match[2].split("_"))
                found[int(match[1])].append(tuple(slice(int(first), int(stop)) for first, stop in spans))
            self._listed[layer] = found
        return self._listed[layer]

    def _covering(self, item: int, window: Window, known: list[Window] | None, layer: str) -> list[Window]:
        """Return the blocks that share a window, which they cover."""
        if known is not None:
            chosen = [one for one in known if overlap(one, window)]
            if missing := uncovered(window, chosen):
                raise ValueError(f"The blocks do not cover {missing[0]} of item {item}.")
            return chosen

        def find() -> list[Window]:
            chosen = [one for one in self._list(layer).get(item, []) if overlap(one, window)]
            if missing := uncovered(window, chosen):
                self._files = None
                text = ", ".join(f"{part.start} to {part.stop}" for part in missing[0])
                raise FileNotFoundError(errno.ENOENT, f"the part {text} of item {item} is missing")
            return chosen

        try:
            return patiently(find)
        except OSError as error:
            raise lost_block(self.path, "", error.strerror or str(error)) from error


def _read_job(path: Path) -> dict[str, Any] | None:
    """Return the job of a folder; None where there is none that can be read."""
    try:
        job = json.loads((path / JOB_FILE).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return job if isinstance(job, dict) else None


def _holds_any(path: Path) -> bool:
    """Whether a folder holds anything finished."""
    return any(
        file.suffix in {".block", ".bytes"} or (file.name == JOURNAL_FILE and file.stat().st_size > 0)
        for file in path.iterdir()
    )


def _cannot_read(path: Path, error: OSError) -> OutputError:
    return OutputError(f"{path} cannot be read: {error.strerror or error}.", "Check its permissions and the disk.")
