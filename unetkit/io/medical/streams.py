"""Files that are compressed from some place on, opened for reading."""

from __future__ import annotations

import gzip
import zlib
from io import BufferedIOBase, BufferedReader, RawIOBase
from pathlib import Path
from typing import Any

READ_BYTES = 2**18
"""Encoded bytes that are read at a time."""


def open_gzip(path: Path, offset: int = 0) -> BufferedIOBase:
    """Open a file that is compressed with gzip from a place on."""
    return _Gzip(path, offset) if offset else gzip.GzipFile(path, "rb")


def open_deflate(path: Path, offset: int = 0) -> BufferedIOBase:
    """Open a file that is compressed with zlib from a place on."""
    return BufferedReader(_Inflated(path, offset), READ_BYTES)


class _Gzip(gzip.GzipFile):
    def __init__(self, path: Path, offset: int) -> None:
        self._whole = path.open("rb")
        self._whole.seek(offset)
        super().__init__(fileobj=self._whole, mode="rb")

    def close(self) -> None:
        super().close()
        self._whole.close()


class _Inflated(RawIOBase):
    def __init__(self, path: Path, offset: int) -> None:
        self._file = path.open("rb")
        self._file.seek(offset)
        self._inflate = zlib.decompressobj()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = b""
        while not data and not self._inflate.eof:
            encoded = self._inflate.unconsumed_tail or self._file.read(READ_BYTES)
            if not encoded:
                raise EOFError("the file ends before its pixels do")
            data = self._inflate.decompress(encoded, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()
