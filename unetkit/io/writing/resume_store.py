"""Bands of an output kept on disk while it is made, so that a killed run can go on where it was.

The file, numbers little-endian:

    magic (16 bytes) | length of the job, its CRC-32 (12 bytes) | the job as JSON
    then for each band: head (24 bytes) | its sizes (4 bytes each) | payload | CRC-32 of all three (4 bytes)

A payload is the band's bytes in pieces, each compressed by itself with its length before it. Whatever byte a process is
killed at, the last record is then too short, or its checksum is wrong, and it is dropped when the file is opened again.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, overload
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.atomic import cannot_write
from unetkit.foundation.errors import OutputError
from unetkit.io.writing.compression import compress, decompress
from unetkit.io.writing.same_job import check_same_job, job_to_json

MAGIC = b"unetkit bands 2\n"
JOB_HEAD = struct.Struct("<QI")
BAND_HEAD = struct.Struct("<4s8sIQ")  # "BAND", dtype, number of sizes, bytes of the payload
BAND_MARK = b"BAND"
SIZE_BYTES = 4
CHECKSUM = struct.Struct("<I")
PIECE_HEAD = struct.Struct("<I")

PIECE_BYTES = 2**22
"""Bytes that are compressed at once: as much as the memory for it may take beside a band."""


class BandStore(Sequence[NDArray[Any]]):
    """An append-only file of bands (channels, ...) of any dtype and size, in the order in which they were appended.

    Made by `create` or `resume`. Each band is with the operating system when `append` returns, so a killed process
    loses no more than the band that it was writing. It is not forced onto the disk (no fsync): after a power failure
    bands at the end may be missing, which `resume` sees as well.

    Bands can be read (`store[i]`, `for band in store`) from several threads at a time. One process may append.

    Attributes:
        path: The file.
        job: What the bands are the result of, as given to `create` or `resume`.
    """

    def __init__(self, path: Path, job: dict[str, Any], file: BinaryIO, starts: list[int], end: int) -> None:
        self.path = path
        self.job = job
        self._file = file
        self._starts = starts
        self._end = end

    @classmethod
    def create(cls, path: str | Path, job: dict[str, Any]) -> BandStore:
        """Start an empty store, replacing whatever was left over under its name.

        Args:
            path: The file.
            job: All that decides what the bands hold, in values that JSON knows.

        Raises:
            OutputError: The file cannot be written.
        """
        path = Path(path)
        text = job_to_json(job).encode()
        header = MAGIC + JOB_HEAD.pack(len(text), crc32(text)) + text
        try:
            file = path.open("w+b", buffering=0)
            store = cls(path, job, file, [], len(header))
            try:
                store._write(0, [header])
            except OSError:
                store.remove()
                raise
        except OSError as error:
            raise cannot_write(path, error) from error
        return store

    @classmethod
    def resume(cls, path: str | Path, job: dict[str, Any]) -> BandStore:
        """Open a store that an earlier run left behind, without what was being written when it ended.

        A store is created where there is none, or where the run ended before its first band was whole.

        Raises:
            OutputError: The store is the result of another job, or cannot be read or written.
        """
        path = Path(path)
        try:
            with path.open("rb") as file:
                stored = _read_job(file)
                starts, end = _scan(file)
        except FileNotFoundError:
            stored = None
        except OSError as error:
            raise _cannot_read(path, error) from error
        if stored is None or not starts:
            return cls.create(path, job)
        check_same_job(path, stored, job)
        try:
            os.truncate(path, end)
            return cls(path, job, path.open("r+b", buffering=0), starts, end)
        except OSError as error:
            raise cannot_write(path, error) from error

    def append(self, band: NDArray[Any]) -> None:
        """Write a band (channels, ...) behind the others.

        Raises:
            OutputError: The file cannot be written; the bands before stay, and the same band can be appended again.
        """
        payload = list(_compress(band))
        size = sum(len(part) for part in payload)
        head = BAND_HEAD.pack(BAND_MARK, band.dtype.str.encode(), band.ndim, size)
        head += struct.pack(f"<{band.ndim}I", *band.shape)
        checksum = 0
        for part in (head, *payload):
            checksum = crc32(part, checksum)
        try:
            written = self._write(self._end, [head, *payload, CHECKSUM.pack(checksum)])
        except OSError as error:
            raise cannot_write(self.path, error) from error
        self._starts.append(self._end)
        self._end += written

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> NDArray[Any]: ...

    @overload
    def __getitem__(self, index: slice) -> list[NDArray[Any]]: ...

    def __getitem__(self, index: int | slice) -> NDArray[Any] | list[NDArray[Any]]:
        """Return a band (channels, ...), or a list of them.

        Raises:
            IndexError: There is no such band.
            OutputError: The file cannot be read, or was damaged since it was written.
        """
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        try:
            with self.path.open("rb") as file:  # a handle of its own: positions are not shared between threads
                file.seek(self._starts[index])
                record = _read_record(file)
        except OSError as error:
            raise _cannot_read(self.path, error) from error
        if record is None:
            raise OutputError(f"{self.path} was damaged after it was written.", "Check the disk, and run again.")
        return _decompress(*record)

    def close(self) -> None:
        """Release the file and keep it."""
        self._file.close()

    def remove(self) -> None:
        """Release the file and delete it."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _write(self, start: int, parts: Sequence[bytes | bytearray]) -> int:
        """Write at a place and return the number of bytes; after an error the file ends there again."""
        try:
            self._file.seek(start)
            for part in parts:
                rest = memoryview(part)
                while rest:
                    rest = rest[self._file.write(rest) :]
        except OSError:
            self._file.truncate(start)
            raise
        return sum(len(part) for part in parts)


