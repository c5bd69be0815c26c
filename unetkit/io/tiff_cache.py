"""Decoded tiles and strips that are kept between reads, so that each is decoded once."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from numpy.typing import NDArray


class SegmentCache:
    """Decoded tiles and strips; the ones not used for longest go first.

    Args:
        max_bytes: Bound of the decoded bytes that are kept.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._segments: OrderedDict[tuple[int, int], NDArray[Any]] = OrderedDict()

    def get(self, key: tuple[int, int]) -> NDArray[Any] | None:
        """Return a segment by (page, index) if it is there, and count this as a use of it."""
        segment = self._segments.get(key)
        if segment is not None:
            self._segments.move_to_end(key)
        return segment

    def put(self, key: tuple[int, int], segment: NDArray[Any]) -> None:
        """Add a segment."""
        self._segments[key] = segment
        self._bytes += segment.nbytes

    def trim(self, needed: int) -> None:
        """Drop old segments down to the bound, but none of those that the latest window needed (in bytes).

        Otherwise a window larger than the bound would push out its own lower edge, which the next window needs.
        """
        bound = max(self._max_bytes, needed)
        while self._bytes > bound:
            _, segment = self._segments.popitem(last=False)
            self._bytes -= segment.nbytes
