"""Lines that one process appends to a file, and that a later one reads after it was killed."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO
from zlib import crc32

from unetkit.foundation.atomic import cannot_write


class Journal:
    """A file of lines, each with a checksum before it. One process appends at a time.

    Opening it reads what is there up to the first line that is not whole, and drops the rest: the line that a killed
    process was writing.

    Args:
        path: The file, made if it is missing.

    Attributes:
        lines: The lines in the order in which they were appended.

    Raises:
        OutputError: The file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file: BinaryIO = path.open("a+b", buffering=0)
            self._file.seek(0)
            self.lines, self._end = _whole_lines(self._file.read())
            self._file.truncate(self._end)
        except OSError as error:
            raise cannot_write(path, error) from error

    def append(self, line: str) -> None:
        """Append a line; it is with the operating system at the return.

        Raises:
            OutputError: The disk is full.
            ValueError: The text has more than one line.
        """
        if "\n" in line:
            raise ValueError(f"A note is one line: {line!r}")
        text = line.encode()
        data = b"%08x %s\n" % (crc32(text), text)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._file.truncate(self._end)
            raise cannot_write(self._path, error) from error
        self._end += len(data)
        self.lines.append(line)

    def close(self) -> None:
        """Release the file and keep it."""
        self._file.close()


def _whole_lines(data: bytes) -> tuple[list[str], int]:
    """Return the lines before the first that is not whole, and where they end."""
    lines: list[str] = []
    end = 0
    for line in data.split(b"\n")[:-1]:
        checksum, _, text = line.partition(b" ")
        if checksum != b"%08x" % crc32(text):
            break
        lines.append(text.decode())
        end += len(line) + 1
    return lines, end
