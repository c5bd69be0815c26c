"""Arrays that are stored in chunks, each decoded once and kept for a while."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import ceil, prod
from threading import Lock, RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import ImageError
from unetkit.io.base.contracts import background
from unetkit.io.base.read_options import OnBadTile
from unetkit.io.decoding.cache import CACHE_BYTES, Block, BlockCache, is_oversize

Part = tuple[int | slice, ...]
Box = tuple[slice, ...]
Key = tuple[tuple[int, ...], tuple[int, ...]]


class ChunkedArray:
    """An array in chunks, sliced with integers (for planes) and slices with steps of one.

    Args:
        shape: Sizes of the dimensions.
        dtype: Type of the elements, in native byte order.
        chunks: Sizes of a chunk.
        decode: Decodes one box of the array, which lies in one chunk.
        axes: One letter for each dimension, for messages.
        name: Path of the image, for messages.
        fill: Value of what cannot be decoded, if reading goes on.
        cache_bytes: Bound of the decoded bytes that are kept in memory between reads.
        on_bad_tile: What to do with a chunk that cannot be decoded.

    Attributes:
        shape: Sizes of the dimensions.
        dtype: Type of the elements.
        bad_boxes: What could not be decoded and was read as background: one slice for each dimension.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        chunks: tuple[int, ...],
        decode: Callable[[Box], NDArray[Any]],
        *,
        axes: str,
        name: str,
        fill: Any = 0,
        cache_bytes: int = CACHE_BYTES,
        on_bad_tile: OnBadTile = "stop",
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self.bad_boxes: list[Box] = []
        self._chunks = chunks
        self._decode = decode
        self._axes = axes
        self._name = name
        self._fill = fill
        self._goes_on = on_bad_tile == "background"
        self._cache_bytes = cache_bytes
        self._cache = BlockCache(cache_bytes, name)
        self._bad: set[tuple[int, ...]] = set()
        self._bad_lock = Lock()
        self._lock = RLock()
        self._pool: ThreadPoolExecutor | None = None

    def close(self) -> None:
        """Stop the decoding threads."""
        if self._pool is not None:
            self._pool.shutdown()

    def oversize(self, plane_axes: Sequence[int]) -> bool:
        """Return whether chunks go to temporary files when planes along these dimensions are read."""
        return is_oversize(prod(self._kept(plane_axes)) * self.dtype.itemsize, self._cache_bytes)

    def __getitem__(self, index: Part) -> NDArray[Any]:
        """Return a part of the array.

        Raises:
            ImageError: A chunk cannot be decoded.
        """
        box = tuple(
            slice(part, part + 1) if isinstance(part, int) else slice(*part.indices(size)[:2])
            for part, size in zip(index, self.shape, strict=True)
        )
        window = np.empty([part.stop - part.start for part in box], self.dtype)
        if window.size:
            places = self._places(box, [axis for axis, part in enumerate(index) if isinstance(part, int)])
            for block, place in zip(self._fetch(places), places.values(), strict=True):
                inside = [
                    slice(max(part.start, one.start), min(part.stop, one.stop))
                    for part, one in zip(box, place, strict=True)
                ]
                window[_move(inside, box)] = block[_move(inside, place)]
        return window[tuple(0 if isinstance(part, int) else slice(None) for part in index)]

    def _kept(self, plane_axes: Sequence[int]) -> tuple[int, ...]:
        """Return the sizes of what is kept of a chunk: all planes of it only if a plane's chunks fit into the cache."""
        grid = [1 if i in plane_axes else ceil(self.shape[i] / size) for i, size in enumerate(self._chunks)]
        if prod(grid) * prod(self._chunks) * self.dtype.itemsize <= self._cache_bytes:
            return self._chunks
        return tuple(1 if i in plane_axes else size for i, size in enumerate(self._chunks))

    def _places(self, box: Box, plane_axes: Sequence[int]) -> dict[Key, Box]:
        """Return the boxes that a window is made of, by their keys: the position along the planes, and the rest."""
        sizes = self._kept(plane_axes)
        places: dict[Key, Box] = {}
        for position in itertools.product(
            *(range(part.start // size, ceil(part.stop / size)) for part, size in zip(box, sizes, strict=True))
        ):
            page = tuple(position[axis] for axis in plane_axes)
            rest = tuple(one for axis, one in enumerate(position) if axis not in plane_axes)
            places[page, rest] = tuple(
                slice(i * size, min((i + 1) * size, length))
                for i, size, length in zip(position, sizes, self.shape, strict=True)
            )
        return places

    def _fetch(self, places: dict[Key, Box]) -> list[Block]:
        """Return decoded boxes, decoding those that are not in the cache."""
        with self._lock:
            blocks = {key: self._cache.get(key) for key in places}
            missing = [key for key, block in blocks.items() if block is None]
            largest = max((prod(part.stop - part.start for part in places[key]) for key in missing), default=0)
            boxes = [places[key] for key in missing]
            one_by_one = len(missing) < 2 or is_oversize(largest * self.dtype.itemsize, self._cache_bytes)
            decoded = map(self._read_box, boxes) if one_by_one else self._threads().map(self._read_box, boxes)
            for key, block in zip(missing, decoded, strict=True):
                blocks[key] = self._cache.put(key, block)
            self._cache.trim(places)
            return [block for block in blocks.values() if block is not None]

    def _read_box(self, box: Box) -> NDArray[Any]:
        shape = tuple(part.stop - part.start for part in box)
        try:
            pixels = np.asarray(self._decode(box)).astype(self.dtype, copy=False)
            if pixels.shape != shape:
                raise ValueError(f"it has the shape {pixels.shape} instead of {shape}")
        # Broad: a chunk goes through any chain of codecs, and what damaged bytes raise in them has no limits.
        except Exception as error:
            if not self._goes_on or isinstance(error, (MemoryError, ImportError, OSError)):
                place = ", ".join(f"{axis} {part.start}" for axis, part in zip(self._axes, box, strict=True))
                raise ImageError(
                    f"{self._name} cannot be decoded, it is truncated or damaged (the chunk at {place}: {error}).",
                    "Copy or export it again, or pass --on-bad-tile background to go on without such chunks.",
                ) from error
            with self._bad_lock:
                start = tuple(part.start for part in box)
                if start not in self._bad:
                    self._bad.add(start)
                    self.bad_boxes.append(box)
            return np.broadcast_to(background(self._fill, self.dtype), shape)
        return pixels

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1), "unetkit-chunks")
        return self._pool


def _move(box: Sequence[slice], origin: Sequence[slice]) -> Box:
    """Return a box in coordinates that begin where `origin` does."""
    return tuple(slice(part.start - one.start, part.stop - one.start) for part, one in zip(box, origin, strict=True))
