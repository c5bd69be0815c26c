"""TIFF in every dialect that tifffile knows: OME, ImageJ, BigTIFF, whole-slide formats, plain pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import COMPRESSION, PLANARCONFIG, TiffFile, TiffPage, TiffPageSeries

from unetkit.io.base.arrays import ArraySource
from unetkit.io.base.axes import name_axes
from unetkit.io.base.channels import name_colours, pick_channels
from unetkit.io.base.contracts import BadTile, ImageInfo, Window
from unetkit.io.base.read_options import WHOLE, ReadOptions, parse_channels
from unetkit.io.base.series import Level, Series, pick_level, pick_series, scale_pixel_size
from unetkit.io.base.stored import AS_SEEN, Encoding
from unetkit.io.decoding.cache import CACHE_BYTES
from unetkit.io.tiff.choice import choose_series
from unetkit.io.tiff.encoded import damaged
from unetkit.io.tiff.files import check_files
from unetkit.io.tiff.metadata import read_channel_names, read_nodata, read_pixel_size, state_resolution
from unetkit.io.tiff.open import check_series, open_tiff, read_series
from unetkit.io.tiff.pages import SeriesArray
from unetkit.io.tiff.steps import read_steps

FORMATS = {"ome": "OME-TIFF", "imagej": "ImageJ TIFF", "uniform": "TIFF", "generic": "TIFF", "shaped": "TIFF"}
"""Names of tifffile's kinds of series. The others (lsm, svs, ndpi, ...) keep their own."""

ALPHA_SAMPLES = (1, 2)
"""Values of the tag ExtraSamples that mean alpha: associated and unassociated."""

WHITE_IS_ZERO, PALETTE, INKS = 0, 3, 5
"""Values of the tag PhotometricInterpretation."""

LOSSY_COMPRESSIONS = (6, 7)
"""Values of the tag Compression for JPEG. Other compressions may lose nothing."""

COLOUR_PHOTOMETRICS = (2, 6)
"""Values of the tag PhotometricInterpretation for RGB and YCbCr."""


