"""Nikon ND2, read through the package nd2; of what is not compressed only windows are read."""

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
from unetkit.io.decoding.uncompressed import read_box
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
        self._raw = path.open("rb", buffering=0)
        try:
            self._sizes = {str(axis): int(size) for axis, size in self._file.sizes.items()}
        except BaseException:  # whatever it is, the file must not stay open
            self.close()
            raise
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
        self._raw.close()

    def _planes(self, number: int) -> Planes:
        outer = [axis for axis in self._loops if axis != POSITION]
        frame = tuple(self._sizes.get(axis, 1) for axis in FRAME)
        axes = letter_axes([*outer, *FRAME])
        shape = (*(self._sizes[axis] for axis in outer), *frame)
        compression = str(self._file.attributes.compressionType or "none")
        is_raw = compression == "none" and not self._file.is_legacy
        chunks = square_chunks(axes, shape, "CS") if is_raw else (*(1 for _ in outer), *frame)

        def read_part(box: Box) -> NDArray[Any]:
            places, window = box[: len(outer)], box[len(outer) :]
            pixels = np.empty([part.stop - part.start for part in box], self._file.dtype)
            for place in np.ndindex(*pixels.shape[: len(outer)]):
                at = dict(zip(outer, (part.start + i for part, i in zip(places, place, strict=True)), strict=True))
                stored = self._frame({**at, POSITION: number})
                pixels[place] = self._read_window(stored, window) if is_raw else self._ordered(stored)[window]
            return pixels

        return Planes(axes, shape, np.dtype(self._file.dtype), chunks, read_part, compression)

    def _frame(self, at: dict[str, int]) -> NDArray[Any]:
        """Return the frame at a place along the loops; if it is not compressed, a view of the file, which is not read.

        Raises:
            ValueError: The file does not hold it. The package would give zeros.
        """
        sizes = [self._sizes[axis] for axis in self._loops]
        index = int(np.ravel_multi_index([at[axis] for axis in self._loops], sizes)) if sizes else 0
        frame: NDArray[Any] = self._file.read_frame(index)
        if not self._file.is_legacy and not isinstance(_root(frame), bytes | mmap):
            raise ValueError(f"the file does not hold frame {index}")
        return frame

    def _ordered(self, frame: NDArray[Any]) -> NDArray[Any]:
        """Return a frame over C, Y, X and S. The package leaves out axes of size 1."""
        height, width, components = self._components()
        channels = self._file.attributes.channelCount or 1
        pixels = frame.reshape(channels, height, width, components // channels)
        if "S" in self._sizes:
            return pixels
        return pixels.transpose(0, 3, 1, 2).reshape(components, height, width, 1)

    def _read_window(self, frame: NDArray[Any], window: Box) -> NDArray[Any]:
        """Return a window of a frame that lies in the file as it is: rows of pixels of all components.

        The map of the file is not read: a failing disk would kill the process there.
        """
        height, width, components = self._components()
        itemsize = frame.dtype.itemsize
        row = self._file.attributes.widthBytes or width * components * itemsize
        offset = frame.ctypes.data - np.frombuffer(_root(frame), np.uint8).ctypes.data
        channels, rows, columns, samples = window
        part = slice(columns.start * components * itemsize, columns.stop * components * itemsize)
        data = read_box(self._raw, offset, (height, row), np.dtype(np.uint8), [rows, part])
        count = self._sizes.get("C", 1)
        pixels = data.view(frame.dtype).reshape(len(data), -1, count, components // count)
        return pixels.transpose(2, 0, 1, 3)[channels, :, :, samples]

    def _components(self) -> tuple[int, int, int]:
        """Return the height and the width of a frame, and the number of values of a pixel."""
        attributes = self._file.attributes
        return int(attributes.heightPx), int(attributes.widthPx), int(attributes.componentCount)

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


def _root(frame: NDArray[Any]) -> Any:
    """Return what holds the memory of an array: the map of a file, bytes that were decoded, or an array of its own."""
    root: Any = frame
    while isinstance(root, np.ndarray) and root.base is not None:
        root = root.base
    return root
