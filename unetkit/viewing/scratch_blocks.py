"""Blocks of pixels in a temporary file, found again by their keys."""

from __future__ import annotations

import tempfile
from collections.abc import Hashable
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import OutputError
from unetkit.io.writing.compression import compress, decompress


@dataclass(frozen=True)
class _Place:
    """Where a block lies in the file, and what it is."""

    start: int
    size: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class ScratchBlocks:
    """A temporary file of compressed blocks; several threads may use it. It has no name, and vanishes with the process.

    It is made when the first block is put.
    """

    def __init__(self) -> None:
        self._file: Any = None
        self._end = 0
        self._places: dict[Hashable, _Place] = {}
        self._lock = Lock()
        self._closed = False

    @property
    def nbytes(self) -> int:
        """Size of the file."""
        return self._end

    def put(self, key: Hashable, pixels: NDArray[Any]) -> None:
        """Keep a block.

        Raises:
            OutputError: The temporary file cannot be written, for example because the disk is full.
        """
        data = compress(pixels)
        left = memoryview(data)
        with self._lock:
            try:
                file = self._open()
                file.seek(self._end)
                while left:  # an unbuffered file may take only some of them at a time
                    left = left[file.write(left) :]
            except (OSError, ValueError) as error:
                raise _full(error) from error
            self._places[key] = _Place(self._end, len(data), pixels.shape, pixels.dtype)
            self._end += len(data)

    def get(self, key: Hashable) -> NDArray[Any] | None:
        """Return a block; None if there is none of this key.

        Raises:
            OutputError: The temporary file cannot be read.
        """
        with self._lock:
            place = self._places.get(key)
            if place is None:
                return None
            try:
                self._file.seek(place.start)
                data = self._file.read(place.size)
            except (OSError, ValueError) as error:
                raise _full(error) from error
        return np.frombuffer(decompress(data), place.dtype).reshape(place.shape)

    def close(self) -> None:
        """Remove the file."""
        with self._lock:
            self._closed = True
            if self._file is not None:
                self._file.close()

    def _open(self) -> Any:
        if self._closed:
            raise ValueError("it was closed")
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="unetkit-", buffering=0)  # noqa: SIM115
        return self._file


def _full(error: OSError | ValueError) -> OutputError:
    reason = (error.strerror if isinstance(error, OSError) else None) or error
    return OutputError(
        f"Smaller versions of the image cannot be kept in a temporary file in {tempfile.gettempdir()}: {reason}.",
        "Free space there, or set TMPDIR to a folder that has more.",
    )
