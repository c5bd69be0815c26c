"""Opens a TIFF file and checks that it is whole, since tifffile reads what it can of a truncated one."""

from __future__ import annotations

import logging
import struct
from math import prod
from pathlib import Path

import numpy as np
from tifffile import TiffFile, TiffFrame, TiffPage, TiffPageSeries

from unetkit.foundation.errors import ImageError
from unetkit.io.tiff.encoded import damaged
from unetkit.io.tiff.files import find_companion

# tifffile logs what it finds wrong in a file. Where nobody set up logging, Python would print it.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

NEEDED_TAGS = {256, 257, 258, 259, 262, 270, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 338, 339}
"""Tags that pixels need: sizes, types, places, and the description that names the axes."""


def open_tiff(path: Path) -> TiffFile:
    """Open a TIFF file. Metadata of an OME-TIFF may lie in a file beside it.

    Raises:
        ImageError: The file is truncated or no TIFF.
    """
    try:
        file = TiffFile(path)
        companion = find_companion(file)
        if companion is None or not companion.is_file():
            return file
        file.close()
        return TiffFile(path, omexml=companion.read_text(encoding="utf-8"))
    except (ValueError, OSError, struct.error, IndexError, KeyError, TypeError, RuntimeError) as error:
        raise damaged(str(path), error) from error


def read_series(file: TiffFile, name: str) -> list[TiffPageSeries]:
    """Return all series of a file.

    Raises:
        ImageError: The file is truncated or damaged.
    """
    try:
        series = list(file.series)
    # Broad, because tifffile parses the metadata of thirty makers here, and what damaged bytes raise has no limits.
    except Exception as error:
        raise damaged(name, error) from error
    if not series:
        raise damaged(name, "it has no pages with pixels")
    return series


def check_series(file: TiffFile, series: TiffPageSeries, name: str, *, whole: bool = True) -> None:
    """Check that the pages of a series are there and can be understood.

    Args:
        file: The open file.
        series: A series of it, or one of its levels.
        name: Path of the file, for messages.
        whole: Whether all pixels have to be there as well.

    Raises:
        ImageError: The file is truncated or damaged, or holds pixels that are no numbers.
    """
    try:
        page = series.keyframe
        known = page.dtype is not None and page.dtype.kind in "buif"
        complete = not known or (_has_all_pages(file, series) and _is_readable(file, series))
        if known and complete and whole:
            complete = _has_all_pixels(file, series)
    except Exception as error:  # broad for the same reason
        raise damaged(name, error) from error
    if not known:
        raise ImageError(
            f"{name}: pixels of {page.bitspersample} bits (sample format {page.sampleformat}) are not supported.",
            "Convert it to 8-bit, 16-bit or float32.",
        )
    if not complete:
        raise damaged(name, "the file ends before its pixels or metadata do")


def _has_all_pages(file: TiffFile, series: TiffPageSeries) -> bool:
    """Return whether the chain of pages ends as it should; tifffile reads the first part of a broken chain."""
    if file.is_ndpi:  # has offsets of its own kind
        return True
    if file.imagej_metadata is not None and series.kind in ("generic", "uniform"):
        # tifffile takes the first page of an ImageJ stack if the file is too short for the others
        return bool(file.imagej_metadata.get("images", 1) <= len(series))
    tiff = file.tiff
    handle = file.filehandle
    handle.seek(file.pages[-1].offset)
    tags: int = struct.unpack(tiff.tagnoformat, handle.read(tiff.tagnosize))[0]
    handle.seek(tags * tiff.tagsize, 1)
    following: int = struct.unpack(tiff.offsetformat, handle.read(tiff.offsetsize))[0]
    return following == 0


def _has_all_tags(file: TiffFile) -> bool:
    """Return whether the needed tags of the first page could be read; tifffile leaves out what it cannot read."""
    tiff, handle, page = file.tiff, file.filehandle, file.pages.first
    handle.seek(page.offset)
    number: int = struct.unpack(tiff.tagnoformat, handle.read(tiff.tagnosize))[0]
    stored = handle.read(number * tiff.tagsize)
    codes = {struct.unpack_from(tiff.byteorder + "H", stored, i * tiff.tagsize)[0] for i in range(number)}
    return all(code in page.tags for code in codes & NEEDED_TAGS)


def _is_readable(file: TiffFile, series: TiffPageSeries) -> bool:
    """Return whether the metadata lies within the file and describes at least one pixel."""
    return _has_all_tags(file) and 0 not in (*series.keyframe.shaped, *series.keyframe.chunked)


def _has_all_pixels(file: TiffFile, series: TiffPageSeries) -> bool:
    """Return whether the pixels of the series lie within the file."""
    size = file.filehandle.size
    if not series.is_multifile and series.dataoffset is not None:
        return series.dataoffset + prod(series.shape) * series.dtype.itemsize <= size
    return all(_is_within_file(page, series.keyframe, file) for page in (series[0], series[-1]))


def _is_within_file(page: TiffPage | TiffFrame | None, keyframe: TiffPage, file: TiffFile) -> bool:
    """Return whether the pixels of a page lie within the file; a page in another file is checked when it is read."""
    if page is None or page.parent is not file:
        return True
    if keyframe.is_final:
        return page.dataoffsets[0] + prod(keyframe.shaped) * np.dtype(keyframe.dtype).itemsize <= file.filehandle.size
    offsets = np.asarray(page.dataoffsets, np.int64)
    counts = np.asarray(page.databytecounts, np.int64)
    if not len(offsets) == len(counts) == prod(keyframe.chunked):
        return False
    return bool((offsets + counts <= file.filehandle.size).all())
