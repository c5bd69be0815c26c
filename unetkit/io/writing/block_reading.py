"""Blocks of a folder that are read: opened once, and waited for where a shared file system is late."""

from __future__ import annotations

import errno
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from math import prod
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import OutputError
from unetkit.io.base.contracts import OutputSpec, Window
from unetkit.io.base.windows import sizes_of
from unetkit.io.writing.block_file import BlockFile, DamagedBlockError, block_strip_rows, strip_rows

STRIP_BYTES = 2**24
"""Pixels of the rows that are given back at once, at most; but as many rows as a strip of a block has."""

MOST_ROWS = 512
"""Rows that are given back at once, at most."""

OPEN_FILES = 200
"""Blocks that are open at a time, at most."""

WAITS = (0.1, 0.5, 2.0)
"""Seconds to wait before a file that is missing is looked for again: a shared file system may be late."""

Result = TypeVar("Result")


class LostBlockError(OutputError):
    """A file of a block folder is missing or damaged.

    Attributes:
        name: Its name, for `BlockFolder.forget`; "" where it is not known which one is missing.
    """

    name = ""


def lost_block(folder: Path, name: str, reason: str) -> LostBlockError:
    """Return the error for a file that is missing or damaged."""
    error = LostBlockError(
        f"{f'The block {folder / name}' if name else folder} cannot be read: {reason}.",
        "Run the same command again with --resume, which makes it again.",
    )
    error.name = name
    return error


def patiently(read: Callable[[], Result]) -> Result:
    """Return what `read` gives, which is tried again where a shared file system does not know the file yet."""
    for wait in WAITS:
        try:
            return read()
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.ESTALE}:
                raise
        time.sleep(wait)
    return read()


class OpenBlocks:
    """Blocks of an item that are read: the last ones stay open.

    Args:
        folder: The folder they lie in.
        name: Returns the name of the file of a block.
    """

    def __init__(self, folder: Path, name: Callable[[Window], str]) -> None:
        self._folder = folder
        self._name = name
        self._open: OrderedDict[str, BlockFile] = OrderedDict()

    def __enter__(self) -> OpenBlocks:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._open.values():
            file.close()

    def kind(self, block: Window) -> tuple[int, np.dtype[Any]]:
        """Return the number of channels and the dtype of a block.

        Raises:
            LostBlockError: It is missing or damaged.
        """
        file = self._read(block, lambda file: file)
        return file.channels, file.dtype

    def gather(self, pixels: NDArray[Any], window: Window, blocks: Iterable[Window]) -> None:
        """Fill the pixels (C, one size for each axis) of a window from blocks that overlap with it.

        Raises:
            LostBlockError: A block is missing or damaged.
        """
        for block in blocks:
            self._read(block, lambda file: file.read_into(pixels, window))

    def rows(self, spec: OutputSpec, blocks: Iterable[Window]) -> Iterator[NDArray[Any]]:
        """Yield the rows (channels, h, ...) of an item from blocks that cover it. Each strip of a block is read once.

        Raises:
            LostBlockError: A block is missing or damaged.
        """
        length, *others = spec.size
        waiting = deque(sorted(blocks, key=lambda block: [part.start for part in block]))
        height = strip_rows(spec.channels * prod(others) * spec.dtype.itemsize, STRIP_BYTES, MOST_ROWS)
        height = max(height, *(block_strip_rows(block, spec.channels, spec.dtype) for block in waiting))
        here: list[Window] = []
        for top in range(0, length, height):
            bottom = min(top + height, length)
            here = [block for block in here if block[0].stop > top]
            while waiting and waiting[0][0].start < bottom:
                here.append(waiting.popleft())
            strip = (slice(top, bottom), *(slice(0, size) for size in others))
            pixels = np.empty((spec.channels, *sizes_of(strip)), spec.dtype)
            self.gather(pixels, strip, here)
            yield pixels
            del pixels  # as wide as the image: there should not be two

    def _read(self, block: Window, read: Callable[[BlockFile], Result]) -> Result:
        name = self._name(block)

        def attempt() -> Result:
            try:
                return read(self._opened(name, block))
            except OSError:
                if name in self._open:  # another process has put it again: it is opened anew
                    self._open.pop(name).close()
                raise

        try:
            return patiently(attempt)
        except (OSError, DamagedBlockError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise lost_block(self._folder, name, reason) from error

    def _opened(self, name: str, block: Window) -> BlockFile:
        if name not in self._open:
            while len(self._open) >= OPEN_FILES:
                self._open.popitem(last=False)[1].close()
            self._open[name] = BlockFile(self._folder / name, block)
        self._open.move_to_end(name)
        return self._open[name]
