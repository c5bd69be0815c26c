"""The picture of damaged, restored and clean crops."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.drawing.page import Page
from unetkit.drawing.pixels import FAINT, resize, to_display
from unetkit.foundation.errors import DataError

MARGIN, GAP, HEAD, SIDE = 32, 16, 56, 256  # pixels on the page
TITLES = ("shown to the network", "restored", "clean")

Triple = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
"""A crop as shown to the network, restored, and clean: (C, h, w) each."""


def restoration_picture(path: Path, crops: Sequence[Triple]) -> None:
    """Write a picture (PNG) with a row for each crop: as shown to the network, restored, and clean.

    The three crops of a row have the same range of values.

    Args:
        path: Where to; the folder is made if it does not exist.
        crops: What to draw.

    Raises:
        DataError: There is nothing to show.
        OutputError: The file cannot be written.
    """
    if not crops:
        raise DataError("There is no crop to show.", "Give at least one.")
    lefts = [MARGIN + column * (SIDE + GAP) for column in range(len(TITLES))]
    page = Page(lefts[-1] + SIDE + MARGIN, HEAD + len(crops) * (SIDE + GAP) + MARGIN - GAP)
    for title, left in zip(TITLES, lefts, strict=True):
        page.text(title, left, HEAD / 2 + 6, 15, color=FAINT)
    for row, triple in enumerate(crops):
        together = to_display(np.concatenate(triple, axis=2))
        for display, left in zip(np.split(together, len(TITLES), axis=1), lefts, strict=True):
            page.image(resize(np.ascontiguousarray(display), SIDE, SIDE), left, HEAD + row * (SIDE + GAP))
    page.save(path)
