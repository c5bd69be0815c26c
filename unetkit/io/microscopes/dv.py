"""DeltaVision (DV, R3D), read through the package mrc; pixels lie in the file as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from unetkit.io.base.units import make_step, plausible_size
from unetkit.io.decoding.uncompressed import read_box
from unetkit.io.microscopes.pieces import Pieces, Scene
from unetkit.io.microscopes.planes import Planes, round_size, square_chunks

HEADER = 1024
"""Bytes of the header, which an extended header may follow before the pixels."""

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
        sizes, dtype = self._file.sizes, np.dtype(self._file.dtype)
        axes, shape = "".join(sizes), tuple(int(size) for size in sizes.values())
        raw, offset = path.open("rb", buffering=0), HEADER + int(self._file.hdr.ext_hdr_len)
        self._raw = raw
        self._planes = Planes(
            axes, shape, dtype, square_chunks(axes, shape), lambda box: read_box(raw, offset, shape, dtype, box)
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
        self._raw.close()

    @property
    def _channel_names(self) -> tuple[str, ...]:
        """The wavelengths of emission in nm, which are all that such files say of channels."""
        header = self._file.hdr
        waves = [int(getattr(header, f"wave{number}", 0)) for number in range(1, 1 + int(header.nc))]
        return tuple(map(str, waves)) if all(waves) and len(set(waves)) == len(waves) else ()
