"""Files that a plug-in of bioio reads: its reader says what is in them, and gives a chunk of dask's at a time."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.series import PixelSize
from unetkit.io.base.stored import Step
from unetkit.io.base.units import UNITS_UM, make_step, plausible_size
from unetkit.io.decoding.chunk_format import Box
from unetkit.io.microscopes.pieces import Pieces, Scene
from unetkit.io.microscopes.planes import Planes, letter_axes


class BioioFile:
    """A file that is opened by a plug-in of bioio.

    Most plug-ins decode a whole plane at a time; it is kept, in a temporary file if it is large, while it is needed.

    Args:
        reader: The class `Reader` of the plug-in.
        path: The file.
    """

    def __init__(self, reader: Any, path: Path) -> None:
        self._name = str(path)
        self._reader: Any = reader(str(path))
        self._names = [str(name) for name in self._reader.scenes]

    @property
    def scenes(self) -> int:
        """Number of scenes."""
        return len(self._names)

    def describe(self, number: int) -> Scene:
        """Return what a scene is."""
        planes = self._planes(number)
        name = "" if is_made_up(self._names[number]) else self._names[number]
        return planes.scene(name, self._pixel_size(), self._channel_names(planes), self._steps())

    def pieces(self, number: int, level: int, cache_bytes: int) -> Pieces:  # noqa: ARG002
        """Return the pixels of a scene."""
        return self._planes(number).pieces(self._name)

    def close(self) -> None:
        """Nothing to release: plug-ins open the file when they read."""

    def _planes(self, number: int) -> Planes:
        self._reader.set_scene(number)
        array = self._reader.xarray_dask_data
        pixels = array.data

        def read_box(box: Box) -> NDArray[Any]:
            return np.asarray(pixels[box].compute(scheduler="synchronous"))

        return Planes(
            axes=letter_axes([str(name) for name in array.dims]),
            shape=tuple(int(size) for size in array.shape),
            dtype=np.dtype(array.dtype),
            chunks=tuple(max(sizes) for sizes in pixels.chunks),
            read_box=read_box,
            compression="",
        )

    def _channel_names(self, planes: Planes) -> tuple[str, ...]:
        """Return the names of the channels; numbers that a plug-in makes up are none."""
        names = self._reader.channel_names or []
        known = all(isinstance(name, str) and name for name in names) and not all(map(is_made_up, names))
        return tuple(map(str, names)) if known and len(names) == planes.size("C") else ()

    def _pixel_size(self) -> PixelSize | None:
        sizes = self._reader.physical_pixel_sizes
        rows, columns = (make_step(axis, getattr(sizes, axis, None), self._unit(axis)) for axis in "YX")
        return None if rows is None or columns is None else plausible_size((rows.size, columns.size))

    def _steps(self) -> tuple[Step | None, ...]:
        interval = self._reader.time_interval
        seconds = interval.total_seconds() if isinstance(interval, timedelta) else None
        depth = getattr(self._reader.physical_pixel_sizes, "Z", None)
        return make_step("Z", depth, self._unit("Z")), make_step("T", seconds, "s")

    def _unit(self, axis: str) -> str:
        """Return the unit of a size; most plug-ins give micrometres, and do not say so."""
        unit = str(getattr(getattr(self._reader.dimension_properties, axis, None), "unit", None) or "")
        return unit if unit.lower() in UNITS_UM else "µm"


def is_made_up(name: str) -> bool:
    """Return whether a name is one that bioio or a plug-in makes of a number, such as "Image:0", "Channel:0:1" or "0".

    >>> is_made_up("Channel:0:1"), is_made_up("0"), is_made_up("DAPI")
    (True, True, False)
    """
    word, _, number = name.rpartition(":") if name.isdigit() else name.partition(":")
    return word in ("", "Image", "Channel") and number.replace(":", "").isdigit()
