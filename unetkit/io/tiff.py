"""TIFF in every dialect that tifffile knows: OME, ImageJ, BigTIFF, whole-slide formats, plain pages."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import COMPRESSION, PLANARCONFIG, TiffPage, TiffPageSeries

from unetkit.io.image import UNNAMED_AXES, ArraySource, ImageInfo
from unetkit.io.tiff_metadata import read_channel_names, read_pixel_size
from unetkit.io.tiff_open import first_series, open_tiff
from unetkit.io.tiff_segments import CACHE_BYTES
from unetkit.io.tiff_series import SeriesArray

FORMATS = {"ome": "OME-TIFF", "imagej": "ImageJ TIFF", "uniform": "TIFF", "generic": "TIFF", "shaped": "TIFF"}
"""What tifffile's kinds of series are called; the others (lsm, svs, ndpi, ...) are called by their own name."""

SPARE_AXES = "QIUVWKJN"
"""Letters for axes that have no name or share one."""

ALPHA_SAMPLES = (1, 2)
"""Values of the tag ExtraSamples that mean alpha: associated and unassociated."""

PALETTE = 3
"""Value of the tag PhotometricInterpretation."""


class TiffSource:
    """The first series of a TIFF file at full resolution.

    Each tile or strip of the file is decoded once when windows are read in order, and memory does not grow with the
    image. Reading is thread-safe. A palette becomes RGB, 1-bit pixels become 0 and 255, alpha is dropped; whether zero
    is white or black in the file makes no difference.

    Args:
        path: The file.
        axes: One letter for each dimension of the series, where the file's own are missing or wrong.
        expand_palette: Whether a palette image becomes grey or RGB, rather than the stored numbers.
        cache_bytes: Bound of the decoded bytes that are kept between reads.

    Raises:
        ImageError: The file is no TIFF, truncated or damaged, or `axes` does not fit it.
    """

    def __init__(
        self,
        path: str | Path,
        axes: str | None = None,
        *,
        expand_palette: bool = True,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._name = str(path)
        self._file = open_tiff(Path(path))
        try:
            series = first_series(self._file, self._name)
            self._array = SeriesArray(series, self._name, cache_bytes)
            self._palette = _read_palette(series.keyframe) if expand_palette else None
            axes = (axes or name_axes(series.axes, self._array.shape)).upper()
            self._pixels = ArraySource(self._array, axes, self._name)
            self._colours = _colour_channels(series, axes)
            self.info = self._describe(series)
        except BaseException:  # whatever it is, the file must not stay open
            self._file.close()
            raise

    def read(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Return pixels (C, h, w) of one plane.

        Raises:
            ImageError: The file is truncated or cannot be decoded.
        """
        pixels = self._pixels.read(plane, rows, columns)
        if self._palette is not None:
            return self._palette[:, pixels[0]]
        if self._colours is not None:
            pixels = pixels[self._colours]
        return pixels.astype(np.uint8) * np.uint8(255) if pixels.dtype == np.bool_ else pixels

    def close(self) -> None:
        """Close the file and stop the decoding threads."""
        self._array.close()
        self._file.close()

    def _describe(self, series: TiffPageSeries) -> ImageInfo:
        stored = self._pixels.info
        channels = stored.channels if self._colours is None else len(self._colours)
        axes, shape, dtype = stored.axes, stored.shape, stored.dtype
        if self._palette is not None and channels == 1:
            channels, dtype = len(self._palette), self._palette.dtype
            axes, shape = (axes + "S", (*shape, 3)) if channels == 3 else (axes, shape)
        else:
            self._palette = None
        names = read_channel_names(self._file)
        return replace(
            stored,
            format=FORMATS.get(series.kind, series.kind.upper()),
            axes=axes,
            shape=shape,
            dtype=np.dtype(np.uint8) if dtype == np.bool_ else dtype,
            channels=channels,
            alpha=self._colours is not None,
            pixel_size_um=read_pixel_size(self._file),
            channel_names=names if len(names) == channels else (),
            block=self._array.block(stored.axes),
            compression=_name_compression(series.keyframe),
        )


def name_axes(axes: str, shape: tuple[int, ...]) -> str:
    """Return the axes of a series with one different letter each, and channels that are stored last recognised.

    >>> name_axes("QQYX", (2, 3, 64, 64))
    'QIYX'
    >>> name_axes("QYX", (512, 512, 3))
    'YXS'
    """
    if len(axes) == 3 and axes[0] in UNNAMED_AXES and axes[1:] == "YX" and 1 < shape[2] <= 16 <= min(shape[:2]) // 4:
        return "YXS"  # a NumPy array (Y, X, C) that was written without a word about its axes
    named = ""
    for axis in axes:
        named += axis if axis not in named else next(spare for spare in SPARE_AXES if spare not in axes + named)
    return named


def _colour_channels(series: TiffPageSeries, axes: str) -> NDArray[np.intp] | None:
    """Return the numbers of the channels that are left without the alpha channel, None if there is no alpha.

    Four separate planes are four channels: tifffile marks the last of an array (4, Y, X) as alpha without being asked.
    """
    page = series.keyframe
    separate = page.planarconfig == PLANARCONFIG.SEPARATE
    if "S" not in series.axes or separate or not page.extrasamples or page.extrasamples[-1] not in ALPHA_SAMPLES:
        return None
    position = series.axes.index("S")
    channel_axes = [i for i, axis in enumerate(axes) if axis in "CS"]
    if series.shape[position] != page.samplesperpixel or position not in channel_axes:
        return None
    sizes = [series.shape[i] for i in channel_axes]
    channels = np.arange(prod(sizes)).reshape(sizes)
    return np.delete(channels, -1, axis=channel_axes.index(position)).ravel()


def _read_palette(page: TiffPage) -> NDArray[np.uint8] | None:
    """Return the colours (3, n) of a palette image, or (1, n) if all are grey; None if the image has no palette."""
    if page.photometric != PALETTE or page.colormap is None or np.dtype(page.dtype).kind != "u":
        return None
    colours = page.colormap
    if colours.max() > 255:
        colours = np.right_shift(colours, 8, dtype=np.uint16)
    grey = bool((colours == colours[0]).all())
    return (colours[:1] if grey else colours).astype(np.uint8)


def _name_compression(page: TiffPage) -> str:
    try:
        return COMPRESSION(page.compression).name.lower().removeprefix("adobe_")
    except ValueError:  # a maker's own number
        return str(page.compression)
