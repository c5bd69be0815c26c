"""What can begin as soon as some blocks of an item are done, and need not wait for the others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from unetkit.inference.spread.blocks import Index


class Gate:
    """Work that waits for blocks.

    Args:
        needs: For each piece of work the blocks of an item that it waits for; it is the same for each item.
    """

    def __init__(self, needs: Iterable[Sequence[Index]]) -> None:
        self._needed: list[int] = []
        self._waiting: dict[Index, list[int]] = defaultdict(list)
        for number, blocks in enumerate(needs):
            self._needed.append(len(blocks))
            for block in blocks:
                self._waiting[block].append(number)
        self._missing: dict[tuple[int, int], int] = {}

    def open(self, item: int, block: Index) -> list[int]:
        """Return the numbers of the work that can begin now that one more block of an item is done."""
        ready = []
        for number in self._waiting.get(block, ()):
            missing = self._missing.pop((item, number), self._needed[number]) - 1
            if missing:
                self._missing[item, number] = missing
            else:
                ready.append(number)
        return ready
