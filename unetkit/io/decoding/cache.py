"""Decoded tiles, strips and chunks that are kept between reads, so that each is decoded once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Hashable
from typing import Any

from numpy.typing import NDArray

from unetkit.io.decoding.scratch import ScratchArray

CACHE_BYTES = 256 * 2**20
"""Default bound of the decoded bytes that a file keeps in memory between reads."""

SMALLEST_SCRATCH = 2**20
"""Pieces up to this many bytes are never worth a temporary file."""

Key = tuple[Hashable, Hashable]
Block = NDArray[Any] | ScratchArray


def is_oversize(nbytes: int, max_bytes: int) -> bool:
    """Return whether a piece of a file takes too much of a cache: a window may need four at a time (2 x 2)."""
    return nbytes > max(max_bytes // 4, SMALLEST_SCRATCH)


class BlockCache:
    """Decoded pieces of a file: those not used for longest go first, and large ones go to temporary files.

    A piece has a key of two parts: its page (or what a page is to the format), and its place in it.

    Args:
        max_bytes: Bound of the decoded bytes that are kept in memory.
        name: Path of the image, for messages.
    """

    def __init__(self, max_bytes: int, name: str) -> None:
        self._max_bytes = max_bytes
        self._name = name
        self._bytes = 0
        self._blocks: OrderedDict[Key, NDArray[Any]] = OrderedDict()
        self._scratch: dict[Key, ScratchArray] = {}

    def get(self, key: Key) -> Block | None:
        """Return a piece if it is there, and count this as a use of it."""
        block = self._blocks.get(key)
        if block is None:
            return self._scratch.get(key)
        self._blocks.move_to_end(key)
        return block

    def put(self, key: Key, block: Block) -> Block:
        """Add a piece, and return it as it is kept.

        Raises:
            ImageError: A temporary file is needed and cannot be written.
        """
        if not isinstance(block, ScratchArray) and is_oversize(_held(block), self._max_bytes):
            block = ScratchArray.of(block, self._name)
        if isinstance(block, ScratchArray):
            self._scratch[key] = block
            return block
        self._blocks[key] = block
        self._bytes += _held(block)
        return block

    def trim(self, latest: Collection[Key]) -> None:
        """Drop old pieces down to the bound, but none of those that the latest window needed.

        Otherwise a window larger than the bound would push out its own lower edge, which the next window needs. Of the
        pieces in temporary files those of the same pages stay.
        """
        if self._bytes > self._max_bytes:
            needed = sum(_held(self._blocks[key]) for key in latest if key in self._blocks)
            bound = max(self._max_bytes, needed)
            while self._bytes > bound:
                _, block = self._blocks.popitem(last=False)
                self._bytes -= _held(block)
        if self._scratch:
            pages = {page for page, _ in latest}
            for key in [key for key in self._scratch if key[0] not in pages]:
                del self._scratch[key]


def _held(block: NDArray[Any]) -> int:
    """Return the bytes that a piece takes in memory: next to none for one that is all background."""
    return block.nbytes if any(block.strides) else 0
