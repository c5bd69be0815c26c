"""An array that lies in a file as it is, or in one compressed stream."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from io import BufferedIOBase
from math import prod
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import ImageError
from unetkit.io.base.read_options import OnBadTile
from unetkit.io.decoding.cache import is_oversize
from unetkit.io.decoding.chunk_format import Box
from unetkit.io.decoding.scratch import ScratchArray
from unetkit.io.decoding.uncompressed import read_box

PIECE_BYTES = 2**22
"""Decoded bytes of a stream that are handled at a time."""

PLANE_AXES = 2
"""Dimensions at the end that are a plane: Y and X."""

Stream = Callable[[], BufferedIOBase]
"""Opens a file for reading from its start, decompressed."""


class StoredArray:
    """An array in a file, sliced with integers and slices with steps of one. Reading is thread-safe.

    What is not compressed is read by windows. A compressed stream is decoded once, at the first read: to memory, or to
    a temporary file where it is larger than the cache may be.

    Args:
        path: The file.
        offset: Bytes before the array, in the stream where there is one.
        shape: Sizes of the dimensions, in C order. The last two are a plane, unless `samples` are behind them.
        dtype: Stored type, with its byte order.
        stream: Opens the decompressed file; None where the array lies in the file as it is.
        cache_bytes: Bound of the decoded bytes that are kept in memory.
        on_bad_tile: "background" reads planes that are missing at the end as zeros.
        samples: Whether a last dimension, behind those of a plane, is the samples of a pixel.

    Attributes:
        shape: Sizes of the dimensions.
        dtype: Type of the elements, in native byte order.
        scratch_bytes: Size of the temporary file that reading takes; 0 if none.
        bad_boxes: What is missing in the file and was read as zeros: planes, one slice for each dimension.

    Raises:
        ImageError: The file is shorter than the array.
    """

    def __init__(
        self,
        path: Path,
        offset: int,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        *,
        stream: Stream | None,
        cache_bytes: int,
        on_bad_tile: OnBadTile,
        samples: bool = False,
    ) -> None:
        self.shape = shape
        self.dtype = dtype.newbyteorder("=")
        self.bad_boxes: list[Box] = []
        self._path = path
        self._offset = offset
        self._stored = dtype
        self._goes_on = on_bad_tile == "background"
        self._planes = len(shape) - PLANE_AXES - samples
        self._lock = Lock()
        self._pixels: NDArray[Any] | ScratchArray | None = None
        self._there = prod(shape)
        nbytes = prod(shape) * dtype.itemsize
        if stream is None and path.stat().st_size < offset + nbytes:
            if not self._goes_on:
                raise self._damaged(f"it has {path.stat().st_size} bytes of {offset + nbytes}")
            stream = self._plain
        self._stream = stream
        self.scratch_bytes = nbytes if stream is not None and is_oversize(nbytes, cache_bytes) else 0

    def __getitem__(self, index: tuple[int | slice, ...]) -> NDArray[Any]:
        """Return the elements at one integer or slice for each dimension.

        Raises:
            ImageError: The file is truncated or damaged.
        """
        box = [
            slice(part, part + 1) if isinstance(part, int) else slice(*part.indices(size)[:2])
            for part, size in zip(index, self.shape, strict=True)
        ]
        part = self._read_file(box) if self._stream is None else self._decoded(self._stream)[tuple(box)]
        self._note_missing(box)
        return part[tuple(0 if isinstance(one, int) else slice(None) for one in index)]

    def _read_file(self, box: Sequence[slice]) -> NDArray[Any]:
        try:
            with self._path.open("rb", buffering=0) as file:
                return read_box(file, self._offset, self.shape, self._stored, box)
        except EOFError as error:
            raise self._damaged(error) from error
        except OSError as error:
            raise ImageError(
                f"{self._path} cannot be read: {error.strerror}.", "Check the disk and the permissions."
            ) from error

    def _decoded(self, stream: Stream) -> NDArray[Any] | ScratchArray:
        """Return all of the array, decoded at the first call."""
        with self._lock:
            if self._pixels is None:
                scratch = ScratchArray(self.shape, self.dtype, str(self._path)) if self.scratch_bytes else None
                whole = np.empty(0 if scratch else prod(self.shape), self.dtype)
                done = 0
                for piece in self._pieces(stream):
                    if scratch is None:
                        whole[done : done + piece.size] = piece
                    else:
                        scratch.append(piece)
                    done += piece.size
                self._pixels = scratch or whole.reshape(self.shape)
            return self._pixels

    def _pieces(self, stream: Stream) -> Iterator[NDArray[Any]]:
        """Yield all elements of the array in order, some at a time; zeros for those that are missing."""
        left = prod(self.shape)
        try:
            with stream() as file:
                _skip(file, self._offset)
                while left:
                    data = file.read1(min(left * self._stored.itemsize, PIECE_BYTES))  # what there is before an end
                    data += _rest(file, -len(data) % self._stored.itemsize)
                    piece = np.frombuffer(data, self._stored)
                    if not piece.size:
                        raise EOFError("the file ends before its pixels do")
                    yield piece.astype(self.dtype, copy=False)
                    left -= piece.size
                file.read(1)  # the end of a compressed stream has a checksum
        except (EOFError, OSError, zlib.error) as error:
            if not self._goes_on:
                raise self._damaged(error) from error
            self._there = prod(self.shape) - left
        while left:
            zeros = np.zeros(min(left, PIECE_BYTES // self.dtype.itemsize), self.dtype)
            yield zeros
            left -= zeros.size

    def _plain(self) -> BufferedIOBase:
        return self._path.open("rb")

    def _note_missing(self, box: Sequence[slice]) -> None:
        """Note the planes that were read and of which something is missing in the file."""
        if self._there == prod(self.shape):
            return
        plane = prod(self.shape[self._planes :])
        rest = tuple(slice(0, size) for size in self.shape[self._planes :])
        places = np.ndindex(*(part.stop - part.start for part in box[: self._planes]))
        for place in places:
            at = tuple(part.start + i for part, i in zip(box, place, strict=False))
            number = int(np.ravel_multi_index(at, self.shape[: self._planes])) if at else 0
            bad = (*(slice(i, i + 1) for i in at), *rest)
            if (number + 1) * plane > self._there and bad not in self.bad_boxes:
                self.bad_boxes.append(bad)

    def _damaged(self, what: object) -> ImageError:
        return ImageError(
            f"{self._path} cannot be decoded, it is truncated or damaged ({what}).",
            "Copy or export it again, or pass --on-bad-tile background to read what is missing at its end as 0.",
        )


def _skip(file: BufferedIOBase, count: int) -> None:
    while count:
        data = file.read(min(count, PIECE_BYTES))
        if not data:
            raise EOFError("the file ends before its pixels begin")
        count -= len(data)


def _rest(file: BufferedIOBase, count: int) -> bytes:
    """Return the bytes that are missing to a whole element."""
    data = b""
    while len(data) < count:
        more = file.read(count - len(data))
        if not more:
            raise EOFError("the file ends within a pixel")
        data += more
    return data
