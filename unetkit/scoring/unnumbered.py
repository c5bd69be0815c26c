"""Masks that were given for instance labels: where nothing has a number above one, but there are several objects."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from unetkit.data.pairs import parse_pages
from unetkit.errors import DataError
from unetkit.io.files import open_image
from unetkit.io.image import ImageSource
from unetkit.postprocess.labels import Labels

BAND_ROWS = 512
"""Rows that are read at once."""


def refuse_masks(files: Sequence[Path], pages: str | None, name: str) -> None:
    """Raise a DataError if files none of whose planes has more than one label hold several objects under one label.

    A single object may well be in two pieces; therefore this is for all files of a side together, which are masks if
    one number for every object is all that there is.

    Args:
        files: Files with at most one label in each plane.
        pages: The planes to look at; None for all.
        name: What the files are, for the message.
    """
    for file in files:
        with closing(open_image(file, as_stored=True)) as source:
            count = source.info.planes
            for plane in range(count) if pages is None else parse_pages(pages, count, file):
                objects = _count_objects(source, plane)
                if objects > 1:
                    raise DataError(
                        f"{name} looks like a mask, not instance labels: {file.name} has {objects} separate objects, "
                        "all with the same number.",
                        "Number the objects (`segment --output labels` does), or leave instances out.",
                    )


def _count_objects(source: ImageSource, plane: int) -> int:
    """Return how many parts the foreground of a plane has; takes a byte for each of its pixels."""
    height, columns = source.info.height, slice(0, source.info.width)
    tops = range(0, height, BAND_ROWS)
    bands = [source.read(plane, slice(top, min(top + BAND_ROWS, height)), columns)[:1] > 0 for top in tops]
    return Labels([band.view(np.uint8) for band in bands], height).count
