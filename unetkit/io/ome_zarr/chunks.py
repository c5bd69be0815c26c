"""The chunks of a Zarr array, for the chunked reader."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from unetkit.io.decoding.chunk_format import Box, DamagedChunkError, cannot_decode


class ZarrChunks:
    """The chunks of a Zarr array; of an array in shards, those inside of the shards.

    zarr reads and decodes a chunk in one step, and gives the fill value for one that is not stored.

    Args:
        array: The array.
        axes: One letter for each dimension, for messages.
        name: Path of the image, for messages.

    Attributes:
        See `ChunkFormat`.
    """

    noun = "chunks"
    chunks_per_task = 1

    def __init__(self, array: zarr.Array[Any], axes: str, name: str) -> None:
        self.name = name
        self.shape: tuple[int, ...] = array.shape
        self.dtype: np.dtype[Any] = array.dtype.newbyteorder("=")
        self.chunks: tuple[int, ...] = array.chunks
        self.fill: Any = array.fill_value
        self._array = array
        self._axes = axes

    def fetch(self, boxes: Sequence[Box], *, oversize: bool) -> Iterator[list[tuple[int, None]]]:  # noqa: ARG002
        """Yield all boxes at once, see `ChunkFormat`; zarr decodes a chunk as a whole, however large."""
        yield [(number, None) for number in range(len(boxes))]

    def describe(self, box: Box) -> str:
        """Return which chunk a box is, for messages."""
        place = ", ".join(f"{axis} {part.start}" for axis, part in zip(self._axes, box, strict=True))
        return f"the chunk at {place}"

    def decode(self, box: Box, encoded: None) -> NDArray[Any]:  # noqa: ARG002
        """Read and decode a chunk, see `ChunkFormat`."""
        try:
            return np.asarray(self._array[box]).astype(self.dtype, copy=False)
        except (MemoryError, ImportError, OSError) as error:
            raise cannot_decode(self, box, error) from error
        except Exception as error:  # broad: what damaged bytes raise in a chain of codecs has no limits
            raise DamagedChunkError(str(error)) from error
