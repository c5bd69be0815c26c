"""What the header of a file says whose pixels lie in one piece: NIfTI, NRRD, MetaImage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from unetkit.io.base.series import Level, Series
from unetkit.io.base.space import Space
from unetkit.io.base.stored import Step
from unetkit.io.medical.stored_array import Stream

SCALED = np.dtype(np.float32)
"""Type of values that are stored with a slope or an intercept."""


@dataclass(frozen=True)
class VolumeHeader:
    """What the header of a file says.

    Attributes:
        format: "NIfTI-1", "NRRD", ...
        pixels: The file that holds the pixels.
        compression: "none", "gzip" or "deflate".
        stream: Opens the pixels, decompressed; None where they lie in the file as they are.
        offset: Bytes before the pixels, in the stream where there is one.
        axes: One letter for each stored dimension, in C order; the samples of colours are the last one, S.
        shape: Sizes along `axes`.
        dtype: Stored type, with its byte order.
        slope: What stored values are multiplied with.
        inter: What is added to them then.
        space: Where the volume lies, if the file says so.
        voxel_um: Size of a voxel along x, y and z in micrometres, if it is known.
        steps: Distance between volumes in time, if it is known.
        notes: What unetkit has noted: "axes", "channels" and "notes".
        remarks: Sentences for the user.
    """

    format: str
    pixels: Path
    compression: str
    stream: Stream | None
    offset: int
    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    slope: float = 1.0
    inter: float = 0.0
    space: Space | None = None
    voxel_um: tuple[float, float, float] | None = None
    steps: tuple[Step, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    remarks: tuple[str, ...] = ()

    @property
    def is_scaled(self) -> bool:
        """Whether values are not those that are stored."""
        return (self.slope, self.inter) != (1, 0)

    @property
    def values(self) -> np.dtype[Any]:
        """Type of the values."""
        return SCALED if self.is_scaled else self.dtype.newbyteorder("=")

    @property
    def pixel_size_um(self) -> tuple[float, float] | None:
        """Size of a pixel (y, x), if it is known."""
        return None if self.voxel_um is None else (self.voxel_um[1], self.voxel_um[0])

    @property
    def all_steps(self) -> tuple[Step, ...]:
        """Distances between planes."""
        return (*self.steps, *(() if self.voxel_um is None else (Step("Z", self.voxel_um[2], "µm"),)))

    @property
    def series(self) -> Series:
        """The one image in the file."""
        sizes = dict(zip(self.axes, self.shape, strict=True))
        level = Level(sizes["Y"], sizes["X"], self.pixel_size_um)
        return Series("", self.axes, self.shape, str(self.values), (level,))
