"""The one reader of arrays that are stored in chunks: each chunk is decoded once and kept for a while."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import ceil, prod
from operator import lt
from threading import Lock, RLock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.contracts import background
from unetkit.io.base.read_options import OnBadTile
from unetkit.io.decoding.cache import CACHE_BYTES, Block, BlockCache, is_oversize
from unetkit.io.decoding.chunk_format import Box, ChunkFormat, DamagedChunkError, cannot_decode

Index = tuple[int | slice, ...]
Key = tuple[tuple[int, ...], tuple[int, ...]]


class ChunkedArray:
    """An array in chunks, sliced with integers (for planes) and slices with steps of one.

    Each chunk is decoded once when windows are read in order, in several threads. Reading is thread-safe.

    Args:
        stored: The array as its file format tells of it.
        cache_bytes: Bound of the decoded bytes that are kept in memory between reads.
        on_bad_tile: What to do with a chunk that cannot be decoded.

    Attributes:
        shape: Sizes of the dimensions.
        dtype: Type of the elements.
        bad_boxes: What could not be decoded and was read as background: one slice for each dimension.
    """

    def __init__(self, stored: ChunkFormat, *, cache_bytes: int = CACHE_BYTES, on_bad_tile: OnBadTile = "stop") -> None:
        self.shape = stored.shape
        self.dtype = stored.dtype
        self.bad_boxes: list[Box] = []
        self._stored = stored
        self._goes_on = on_bad_tile == "background"
        self._cache_bytes = cache_bytes
        self._cache = BlockCache(cache_bytes, stored.name)
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

    def __getitem__(self, index: Index) -> NDArray[Any]:
        """Return a part of the array.

        Raises:
            ImageError: A chunk cannot be decoded.
        """
        sizes = [
            1 if isinstance(part, int) else len(range(length)[part])
            for part, length in zip(index, self.shape, strict=True)
        ]
        window = np.empty(sizes, self.dtype)
        self.read([(index, window)])
        return window[tuple(0 if isinstance(part, int) else slice(None) for part in index)]

    def read(self, parts: Iterable[tuple[Index, NDArray[Any]]]) -> None:
        """Fill windows with parts of the array. What they are made of is kept until the last of them is filled.

        Args:
            parts: Where in the array, and the window to be filled, whose size is one where the index is an integer.

        Raises:
            ImageError: A chunk cannot be decoded.
        """
        used: set[Key] = set()
        for index, window in parts:
            if window.size:
                plane_axes = [axis for axis, part in enumerate(index) if isinstance(part, int)]
                pieces = self._cut(index, plane_axes)
                blocks = self._fetch(pieces, self.oversize(plane_axes))
                places = itertools.product(*pieces.targets), itertools.product(*pieces.sources)
                for block, target, source in zip(blocks, *places, strict=True):
                    window[target] = block[source]
                used.update(pieces.keys)
        if used:
            with self._lock:
                self._cache.trim(used)

    def _kept(self, plane_axes: Sequence[int]) -> tuple[int, ...]:
        """Return the sizes of what is kept of a chunk: all planes of it only if a plane's chunks fit into the cache."""
        chunks = self._stored.chunks
        grid = [1 if i in plane_axes else ceil(self.shape[i] / size) for i, size in enumerate(chunks)]
        if prod(grid) * prod(chunks) * self.dtype.itemsize <= self._cache_bytes:
            return chunks
        return tuple(1 if i in plane_axes else size for i, size in enumerate(chunks))

    def _cut(self, index: Index, plane_axes: Sequence[int]) -> _Pieces:
        """Return the pieces that a window is made of."""
        cuts = [
            cut_axis(slice(part, part + 1) if isinstance(part, int) else part, size, length)
            for part, size, length in zip(index, self._kept(plane_axes), self.shape, strict=True)
        ]
        page = tuple(cuts[axis][0][0].start for axis in plane_axes)
        starts = itertools.product(*([box.start for box in boxes] for boxes, _, _ in cuts))
        return _Pieces([(page, start) for start in starts], *zip(*cuts, strict=True))

    def _fetch(self, pieces: _Pieces, oversize: bool) -> list[Block]:
        """Return decoded pieces, decoding those that are not in the cache."""
        with self._lock:
            blocks = [self._cache.get(key) for key in pieces.keys]
            missing = [i for i, block in enumerate(blocks) if block is None]
            if missing:
                wanted = [block is None for block in blocks]
                boxes = list(itertools.compress(itertools.product(*pieces.boxes), wanted))
                for number, block in self._decode_all(boxes, oversize):
                    i = missing[number]
                    blocks[i] = (
                        self._left_out(boxes[number]) if block is None else self._cache.put(pieces.keys[i], block)
                    )
            return [block for block in blocks if block is not None]

    def _decode_all(self, boxes: Sequence[Box], oversize: bool) -> Iterator[tuple[int, Block | None]]:
        """Yield numbers of boxes, and their pixels; None for those that the file leaves out."""

        def decode(task: Sequence[tuple[int, Any]]) -> list[tuple[int, Block | None]]:
            return [(number, self._decode(boxes[number], encoded)) for number, encoded in task]

        size = 1 if oversize else self._stored.chunks_per_task
        for fetched in self._stored.fetch(boxes, oversize=oversize):
            tasks = [fetched[start : start + size] for start in range(0, len(fetched), size)]
            inline = oversize or len(tasks) == 1  # of large chunks there should be one in memory at a time
            for decoded in map(decode, tasks) if inline else self._threads().map(decode, tasks):
                yield from decoded

    def _decode(self, box: Box, encoded: Any) -> Block | None:
        """Return a decoded chunk, or background in place of one that cannot be decoded."""
        try:
            block = self._stored.decode(box, encoded)
            if block is not None and block.shape != self._stored.chunks and any(map(lt, block.shape, _shape(box))):
                raise DamagedChunkError(f"it has the shape {block.shape} instead of {_shape(box)}")
        except DamagedChunkError as error:
            if not self._goes_on:
                raise cannot_decode(self._stored, box, error) from error
            with self._bad_lock:
                start = tuple(part.start for part in box)
                if start not in self._bad:
                    self._bad.add(start)
                    self.bad_boxes.append(box)
            return np.broadcast_to(background(self._stored.fill, self.dtype), _shape(box))
        return block

    def _left_out(self, box: Box) -> NDArray[Any]:
        """Return the pixels of a chunk that the file leaves out."""
        fill = 0 if self._stored.fill is None else self._stored.fill
        return np.broadcast_to(np.asarray(fill).astype(self.dtype), _shape(box))

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1), "unetkit-chunks")
        return self._pool


