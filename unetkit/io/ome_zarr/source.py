"""Reads OME-Zarr and plain arrays in Zarr 2 and 3."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from unetkit.foundation.errors import ImageError
from unetkit.io.base.arrays import ArraySource, check_axes
from unetkit.io.base.channels import pick_channels
from unetkit.io.base.contracts import ImageInfo
from unetkit.io.base.read_options import WHOLE, ReadOptions, parse_channels
from unetkit.io.base.series import Level, Series, pick_level, pick_series
from unetkit.io.decoding.cache import CACHE_BYTES
from unetkit.io.decoding.chunked import ChunkedArray
from unetkit.io.decoding.chunked_source import ChunkedSource
from unetkit.io.ome_zarr.absent import absent_remarks
from unetkit.io.ome_zarr.chunks import ZarrChunks
from unetkit.io.ome_zarr.metadata import ZarrImage, choose_image, describe_image, find_images, read_image


class OmeZarrSource(ChunkedSource):
    """One level of one image of an OME-Zarr, or a plain array.

    Each chunk is decoded once when windows are read in order. Memory does not grow with the image. Reading is
    thread-safe.

    Args:
        path: The folder.
        reading: Which series (image of a collection or a plate), level (or the one for a pixel size) and channels;
            axes; what to do at bad chunks.
        cache_bytes: Bound of the decoded bytes that are kept in memory between reads.

    Attributes:
        info: The image as it is interpreted.

    Raises:
        ImageError: The folder is no Zarr, its metadata are missing or damaged, it has no such series, level or
            channels, or `axes` does not fit it.
    """

    def __init__(self, path: str | Path, reading: ReadOptions = WHOLE, *, cache_bytes: int = CACHE_BYTES) -> None:
        name = str(path)
        images = find_images(Path(path))
        usual, remarks = choose_image(images)
        number = pick_series(len(images), reading.series, lambda i: describe_image(images[i], name), name, usual)
        image = read_image(images[number], name, reading.axes)
        level = pick_level(image.series.levels, reading, name)
        stored, axes = image.arrays[level], image.series.axes
        check_axes(axes, stored.shape, name)
        if stored.dtype.kind not in "buif":
            raise ImageError(f"{name}: pixels of {stored.dtype} are not supported.", "Convert it to numbers.")
        chunks = ZarrChunks(stored, axes, name)
        self._array = ChunkedArray(chunks, cache_bytes=cache_bytes, on_bad_tile=reading.on_bad_tile)
        total = ArraySource(self._array, axes, name).info.channels
        names = image.channel_names if len(image.channel_names) == total else ()
        picked = pick_channels(parse_channels(reading.channels), names, total, axes, name)
        self._pixels = ArraySource(self._array, axes, name, picked)
        named = tuple(names[i] for i in (range(total) if picked is None else picked)) if names else ()
        described = self._describe(image, image.series.levels[level], stored, named)
        remarks = (*(remarks if reading.series is None else ()), *absent_remarks(Path(path), stored, axes))
        self.info = replace(described, steps=image.steps[level], remarks=remarks)

    def _describe(self, image: ZarrImage, level: Level, stored: zarr.Array[Any], names: tuple[str, ...]) -> ImageInfo:
        info = self._pixels.info
        dtype = np.dtype(np.uint8) if info.dtype == np.bool_ else info.dtype
        chunk = dict(zip(info.axes, stored.chunks, strict=True))
        plane_axes = [i for i, axis in enumerate(info.axes) if axis in info.plane_axes]
        plane_bytes = info.channels * info.height * info.width * dtype.itemsize
        return replace(
            info,
            format=image.format,
            dtype=dtype,
            pixel_size_um=level.pixel_size_um,
            channel_names=names,
            colours=None if info.channels == 1 else image.colours,
            block=(min(chunk["Y"], info.height), min(chunk["X"], info.width)),
            compression=_name_compression(stored),
            scratch_bytes=plane_bytes if self._array.oversize(plane_axes) else 0,
        )


def list_zarr_series(path: str | Path) -> tuple[Series, ...]:
    """Return the images in a Zarr and their levels, without reading pixels.

    Raises:
        ImageError: The folder is no Zarr, or its metadata are missing or damaged.
    """
    return tuple(describe_image(image, str(path)) for image in find_images(Path(path)))


def _name_compression(array: zarr.Array[Any]) -> str:
    """Return the names of the compressors: `codec_id` in Zarr 2, the name of the class in Zarr 3."""
    names = [getattr(one, "codec_id", None) or type(one).__name__.removesuffix("Codec") for one in array.compressors]
    return ", ".join(name.lower() for name in names) or "none"
