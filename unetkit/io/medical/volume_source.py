"""A volume whose pixels lie in one piece, as planes: z by z, and volume after volume in time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.arrays import ArraySource, check_axes
from unetkit.io.base.channels import pick_channels
from unetkit.io.base.contracts import BadTile, Window
from unetkit.io.base.read_options import ReadOptions, parse_channels
from unetkit.io.base.series import pick_level, pick_series
from unetkit.io.base.stored import AS_SEEN, Encoding
from unetkit.io.medical.stored_array import StoredArray
from unetkit.io.medical.volume_header import SCALED, VolumeHeader


class StoredVolume:
    """A NIfTI, NRRD or MetaImage: its stored axes x, y and z are X, Y and Z, whichever way they run in space.

    What is not compressed is read by windows. What is compressed is decoded once, at the first read, to a temporary
    file where it is large. Values come as they are stored, or as float32 where the file has a slope or an intercept.
    Reading is thread-safe.

    Args:
        path: The file.
        header: What its header says.
        reading: Axes, channels, and what to do with planes that are missing at the end.
        as_stored: Whether alpha comes as a channel.
        cache_bytes: Bound of the decoded bytes that are kept in memory between reads.

    Attributes:
        info: The image as it is interpreted.

    Raises:
        ImageError: The file is truncated or damaged, or `reading` does not fit it.
    """

    def __init__(
        self, path: Path, header: VolumeHeader, reading: ReadOptions, *, as_stored: bool, cache_bytes: int
    ) -> None:
        name = str(path)
        self._header = header
        axes = reading.axes.upper() if reading.axes else header.axes
        check_axes(axes, header.shape, name)
        pick_series(1, reading.series, lambda _: header.series, name)
        pick_level(header.series.levels, reading, name)
        self._array = StoredArray(
            header.pixels,
            header.offset,
            header.shape,
            header.dtype,
            stream=header.stream,
            cache_bytes=cache_bytes,
            on_bad_tile=reading.on_bad_tile,
            samples=header.axes[-1] in "SC",
        )
        whole = ArraySource(self._array, axes, name).info
        alpha = header.axes[-1] == "S" and header.shape[-1] == 4 and axes == header.axes
        names = tuple(map(str, header.notes.get("channels", ())))
        names = names if len(names) == whole.channels else ()
        total = whole.channels - 1 if alpha and not as_stored and "C" not in axes else whole.channels
        picked = pick_channels(parse_channels(reading.channels), names, total, axes, name)
        kept = tuple(range(total)) if picked is None else picked
        everything = kept == tuple(range(whole.channels))
        self._pixels = ArraySource(self._array, axes, name, None if everything else kept)
        self.info = replace(
            self._pixels.info,
            format=header.format,
            dtype=header.values,
            alpha=alpha,
            encoding=Encoding(alpha=alpha) if as_stored else AS_SEEN,
            pixel_size_um=header.pixel_size_um,
            steps=tuple(step for step in header.all_steps if step.axis in self._pixels.info.plane_axes),
            space=header.space,
            channel_names=tuple(names[i] for i in kept) if names else (),
            colours=True if "S" in axes and len(kept) > 1 else None,
            block=self._pixels.info.size,
            compression=header.compression,
            scratch_bytes=self._array.scratch_bytes,
            remarks=header.remarks,
        )

    @property
    def bad_tiles(self) -> list[BadTile]:
        """Planes that are missing in the file and were read as zeros."""
        return list(dict.fromkeys(tile for box in list(self._array.bad_boxes) for tile in self._pixels.locate(box)))

    def read(self, item: int, window: Window) -> NDArray[Any]:
        """Return pixels (C, h, w) of one plane.

        Raises:
            ImageError: The file is truncated or damaged.
        """
        pixels = self._pixels.read(item, window)
        if not self._header.is_scaled:
            return pixels
        return (pixels * np.float64(self._header.slope) + self._header.inter).astype(SCALED)

    def close(self) -> None:
        """Nothing to release: the file is opened for each read."""