class _Pieces(NamedTuple):
    """What a window is made of: chunks, or what is kept of chunks. Their places are the product of those on each axis.

    Attributes:
        keys: The first elements of each along the axes that are read plane by plane, and along all axes.
        boxes: For each axis, where they lie in the array.
        targets: For each axis, where their parts of the window lie in the window.
        sources: For each axis, where their parts of the window lie in them.
    """

    keys: list[Key]
    boxes: tuple[list[slice], ...]
    targets: tuple[list[slice], ...]
    sources: tuple[list[slice], ...]


def cut_axis(part: slice, size: int, length: int) -> tuple[list[slice], list[slice], list[slice]]:
    """Cut a part of an axis at multiples of a size.

    Args:
        part: What is cut; it is not empty.
        size: Size of a piece; the last one has less where the axis ends.
        length: Length of the axis.

    Returns:
        The pieces on the axis, where each lies in the part, and where that is in the piece.

    >>> boxes, targets, sources = cut_axis(slice(3, 6), 4, 6)
    >>> boxes, targets
    ([slice(0, 4, None), slice(4, 6, None)], [slice(0, 1, None), slice(1, 3, None)])
    >>> sources
    [slice(3, 4, None), slice(0, 2, None)]
    """
    first, last, _ = part.indices(length)
    origins = range(first // size * size, last, size)
    inner = list(itertools.pairwise([first, *origins[1:], last]))
    boxes = [slice(origin, min(origin + size, length)) for origin in origins]
    targets = [slice(start - first, stop - first) for start, stop in inner]
    return boxes, targets, [slice(start % size, start % size + stop - start) for start, stop in inner]


def _shape(box: Box) -> tuple[int, ...]:
    return tuple([part.stop - part.start for part in box])
