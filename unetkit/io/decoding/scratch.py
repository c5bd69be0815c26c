"""Decoded pixels that are too large for memory, in a temporary file."""

from __future__ import annotations

import tempfile
import weakref
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import ImageError
from unetkit.io.decoding.uncompressed import read_box


class ScratchArray:
    """An array in a temporary file. The file is removed when nobody uses the array any more, or the process ends.

    Args:
        shape: Sizes of the dimensions.
        dtype: Type of the elements.
        name: Path of the image, for messages.

    Attributes:
        shape: Sizes of the dimensions.
        dtype: Type of the elements.

    Raises:
        ImageError: The temporary file cannot be made.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], name: str) -> None:
        self.shape = shape
        self.dtype = dtype
        self._name = name
        self._lock = Lock()
        try:
            # Unbuffered and without a name: on POSIX it is gone from its folder before anything is in it.
            self._file: Any = tempfile.TemporaryFile(prefix="unetkit-", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise self._full(error) from error
        weakref.finalize(self, self._file.close)

    @classmethod
    def of(cls, array: NDArray[Any], name: str) -> ScratchArray:
        """Return a copy of an array in a temporary file.

        Raises:
            ImageError: The temporary file cannot be written.
        """
        scratch = cls(array.shape, array.dtype, name)
        scratch.append(array)
        return scratch

    def append(self, part: NDArray[Any]) -> None:
        """Write the elements that follow those written so far, in C order.

        They are not copied into a memory map: a full disk would kill the process there.

        Raises:
            ImageError: The temporary file cannot be written, for example because the disk is full.
        """
        left = np.ascontiguousarray(part).reshape(-1).view(np.uint8).data
        try:
            while left:  # an unbuffered file may take only some of them at a time
                left = left[self._file.write(left) :]
        except OSError as error:
            raise self._full(error) from error

    def __setitem__(self, index: int, part: NDArray[Any]) -> None:
        """Write the elements (of the shape `shape[1:]`) at one integer for the first dimension.

        Raises:
            ImageError: The temporary file cannot be written, for example because the disk is full.
        """
        with self._lock:
            self._file.seek(index * int(np.prod(self.shape[1:])) * self.dtype.itemsize)
            self.append(part.astype(self.dtype, copy=False))

    @property
    def nbytes(self) -> int:
        """Size in the file; none of it is in memory."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __getitem__(self, index: tuple[int | slice, ...]) -> NDArray[Any]:
        """Return the elements at one integer or slice (with steps of one) for each dimension.

        Raises:
            ImageError: The temporary file cannot be read.
        """
        box = [
            slice(part, part + 1) if isinstance(part, int) else slice(*part.indices(size)[:2])
            for part, size in zip(index, self.shape, strict=True)
        ]
        try:
            with self._lock:
                part = read_box(self._file, 0, self.shape, self.dtype, box)
        except (OSError, EOFError) as error:
            raise ImageError(
                f"The temporary file of {self._name} cannot be read ({error}).",
                "Check the disk, or set TMPDIR to a folder on another.",
            ) from error
        return part[tuple(0 if isinstance(one, int) else slice(None) for one in index)]

    def _full(self, error: OSError) -> ImageError:
        size = f"{self.nbytes / 2**20:.0f} MiB"
        return ImageError(
            f"{self._name} is decoded into a temporary file, whose {size} cannot be written in "
            f"{tempfile.gettempdir()}: {error.strerror}.",
            "Free space there, or set TMPDIR to a folder that has more.",
        )
