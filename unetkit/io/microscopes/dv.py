"""DeltaVision (DV, R3D), read through the package mrc: pixels lie in the file as they are, and are mapped to memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from unetkit.io.base.units import make_step, plausible_size
from unetkit.io.microscopes.pieces import Pieces, Scene
from unetkit.io.microscopes.planes import Planes, round_size, square_chunks

UNSET = (1.0, 1.0, 1.0)
"""Size of a voxel in files that do not say it."""


class DvFile:
    """An open DeltaVision file.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        from mrc import DVFile

        self._name = str(path)
        self._file: Any = DVFile(path)
        sizes = self._file.sizes
        axes, shape = "".join(sizes), tuple(int(size) for size in sizes.values())
        data = self._file.data
        self._planes = Planes(
            axes, shape, np.dtype(data.dtype), square_chunks(axes, shape), lambda box: np.array(data[box])
        )

    @property
    def scenes(self) -> int:
        """A file is one image; fields of view along time are in T."""
        return 1

    def describe(self, number: int) -> Scene:  # noqa: ARG002
        """Return what the image is."""
        x, y, z = (round_size(size, 7) for size in self._file.voxel_size)  # they are stored as float32
        known = (x, y, z) != UNSET
        size = plausible_size((y, x)) if known else None
        return self._planes.scene("", size, self._channel_names, (make_step("Z", z if known else 0, "µm"),))

    def pieces(self, number: int, level: int, cache_bytes: int) -> Pieces:  # noqa: ARG002
        """Return the pixels."""
        return self._planes.pieces(self._name)

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    @property
    def _channel_names(self) -> tuple[str, ...]:
        """The wavelengths of emission in nm, which are all that such files say of channels."""
        header = self._file.hdr
        waves = [int(getattr(header, f"wave{number}", 0)) for number in range(1, 1 + int(header.nc))]
        return tuple(map(str, waves)) if all(waves) and len(set(waves)) == len(waves) else ()
