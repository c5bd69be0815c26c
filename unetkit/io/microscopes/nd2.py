"""Nikon ND2, read through the package nd2: what is not compressed is mapped to memory."""

from __future__ import annotations

from mmap import mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.series import PixelSize
from unetkit.io.base.stored import Step
from unetkit.io.base.units import make_step, plausible_size
from unetkit.io.decoding.chunk_format import Box
from unetkit.io.microscopes.pieces import Pieces, Scene
from unetkit.io.microscopes.planes import Planes, letter_axes, square_chunks

POSITION = "P"
"""Letter of the axis of positions of the stage in the package nd2: each is a scene here."""

FRAME = "CYXS"
"""Axes of what the file stores together, a frame, as the package nd2 orders them."""


class Nd2File:
    """An open ND2 file.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        import nd2

        self._name = str(path)
        self._file: Any = nd2.ND2File(path)
        self._sizes = {str(axis): int(size) for axis, size in self._file.sizes.items()}
        self._loops = [axis for axis in self._sizes if axis not in FRAME]

    @property
    def scenes(self) -> int:
        """Number of positions of the stage."""
        return self._sizes.get(POSITION, 1)

    def describe(self, number: int) -> Scene:
        """Return what the image at a position is."""
        channels = self._file.metadata.channels or []
        names = tuple(str(one.channel.name or "") for one in channels)
        return self._planes(number).scene(
            self._position_name(number),
            self._pixel_size(channels),
            names if all(names) and "S" not in self._sizes else (),
            self._steps(),
        )

    def pieces(self, number: int, level: int, cache_bytes: int) -> Pieces:  # noqa: ARG002
        """Return the pixels at a position."""
        return self._planes(number).pieces(self._name)

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def _planes(self, number: int) -> Planes:
        outer = [axis for axis in self._loops if axis != POSITION]
        frame = tuple(self._sizes.get(axis, 1) for axis in FRAME)
        axes = letter_axes([*outer, *FRAME])
        shape = (*(self._sizes[axis] for axis in outer), *frame)
        compression = self._file.attributes.compressionType
        chunks = square_chunks(axes, shape, "CS") if compression in (None, "none") else (*(1 for _ in outer), *frame)

        def read_box(box: Box) -> NDArray[Any]:
            places = box[: len(outer)]
            pixels = np.empty([part.stop - part.start for part in box], self._file.dtype)
            for place in np.ndindex(*pixels.shape[: len(outer)]):
                at = dict(zip(outer, (part.start + i for part, i in zip(places, place, strict=True)), strict=True))
                pixels[place] = self._frame({**at, POSITION: number})[box[len(outer) :]]
            return pixels

        dtype = np.dtype(self._file.dtype)
        return Planes(axes, shape, dtype, chunks, read_box, "none" if compression is None else str(compression))

    def _frame(self, at: dict[str, int]) -> NDArray[Any]:
        """Return the frame at a place along the loops, (C, h, w, S); a view of the file if it is not compressed.

        Raises:
            ValueError: The file does not hold it. The package would give zeros.
        """
        sizes = [self._sizes[axis] for axis in self._loops]
        index = int(np.ravel_multi_index([at[axis] for axis in self._loops], sizes)) if sizes else 0
        frame: NDArray[Any] = self._file.read_frame(index)
        if not self._file.is_legacy and _is_made_up(frame):
            raise ValueError(f"the file does not hold frame {index}")
        return frame.reshape([self._sizes.get(axis, 1) for axis in FRAME])

    def _position_name(self, number: int) -> str:
        for loop in self._file.experiment:
            if loop.type == "XYPosLoop":
                return str(loop.parameters.points[number].name or "")
        return ""

    def _pixel_size(self, channels: list[Any]) -> PixelSize | None:
        if not channels or not all(channels[0].volume.axesCalibrated[:2]):
            return None
        x, y, _ = channels[0].volume.axesCalibration
        return plausible_size((float(y), float(x)))

    def _steps(self) -> tuple[Step | None, ...]:
        """Return the steps of the loops over Z and time."""
        steps = []
        for loop in self._file.experiment:
            if loop.type == "ZStackLoop":
                steps.append(make_step("Z", abs(loop.parameters.stepUm), "µm"))
            elif loop.type == "TimeLoop":
                steps.append(make_step("T", loop.parameters.periodMs, "ms"))
            elif loop.type == "NETimeLoop" and len(loop.parameters.periods) == 1:
                steps.append(make_step("T", loop.parameters.periods[0].periodMs, "ms"))
        return tuple(steps)


def _is_made_up(frame: NDArray[Any]) -> bool:
    """Return whether a frame comes neither from the file nor from bytes that were decoded."""
    root: Any = frame
    while isinstance(root, np.ndarray) and root.base is not None:
        root = root.base
    return not isinstance(root, bytes | mmap)
