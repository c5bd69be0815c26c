"""Cut the rows of a mask anew: the strips do not depend on the bands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Strip:
    """Some rows of a plane with a margin of rows around them.

    Attributes:
        top: First row of the core in the plane.
        rows: Rows of the core in `window`.
        window: (C, h, width) uint8; the margin ends at the border of the plane.
    """

    top: int
    rows: slice
    window: NDArray[np.uint8]

    @property
    def bottom(self) -> int:
        """The row of the plane after the last of the core."""
        return self.top + int(self.rows.stop - self.rows.start)

    @property
    def width(self) -> int:
        """Columns of the plane."""
        return int(self.window.shape[2])

    @property
    def place(self) -> tuple[slice, slice]:
        """The core in the plane."""
        return slice(self.top, self.bottom), slice(0, self.width)


def cut_strips(bands: Iterable[NDArray[np.uint8]], height: int, rows: int, margin: int) -> Iterator[Strip]:
    """Cut every plane into strips of `rows` rows (fewer at its end), holding about one band and one strip at a time.

    Args:
        bands: (C, h, width) arrays that follow each other from the top of a plane to its bottom, plane after plane.
        height: Rows of a plane.
        rows: Rows of the core of a strip.
        margin: Rows of context above and below, as far as the plane goes.

    Raises:
        ValueError: A band crosses from one plane into the next.
    """
    held: list[NDArray[np.uint8]] = []
    top = held_top = held_stop = 0
    for band in bands:
        held.append(band)
        held_stop += band.shape[1]
        if held_stop > height:
            raise ValueError(f"a band ends {held_stop - height} rows below its plane of {height} rows")
        while top < height and held_stop >= min(top + rows + margin, height):
            whole = held[0] if len(held) == 1 else np.concatenate(held, axis=1)
            stop = min(top + rows, height)
            window = whole[:, max(top - margin, 0) - held_top : min(stop + margin, height) - held_top]
            yield Strip(top, slice(min(top, margin), min(top, margin) + stop - top), window)
            top = stop
            held = [whole[:, max(top - margin, 0) - held_top :]]
            held_top = max(top - margin, 0)
        if top == height:
            held, top, held_top, held_stop = [], 0, 0, 0
