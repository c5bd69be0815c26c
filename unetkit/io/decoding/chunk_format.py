"""What a file format does for the chunked reader: it fetches the chunks of an array and says how each is decoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from unetkit.foundation.errors import ImageError
from unetkit.io.decoding.cache import Block

Box = tuple[slice, ...]
"""A part of an array: one slice with both ends for each of its dimensions."""


class DamagedChunkError(Exception):
    """The bytes of a chunk cannot be decoded. `ChunkedArray` turns it into an `ImageError` or into background."""


class ChunkFormat(Protocol):
    """What a file format tells of an array in chunks, and does to read one chunk.

    Attributes:
        name: Path of the image, for messages.
        shape: Sizes of the dimensions.
        dtype: Type of the elements, in native byte order.
        chunks: Sizes of a chunk.
        fill: Value of what the file leaves out; None stands for 0.
        noun: What several chunks are called in messages.
        chunks_per_task: How many chunks are worth a task in the thread pool.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...]
    fill: Any
    noun: str
    chunks_per_task: int

    def fetch(self, boxes: Sequence[Box], *, oversize: bool) -> Iterator[Sequence[tuple[int, Any]]]:
        """Read encoded chunks from the file.

        Args:
            boxes: Parts of the array. Each is a chunk or, along axes that are read plane by plane, a part of one.
            oversize: Whether a decoded chunk is too large for memory.

        Yields:
            Several chunks at a time: the number of the box, and what `decode` takes. A format whose library reads and
            decodes in one step leaves the reading to `decode`.

        Raises:
            ImageError: The file cannot be read.
        """

    def decode(self, box: Box, encoded: Any) -> Block | None:
        """Decode one chunk; called once for each, in any thread.

        Args:
            box: The part of the array.
            encoded: What `fetch` gave for it.

        Returns:
            At least the pixels of the box; those beyond the border of the array are cut off. None for a chunk that the
            file leaves out. A chunk that is too large for memory can be a `ScratchArray`.

        Raises:
            DamagedChunkError: The bytes cannot be decoded.
            ImageError: The reason has nothing to do with this chunk, such as a missing codec.
        """

    def describe(self, box: Box) -> str:
        """Return which chunk a box is, for messages."""


def cannot_decode(stored: ChunkFormat, box: Box, error: Exception) -> ImageError:
    """Return the error for a chunk that cannot be decoded."""
    return ImageError(
        f"{stored.name} cannot be decoded, it is truncated or damaged ({stored.describe(box)}: {error}).",
        f"Copy or export it again, or pass --on-bad-tile background to go on without such {stored.noun}.",
    )
