"""Files and arrays as images in levels of resolution, ready for the screen."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import ImageError
from unetkit.io.base.array_likes import check_array, named_axes
from unetkit.io.base.arrays import ArraySource
from unetkit.io.base.axes import guess_axes
from unetkit.io.base.contracts import ImageInfo, ImageSource
from unetkit.io.base.read_options import WHOLE, ReadOptions
from unetkit.io.files import list_series, open_image, read_notes
from unetkit.viewing.halving import average, pick
from unetkit.viewing.levels import FileLevel, Level, complete
from unetkit.viewing.scratch_blocks import ScratchBlocks

CACHE_BYTES, COARSE_CACHE_BYTES = 128 * 2**20, 32 * 2**20
"""Bound of the decoded bytes that the finest level of a file keeps in memory, and of those that each other one does."""

SHOWN = {
    "bool": "uint8",
    "int64": "int32",
    "uint64": "uint32",
    "float16": "float32",
    "float64": "float32",
}
"""Types that the browser does not show, and the type that stands for each."""


@dataclass(frozen=True)
class Picture:
    """An image or labels that are looked at.

    Attributes:
        name: What it is called.
        info: The image at its finest level, as it is interpreted.
        levels: Its levels, the finest first; scales are in pixels of the finest.
        stored: Those of them that the file has.
        sources: The open levels of the file.
        kept: Blocks of the levels that the file does not have.
        notes: What unetkit has noted in the file.
        dtype: Type of the pixels as they are shown.
    """

    name: str
    info: ImageInfo
    levels: tuple[Level, ...]
    stored: tuple[Level, ...]
    sources: tuple[ImageSource, ...]
    kept: ScratchBlocks
    notes: dict[str, str]
    dtype: np.dtype[Any]

    def close(self) -> None:
        """Release the files, and remove the temporary one."""
        for source in self.sources:
            source.close()
        self.kept.close()


def open_picture(image: Any, reading: ReadOptions = WHOLE, *, is_image: bool) -> Picture:
    """Open what is looked at.

    Args:
        image: The name of a file, or an array.
        reading: What of it to read.
        is_image: Whether pixels of coarser levels are means, as those of images are. Whole numbers of other files are
            picked, and palettes are not applied to them.

    Raises:
        UnetkitError: It cannot be read.
    """
    with ExitStack() as stack:
        is_file = isinstance(image, str | Path)
        name = str(image) if is_file else "image" if is_image else "labels"
        sources = _open_file(Path(image), reading, stack, is_image=is_image) if is_file else [_array(image, name)]
        info = sources[0].info
        dtype = np.dtype(SHOWN.get(info.dtype.name, info.dtype))
        levels = [FileLevel(one, _scale_of(one.info, info), _converter(info.dtype, dtype)) for one in sources]
        kept = ScratchBlocks()
        by_rows = is_file and info.block[1] * 2 > info.width
        halve = average if is_image or dtype.kind == "f" else pick
        made = complete(levels, halve, kept, by_rows=by_rows)
        notes = read_notes(Path(image)) if is_file else {}
        stack.pop_all()
    return Picture(Path(name).name, info, tuple(made), tuple(levels), tuple(sources), kept, notes, dtype)


def _open_file(path: Path, reading: ReadOptions, stack: ExitStack, *, is_image: bool) -> list[ImageSource]:
    """Return the levels of a file that can stand for each other, the finest first."""

    def open_level(number: int | None, *, as_stored: bool, cache_bytes: int = CACHE_BYTES) -> ImageSource:
        wanted = replace(reading, level=number)
        source = open_image(path, wanted, as_stored=as_stored, cache_bytes=cache_bytes)
        stack.enter_context(closing(source))
        return source

    as_stored = not is_image
    sources = [open_level(reading.level, as_stored=as_stored)]
    if sources[0].info.encoding.alpha:  # a picture with a transparent layer, and no numbers
        as_stored = False
        sources = [open_level(reading.level, as_stored=as_stored)]
    finest = sources[0].info
    for number in _coarser_levels(path, reading, finest):
        with suppress(ImageError):  # one that is damaged is made of the finer one
            source = open_level(number, as_stored=as_stored, cache_bytes=COARSE_CACHE_BYTES)
            if _is_level_of(source.info, finest):
                sources.append(source)
    return sources


def _coarser_levels(path: Path, reading: ReadOptions, finest: ImageInfo) -> range:
    """Return the numbers of the levels of a file that are coarser than the one that is read.

    A region, or another pixel size, has no levels in the file.
    """
    if reading.region is not None or reading.pixel_size is not None:
        return range(0)
    first = reading.level or 0
    series = list_series(path)
    mine = series if reading.series is None else series[reading.series : reading.series + 1]
    sizes = [[(level.height, level.width) for level in one.levels[first:]] for one in mine]
    count = next((len(levels) for levels in sizes if levels and sorted(levels[0]) == sorted(finest.size)), 1)
    return range(first + 1, first + count)


def _is_level_of(info: ImageInfo, finest: ImageInfo) -> bool:
    """Return whether an image is a coarser version of another."""
    same = ("dtype", "channels", "planes")
    ratios = [full / own for full, own in zip(finest.size, info.size, strict=True)]
    return all(getattr(info, one) == getattr(finest, one) for one in same) and min(ratios) > 1


def _scale_of(info: ImageInfo, finest: ImageInfo) -> tuple[float, float]:
    """Return height and width of a pixel of a level in pixels of the finest one."""
    height, width = (_whole_ratio(full, own) for full, own in zip(finest.size, info.size, strict=True))
    return height, width


def _whole_ratio(full: int, own: int) -> float:
    """Return how many pixels became one: a whole number if the sizes allow it, since pyramids round.

    >>> _whole_ratio(1001, 250), _whole_ratio(1001, 251), _whole_ratio(1000, 300)
    (4.0, 4.0, 3.3333333333333335)
    """
    whole = max(1, round(full / own))
    return float(whole) if full // whole <= own <= -(-full // whole) else full / own


def _array(array: Any, name: str) -> ArraySource:
    check_array(array)
    return ArraySource(array, named_axes(array) or guess_axes(tuple(array.shape)), name)


def _converter(stored: np.dtype[Any], shown: np.dtype[Any]) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Return what changes pixels to the type that is shown; values beyond it are cut."""
    if stored == shown:
        return lambda pixels: pixels
    if stored.kind in "iu" and shown.kind in "iu" and stored.itemsize > shown.itemsize:
        limits = np.iinfo(shown)
        return lambda pixels: np.clip(pixels, limits.min, limits.max).astype(shown)
    return lambda pixels: pixels.astype(shown)
