"""Arrays in files of microscopes: of all their axes, those that are more than one position are kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.axes import SPARE_AXES
from unetkit.io.base.series import Level, PixelSize
from unetkit.io.base.stored import Step
from unetkit.io.decoding.chunk_format import Box
from unetkit.io.microscopes.pieces import PIECE, Pieces, Scene


@dataclass(frozen=True)
class Planes:
    """All pixels of an image, as a library gives them.

    Attributes:
        axes: One letter for each axis.
        shape: Sizes along `axes`.
        dtype: Type of the pixels, in the byte order of the file.
        chunks: Sizes of what is read at once.
        read_box: Returns the pixels of a part: one slice for each axis.
        compression: Name of the compression, "none" if there is none, "" if the library does not say.
    """

    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...]
    read_box: Callable[[Box], NDArray[Any]]
    compression: str = "none"

    @property
    def kept(self) -> list[int]:
        """Numbers of the axes with more than one position, and of Y and X."""
        return [i for i, axis in enumerate(self.axes) if self.shape[i] != 1 or axis in "YX"]

    def size(self, axis: str) -> int:
        """Return the size along an axis; 1 if there is no such axis."""
        return dict(zip(self.axes, self.shape, strict=True)).get(axis, 1)

    def scene(
        self,
        name: str,
        pixel_size: PixelSize | None,
        channel_names: tuple[str, ...],
        steps: tuple[Step | None, ...],
        remarks: tuple[str, ...] = (),
    ) -> Scene:
        """Return the description of the image, with the steps along axes that are kept."""
        axes = "".join(self.axes[i] for i in self.kept)
        return Scene(
            name=name,
            axes=axes,
            shape=tuple(self.shape[i] for i in self.kept),
            dtype=self.dtype.newbyteorder("="),
            levels=(Level(self.size("Y"), self.size("X"), pixel_size),),
            channel_names=channel_names,
            steps=tuple(step for step in steps if step is not None and step.axis in axes),
            compression=self.compression,
            remarks=remarks,
        )

    def pieces(self, name: str) -> Pieces:
        """Return the pixels along the axes that are kept."""
        kept = self.kept

        def read_box(box: Box) -> NDArray[Any]:
            whole = [slice(0, 1)] * len(self.axes)
            for i, part in zip(kept, box, strict=True):
                whole[i] = part
            return np.asarray(self.read_box(tuple(whole))).reshape([part.stop - part.start for part in box])

        shape, chunks = tuple(self.shape[i] for i in kept), tuple(self.chunks[i] for i in kept)
        return Pieces(name, shape, self.dtype.newbyteorder("="), chunks, read_box)


def square_chunks(axes: str, shape: tuple[int, ...], together: str = "S") -> tuple[int, ...]:
    """Return sizes of pieces: squares of one plane, with all positions along the axes `together`.

    >>> square_chunks("TCYX", (5, 2, 3000, 700))
    (1, 1, 1024, 700)
    """
    return tuple(
        size if axis in together else min(PIECE, size) if axis in "YX" else 1
        for axis, size in zip(axes, shape, strict=True)
    )


def round_size(size: float, digits: int = 9) -> float:
    """Return a size without the noise of conversions: 0.1 in place of 0.09999999999999999."""
    return float(f"{size:.{digits}g}")


def letter_axes(labels: list[str]) -> str:
    """Return a letter of its own for each axis, for libraries that give them longer or Greek names.

    >>> letter_axes(["T", "C0", "C", "λ", "Y", "X"])
    'TQCIYX'
    """
    taken = {label for label in labels if len(label) == 1 and "A" <= label <= "Z"}
    axes = ""
    for label in labels:
        free = next(letter for letter in SPARE_AXES if letter not in taken | set(axes))
        axes += label if label in taken and label not in axes else free
    return axes
