"""Reads a file of a microscope by windows, whatever library reads it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from unetkit.foundation.errors import ImageError
from unetkit.io.base.arrays import ArraySource, check_axes
from unetkit.io.base.channels import pick_channels
from unetkit.io.base.read_options import ReadOptions, parse_channels
from unetkit.io.base.series import Series, pick_level, pick_series
from unetkit.io.base.stored import AS_SEEN, Encoding
from unetkit.io.decoding.chunked import ChunkedArray
from unetkit.io.decoding.chunked_source import ChunkedSource
from unetkit.io.microscopes.pieces import MicroscopeFile, Scene, translated

PIXEL_KINDS = "buif"
"""Kinds of NumPy's dtypes that are pixels."""


class MicroscopeSource(ChunkedSource):
    """One level of one scene.

    Each piece is decoded once when windows are read in order. Memory does not grow with the image. Reading is
    thread-safe.

    Args:
        file: The open file; closed with this source.
        path: Its path.
        format: What the format is called, for example "CZI".
        maker: What it is called in messages, for example "Zeiss CZI".
        reading: Which series (scene), level (or the one for a pixel size) and channels; axes; what to do at bad pieces.
        as_stored: Whether alpha comes as a channel.
        cache_bytes: Bound of the decoded bytes that are kept in memory between reads.

    Attributes:
        info: The image as it is interpreted.

    Raises:
        ImageError: The library cannot read it, it has no such series, level or channels, or `axes` does not fit it.
    """

    def __init__(
        self,
        file: MicroscopeFile,
        path: Path,
        format: str,
        maker: str,
        reading: ReadOptions,
        *,
        as_stored: bool,
        cache_bytes: int,
    ) -> None:
        name = str(path)
        self._file, self._maker = file, maker
        with translated(name, maker):
            count = _count(file, name)
            number = pick_series(count, reading.series, lambda i: describe(file, i, name).series, name)
            scene = describe(file, number, name)
            level = pick_level(scene.levels, reading, name)
            pieces = file.pieces(number, level, cache_bytes // 2)
        axes = reading.axes.upper() if reading.axes else scene.axes
        check_axes(axes, pieces.shape, name)
        self._array = ChunkedArray(pieces, cache_bytes=cache_bytes // 2, on_bad_tile=reading.on_bad_tile)
        whole = ArraySource(self._array, axes, name).info
        alpha = dict(zip(axes, pieces.shape, strict=True)).get("S", 1) in (2, 4)
        names = scene.channel_names if len(scene.channel_names) == whole.channels else ()
        total = whole.channels - 1 if alpha and not as_stored and "C" not in axes else whole.channels
        picked = pick_channels(parse_channels(reading.channels), names, total, axes, name)
        kept = tuple(range(total)) if picked is None else picked
        self._pixels = ArraySource(
            self._array, axes, name, None if len(kept) == whole.channels and picked is None else kept
        )
        planes = [i for i, axis in enumerate(axes) if axis in whole.plane_axes]
        plane_bytes = whole.channels * whole.height * whole.width * pieces.dtype.itemsize
        chunk = dict(zip(axes, pieces.chunks, strict=True))
        remark = _several(count, file, number, name) if reading.series is None else ()
        self.info = replace(
            self._pixels.info,
            format=format,
            dtype=np.dtype(np.uint8) if pieces.dtype == np.bool_ else pieces.dtype,
            alpha=alpha,
            encoding=Encoding(alpha=alpha) if as_stored else AS_SEEN,
            pixel_size_um=scene.levels[level].pixel_size_um,
            steps=tuple(step for step in scene.steps if step.axis in axes),
            channel_names=tuple(names[i] for i in kept) if names else (),
            colours=None if len(kept) == 1 or "S" not in axes else True,
            block=(min(chunk["Y"], whole.height), min(chunk["X"], whole.width)),
            compression=scene.compression,
            scratch_bytes=plane_bytes if self._array.oversize(planes) else 0,
            remarks=(*remark, *scene.remarks),
        )

    def close(self) -> None:
        """Stop the decoding threads and close the file."""
        super().close()
        self._file.close()


def list_scenes(file: MicroscopeFile, path: Path, maker: str) -> tuple[Series, ...]:
    """Return the images in a file and their levels, without reading pixels.

    Raises:
        ImageError: The library cannot read it.
    """
    with translated(str(path), maker):
        return tuple(describe(file, number, str(path)).series for number in range(_count(file, str(path))))


def describe(file: MicroscopeFile, number: int, name: str) -> Scene:
    """Return what an image is, once it is known to be one.

    Raises:
        ImageError: It has axes or pixels that are no image's.
    """
    scene = file.describe(number)
    if len(set(scene.axes)) != len(scene.axes) or not {"Y", "X"} <= set(scene.axes) or not all(scene.shape):
        raise ImageError(
            f"{name}: the scene {number} has the axes '{scene.axes}' and the shape {scene.shape}, which is no image.",
            "Choose another with --series; `unetkit info` lists them.",
        )
    if scene.dtype.kind not in PIXEL_KINDS:
        raise ImageError(
            f"{name}: the scene {number} has pixels of {scene.dtype}, which are no real numbers.",
            "Choose another with --series, or convert it.",
        )
    return scene


def _count(file: MicroscopeFile, name: str) -> int:
    """Return how many scenes a file has, once it is known that there are some."""
    if not file.scenes:
        raise ImageError(f"{name} holds no image.", "Copy or export it again.")
    return file.scenes


def _several(count: int, file: MicroscopeFile, number: int, name: str) -> tuple[str, ...]:
    """Return a remark where a file has other scenes than the one that is read."""
    if count == 1:
        return ()
    called = describe(file, number, name).name
    return (
        f"It has {count} scenes, of which number {number}{f' ({called})' if called else ''} is read; "
        "--series chooses another.",
    )
