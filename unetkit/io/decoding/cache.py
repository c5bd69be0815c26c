"""The cache of decoded tiles, strips and chunks: each is decoded once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Hashable
from typing import Any

from numpy.typing import NDArray

from unetkit.io.decoding.scratch import ScratchArray

CACHE_BYTES = 256 * 2**20
"""Default bound of the decoded bytes of a file that stay in memory between reads."""

SMALLEST_SCRATCH = 2**20
"""Pieces up to this many bytes never go to a temporary file."""

Key = tuple[Hashable, Hashable]
Block = NDArray[Any] | ScratchArray


def is_oversize(nbytes: int, max_bytes: int) -> bool:
    """Return whether a piece is too large for a cache. A window may need four pieces at a time (2 x 2)."""
    return nbytes > max(max_bytes // 4, SMALLEST_SCRATCH)


class BlockCache:
    """Decoded pieces of a file. The least recently used are dropped first; large ones go to temporary files.

    The key of a piece has two parts: its page or plane, and its place.

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
        """Return a piece, which is then the most recently used; None if it is not there."""
        block = self._blocks.get(key)
        if block is None:
            return self._scratch.get(key)
        self._blocks.move_to_end(key)
        return block

    def put(self, key: Key, block: Block) -> Block:
        """Add a piece. Return it as it is kept: a large one in a temporary file.

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
        """Drop old pieces until the bound is met. The pieces of the latest window stay.

        Otherwise a window that is larger than the bound would drop its own lower edge, which the next window needs.
        Pieces in temporary files are dropped when another page or plane is read.
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
    """Return the bytes that a piece takes in memory: next to none if it is one value, repeated."""
    return block.nbytes if any(block.strides) else 0