class TiffSource:
    """One level of one series of a TIFF file.

    Each tile or strip of the file is decoded once when windows are read in order. Memory does not grow with the image.
    Reading is thread-safe. A palette becomes RGB, 1-bit pixels become 0 and 255, and alpha is dropped. Values are not
    inverted where the file says that zero is white.

    Args:
        path: The file.
        reading: Which series, level (or the one for a pixel size) and channels; axes; what to do at bad tiles.
        as_stored: Whether a palette image is read as its numbers, and alpha as the last channel; masks need it.
        cache_bytes: Bound of the decoded bytes that are kept in memory between reads.

    Attributes:
        info: The image as it is interpreted.

    Raises:
        ImageError: The file is no TIFF, truncated or damaged, has no such series, level or channels, or `axes` does not
            fit it.
    """

    def __init__(
        self,
        path: str | Path,
        reading: ReadOptions = WHOLE,
        *,
        as_stored: bool = False,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._name = str(path)
        self._file = open_tiff(Path(path))
        try:
            all_series = read_series(self._file, self._name)
            usual, remark = choose_series(all_series)
            number = pick_series(
                len(all_series),
                reading.series,
                lambda i: _describe_series(self._file, all_series, i),
                self._name,
                usual,
            )
            self._remarks: tuple[str, ...] = (remark,) if remark and reading.series is None else ()
            self._remarks += check_files(self._file, all_series, number, self._name, reading.on_bad_tile)
            levels = _describe_levels(self._file, all_series, number)
            level = pick_level(levels, reading, self._name, state_resolution(all_series[number]))
            series = all_series[number].levels[level]
            check_series(self._file, series, self._name, whole=reading.on_bad_tile == "stop")
            self._array = SeriesArray(series, self._name, cache_bytes, reading.on_bad_tile)
            axes = (reading.axes or name_axes(series.axes, self._array.shape)).upper()
            names = read_channel_names(self._file, all_series, number)
            self._interpret(series, axes, reading, as_stored, names)
            steps = read_steps(self._file, all_series, number, axes)
            self.info = replace(self._describe(series, names, levels[level]), steps=steps)
        except BaseException:  # whatever it is, the file must not stay open
            self._file.close()
            raise

    @property
    def bad_tiles(self) -> list[BadTile]:
        """What could not be decoded so far and was read as background."""
        found = [tile for box in self._array.bad_boxes for tile in self._pixels.locate(box)]
        return list(dict.fromkeys(found))  # separate channels have their tiles at the same places

    def read(self, item: int, window: Window) -> NDArray[Any]:
        """Return pixels (C, h, w) of one plane.

        Raises:
            ImageError: The file is truncated or cannot be decoded.
        """
        pixels = self._pixels.read(item, window)
        if self._palette is not None:
            return self._palette[:, pixels[0]]
        return pixels.astype(np.uint8) * np.uint8(255) if pixels.dtype == np.bool_ else pixels

    def close(self) -> None:
        """Close the file and stop the decoding threads."""
        self._array.close()
        self._file.close()

    def _interpret(
        self, series: TiffPageSeries, axes: str, reading: ReadOptions, as_stored: bool, names: Sequence[str]
    ) -> None:
        """Decide which of the stored channels are read, and which palette turns them into colours."""
        stored = ArraySource(self._array, axes, self._name).info.channels
        self._palette = _read_palette(series.keyframe) if stored == 1 and not as_stored else None
        colours = _colour_channels(series, axes)
        self._alpha = colours is not None
        self._encoding = AS_SEEN
        if as_stored:
            kept = colours is not None and stored == series.keyframe.samplesperpixel
            self._encoding = _read_encoding(series.keyframe, alpha=kept)
            colours = None if kept else colours
        available = list(range(stored)) if colours is None else [int(channel) for channel in colours]
        self._total = len(available) if self._palette is None else len(self._palette)
        known = names if len(names) == self._total else ()
        wanted = pick_channels(parse_channels(reading.channels), known, self._total, axes, self._name)
        self._picked = list(range(self._total)) if wanted is None else list(wanted)
        if self._palette is not None:
            self._palette = self._palette[self._picked]
            channels = None
        else:
            channels = [available[channel] for channel in self._picked]
        everything = channels is None or channels == list(range(stored))
        self._pixels = ArraySource(self._array, axes, self._name, None if everything else channels)

    def _describe(self, series: TiffPageSeries, names: Sequence[str], level: Level) -> ImageInfo:
        stored = self._pixels.info
        axes, shape, dtype = stored.axes, stored.shape, stored.dtype
        if self._palette is not None:
            dtype = self._palette.dtype
            axes, shape = (axes + "S", (*shape, self._total)) if self._total > 1 else (axes, shape)
        elif dtype == np.bool_:
            dtype = np.dtype(np.uint8)
        channels = len(self._picked)
        return replace(
            stored,
            format=FORMATS.get(series.kind, series.kind.upper()),
            axes=axes,
            shape=shape,
            dtype=dtype,
            channels=channels,
            alpha=self._alpha,
            encoding=self._encoding,
            pixel_size_um=level.pixel_size_um,
            channel_names=tuple(names[i] for i in self._picked) if len(names) == self._total else (),
            block=self._array.block(stored.axes),
            compression=_name_compression(series.keyframe),
            orientation=_read_orientation(series),
            nodata=read_nodata(series.keyframe),
            colours=name_colours(names) or _are_colours(series, axes),
            remarks=self._remarks,
            scratch_bytes=channels * stored.height * stored.width * dtype.itemsize if self._array.oversize else 0,
        )


def list_tiff_series(path: str | Path) -> tuple[Series, ...]:
    """Return the images in a TIFF file and their levels, without reading pixels.

    Raises:
        ImageError: The file is no TIFF, or damaged.
    """
    with open_tiff(Path(path)) as file:
        all_series = read_series(file, str(path))
        return tuple(_describe_series(file, all_series, number) for number in range(len(all_series)))


def _describe_series(file: TiffFile, all_series: Sequence[TiffPageSeries], number: int) -> Series:
    series = all_series[number]
    shape = tuple(int(size) for size in series.shape)
    dtype = "unknown" if series.keyframe.dtype is None else str(np.dtype(series.keyframe.dtype))
    levels = _describe_levels(file, all_series, number)
    return Series(series.name, name_axes(series.axes, shape), shape, dtype, levels)


def _describe_levels(file: TiffFile, all_series: Sequence[TiffPageSeries], number: int) -> tuple[Level, ...]:
    try:
        size = read_pixel_size(file, all_series, number)
        sizes = [(level.keyframe.imagelength, level.keyframe.imagewidth) for level in all_series[number].levels]
        return tuple(Level(*level, scale_pixel_size(size, sizes[0], level)) for level in sizes)
    except (AttributeError, ArithmeticError, ValueError, TypeError, KeyError) as error:
        raise damaged(str(file.filehandle.path), error) from error


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


def _read_encoding(page: TiffPage, *, alpha: bool) -> Encoding:
    """Return how the values of a page are stored; `alpha` says whether its last sample is read as alpha."""
    palette = _read_palette(page)
    if palette is None:
        colours = b""
    else:
        opaque = np.full((1, palette.shape[1]), 255, np.uint8)
        colours = np.vstack([np.broadcast_to(palette, (3, palette.shape[1])), opaque]).T.tobytes()
    return Encoding(
        palette=colours,
        alpha=alpha,
        white_is_zero=page.photometric == WHITE_IS_ZERO,
        lossy=page.compression in LOSSY_COMPRESSIONS,
        inks=page.photometric == INKS and page.samplesperpixel >= 4,
        bilevel=page.bitspersample == 1,
        tifffile=page.software == "tifffile.py",
    )


def _read_palette(page: TiffPage) -> NDArray[np.uint8] | None:
    """Return the colours (3, n) of a palette image, or (1, n) if all are grey; None if the image has no palette."""
    if page.photometric != PALETTE or page.colormap is None or np.dtype(page.dtype).kind != "u":
        return None
    colours = page.colormap
    if colours.max() > 255:
        colours = np.right_shift(colours, 8, dtype=np.uint16)
    grey = bool((colours == colours[0]).all())
    return (colours[:1] if grey else colours).astype(np.uint8)


def _read_orientation(series: TiffPageSeries) -> int:
    """Return the tag Orientation; makers of slide scanners, whose tools ignore it, may write anything."""
    tag = series.keyframe.tags.get("Orientation") if series.kind in FORMATS else None
    return int(tag.value) if tag is not None else 1


def _are_colours(series: TiffPageSeries, axes: str) -> bool | None:
    """Return whether the file says that the channels are the colours of one picture."""
    if "C" in axes:
        return False
    if "S" not in axes:
        return None
    return series.keyframe.photometric in COLOUR_PHOTOMETRICS if "S" in series.axes else None


def _name_compression(page: TiffPage) -> str:
    try:
        return COMPRESSION(page.compression).name.lower().removeprefix("adobe_")
    except ValueError:  # a maker's own number
        return str(page.compression)
