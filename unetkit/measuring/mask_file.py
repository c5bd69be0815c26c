"""Masks whose connected parts are measured: they are numbered first, strip by strip."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.threads import read_ahead
from unetkit.io.base.contracts import ImageInfo, ImageSource
from unetkit.io.base.read_options import ReadOptions
from unetkit.io.files import open_image
from unetkit.io.masks.meaning import Meaning, decide_file, say_taken
from unetkit.objects.frame import Frame
from unetkit.objects.label_file import open_items_by_strips, strips_of
from unetkit.postprocess.blocks import label_tile
from unetkit.postprocess.labels import Labels


class MaskFile:
    """A mask that is read as a label image: pixels of the foreground that touch, diagonally too, are one object.

    What is foreground is decided as in training and in `unetkit evaluate`, see `unetkit.io.masks.meaning`.

    Args:
        path: The mask.
        axes: One letter for each stored dimension, where the file says nothing or something wrong.
        dims: See `unetkit.objects.label_file.LabelFile`.
        log: Called with a sentence where there was a doubt.

    Attributes:
        info: Facts from the file.
        frame: Its planes and the size of its pixels.
        dtype: Type of the labels.
        find_last_rows: None: each object is in one piece.

    Raises:
        ImageError: The file cannot be read.
        DataError: It is no mask.
    """

    find_last_rows = None

    def __init__(self, path: str | Path, axes: str | None, dims: int | None, log: Callable[[str], None]) -> None:
        with closing(open_image(path, ReadOptions(axes=axes), as_stored=True)) as source:
            meaning = decide_file(source, range(source.info.planes))
        self._source: ImageSource = open_items_by_strips(path, ReadOptions(axes=axes), dims, as_stored=True)
        try:
            info = self.info = self._source.info
            for sentence in say_taken([(info.name, meaning)], "mask"):
                log(sentence)
            labels = Labels(_Foreground(self._source, info, meaning), info.size)
        except BaseException:  # whatever it is, the file must not stay open
            self.close()
            raise
        self.dtype = labels.dtype
        self.frame = Frame(info.size, info.plane_axes, info.plane_shape, info.pixel_size_um, info.steps)
        self._rows = labels.rows()

    def close(self) -> None:
        """Release the file."""
        self._source.close()

    @property
    def rows(self) -> list[slice]:
        """The rows, or sections, of each strip of a plane or volume, in order."""
        extent, step = self.info.size[0], label_tile(self.info.size)[0]
        return [slice(top, min(top + step, extent)) for top in range(0, extent, step)]

    def strips(self, plane: int) -> Iterator[NDArray[Any]]:  # noqa: ARG002  # planes are read in their order
        """Yield the labels (h, width) of the next plane, or (d, height, width); a thread reads them ahead."""
        yield from read_ahead(next(self._rows)[0] for _ in self.rows)


class _Foreground:
    """The strips of all items, as masks (1, h, width) or (1, d, ...) that are read each time that they are iterated."""

    def __init__(self, source: ImageSource, info: ImageInfo, meaning: Meaning) -> None:
        self._source = source
        self._info = info
        self._meaning = meaning

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        others = tuple(slice(0, extent) for extent in self._info.size[1:])
        for plane in range(self._info.planes):
            for rows in strips_of(self._info):
                labels = self._meaning.labels(self._source.read(plane, (rows, *others)))
                yield (labels > 0).view(np.uint8)[None]