def read_job(path: Path) -> dict[str, Any] | None:
    """Return the job of the store that an earlier run left behind, None if there is none that can be read."""
    try:
        with path.open("rb") as file:
            return _read_job(file)
    except OSError:  # opening it to go on will say what is wrong
        return None


def kept_and_new(bands: BandStore | list[Any], known: int, rows: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """Yield the bands that were kept, then the new ones as they are kept too."""
    for i in range(known):
        yield bands[i]
    for band in rows:
        bands.append(band)
        yield band
        del band  # as wide as the image: there should not be two


def _cannot_read(path: Path, error: OSError) -> OutputError:
    return OutputError(f"{path} cannot be read: {error.strerror or error}.", "Check its permissions and the disk.")


def _read_job(file: BinaryIO) -> dict[str, Any] | None:
    """Return the job of a store, or None if its first bytes are not whole (or are those of another format)."""
    if file.read(len(MAGIC)) != MAGIC:
        return None
    head = file.read(JOB_HEAD.size)
    if len(head) < JOB_HEAD.size:
        return None
    length, checksum = JOB_HEAD.unpack(head)
    if length > _bytes_left(file):
        return None
    text = file.read(length)
    if crc32(text) != checksum:
        return None
    job: dict[str, Any] = json.loads(text)
    return job


def _scan(file: BinaryIO) -> tuple[list[int], int]:
    """Return where the whole records from here on start, and where the last of them ends."""
    starts: list[int] = []
    end = file.tell()
    while _read_record(file) is not None:
        starts.append(end)
        end = file.tell()
    return starts, end


def _read_record(file: BinaryIO) -> tuple[np.dtype[Any], tuple[int, ...], bytes] | None:
    """Read dtype, shape and payload of the band that starts here, or return None if it is not whole."""
    head = file.read(BAND_HEAD.size)
    if len(head) < BAND_HEAD.size:
        return None
    mark, dtype, axes, size = BAND_HEAD.unpack(head)
    if mark != BAND_MARK or axes * SIZE_BYTES + size + CHECKSUM.size > _bytes_left(file):
        return None
    sizes, payload = file.read(axes * SIZE_BYTES), file.read(size)
    if CHECKSUM.pack(crc32(payload, crc32(head + sizes))) != file.read(CHECKSUM.size):
        return None
    return np.dtype(dtype.rstrip(b"\0").decode()), struct.unpack(f"<{axes}I", sizes), payload


def _bytes_left(file: BinaryIO) -> int:
    """Return the number of bytes from here to the end, so that a damaged length is never taken for a size to read."""
    return os.fstat(file.fileno()).st_size - file.tell()


def _compress(band: NDArray[Any]) -> Iterator[bytes]:
    """Yield a band's bytes in compressed pieces, each after its length."""
    pixels = np.ascontiguousarray(band).reshape(-1)
    step = max(1, PIECE_BYTES // pixels.itemsize)
    for start in range(0, pixels.size, step):
        piece = compress(pixels[start : start + step])
        yield PIECE_HEAD.pack(len(piece))
        yield piece


def _decompress(dtype: np.dtype[Any], shape: tuple[int, ...], payload: bytes) -> NDArray[Any]:
    """Return the band that `_compress` was given."""
    band = np.empty(shape, dtype)
    pixels = band.reshape(-1).view(np.uint8)
    compressed = memoryview(payload)
    start = 0
    while compressed:
        (length,) = PIECE_HEAD.unpack(compressed[: PIECE_HEAD.size])
        stop = PIECE_HEAD.size + length
        piece = decompress(bytes(compressed[PIECE_HEAD.size : stop]))
        pixels[start : start + len(piece)] = np.frombuffer(piece, np.uint8)
        start += len(piece)
        compressed = compressed[stop:]
    return band
