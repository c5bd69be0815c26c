"""What the libraries of microscopes give: scenes, and pixels piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import ImageError, UnetkitError
from unetkit.io.base.series import Level, Series
from unetkit.io.base.stored import Step
from unetkit.io.decoding.chunk_format import Box, DamagedChunkError

PIECE = 1024
"""Pixels along Y and X of what is read at once of files whose pixels lie in them as they are."""


@dataclass(frozen=True)
class Scene:
    """One image of a file.

    Attributes:
        name: What the file calls it; may be empty.
        axes: One letter for each stored axis.
        shape: Sizes along `axes` at full resolution.
        dtype: Type of the pixels.
        levels: Its resolutions, the full one first.
        channel_names: Names along C, empty if the file gives none.
        steps: Distances between planes.
        compression: Name of the compression, "none" if there is none, "" if the library does not say.
        remarks: Sentences for the user.
    """

    name: str
    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    levels: tuple[Level, ...]
    channel_names: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    compression: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def series(self) -> Series:
        """The scene as `unetkit info` lists it."""
        return Series(self.name, self.axes, self.shape, str(self.dtype), self.levels)


@dataclass
class Pieces:
    """The pixels of one level of a scene, as the reader of arrays in chunks takes them (`ChunkFormat`).

    Attributes:
        name: Path of the image, for messages.
        shape: Sizes along the axes of the scene.
        dtype: Type of the pixels, in native byte order.
        chunks: Sizes of a piece.
        read_box: Returns the pixels of a part of the array. It may raise anything; one thread calls it at a time, as
            few of the libraries say that they are safe in threads.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...]
    read_box: Callable[[Box], NDArray[Any]]
    fill: Any = None
    noun: str = "pieces"
    chunks_per_task: int = 1
    lock: Lock = field(default_factory=Lock)

    def fetch(self, boxes: Sequence[Box], *, oversize: bool) -> Iterator[Sequence[tuple[int, Any]]]:  # noqa: ARG002
        """Yield the numbers of the boxes: the libraries read and decode in one step."""
        for number in range(len(boxes)):
            yield [(number, None)]

    def decode(self, box: Box, encoded: Any) -> NDArray[Any]:  # noqa: ARG002
        """Return the pixels of a box.

        Raises:
            DamagedChunkError: The library cannot read them.
        """
        try:
            with self.lock:
                pixels = np.asarray(self.read_box(box))
        except UnetkitError:
            raise
        except Exception as error:  # broad: what the libraries of many makers raise has no limits
            raise DamagedChunkError(f"{type(error).__name__}: {error}") from error
        return pixels.astype(self.dtype, copy=False)

    def describe(self, box: Box) -> str:
        """Return which piece a box is."""
        return f"the piece at {', '.join(str(part.start) for part in box)}"


class MicroscopeFile(Protocol):
    """An open file of a microscope."""

    @property
    def scenes(self) -> int:
        """Number of images in the file."""

    def describe(self, number: int) -> Scene:
        """Return what an image is."""

    def pieces(self, number: int, level: int, cache_bytes: int) -> Pieces:
        """Return the pixels of one level of an image.

        Args:
            number: Number of the scene.
            level: Number of the level.
            cache_bytes: What the library may keep of encoded pieces that it has decoded.
        """

    def close(self) -> None:
        """Release the file."""


@contextmanager
def translated(path: str, maker: str) -> Iterator[None]:
    """Raise whatever a library raises as an ImageError."""
    try:
        yield
    except UnetkitError:
        raise
    except Exception as error:  # broad: what the libraries of many makers raise has no limits
        said = " ".join(str(error).split())
        reason = f"{type(error).__name__}: {said}" if said else type(error).__name__
        raise ImageError(
            f"{path} cannot be read as {maker}: it is truncated, damaged, or of a kind that is not read ({reason}).",
            "Copy or export it again, or convert it to OME-TIFF with the program of the microscope.",
        ) from error
