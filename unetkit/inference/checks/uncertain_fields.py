"""Where in an image models are least sure: the field that is most worth annotating.

The mean over all pixels of an image says little: most are background, and sure. So an image counts as much as its least
sure field, a square that a person would annotate at a time. Kahl et al., ValUES (ICLR 2024), compare such ways to make
one number of a map, and call this one patch level aggregation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.io.base.contracts import Extent, ImageSource
from unetkit.io.files import open_image
from unetkit.io.views.regrid import Regrid

BLOCK = 64
"""Height and width, in pixels, of the blocks over which uncertainties are summed up. Fields start at multiples."""

FIELD = 256
"""Height and width of a field, in pixels; an image that is smaller is one field."""

STEPS = 1 << 20
"""Sums are of whole numbers of this part of 1, so that they do not depend on their order."""

READ_ROWS = 1024


@dataclass(frozen=True)
class Field:
    """The least sure field of an image.

    Attributes:
        means: Mean over its pixels of each channel of the uncertainty: entropy, and spread where there is one.
        plane: Number of its plane.
        top: Its first row.
        left: Its first column.
        size: Its height and width.
    """

    means: tuple[float, ...]
    plane: int
    top: int
    left: int
    size: tuple[int, int]

    def put_back(self, back: Regrid) -> Field:
        """Return the field in the pixels that results are put back to."""
        window = tuple(slice(start, start + size) for start, size in zip((self.top, self.left), self.size, strict=True))
        rows, columns = back.covered(window)
        size = (rows.stop - rows.start, columns.stop - columns.start)
        return replace(self, top=rows.start, left=columns.start, size=size)


class Fields:
    """Finds the least sure field of an image while its uncertainty is written.

    Args:
        extent: The sizes of the image.
        channels: Channels of the uncertainty.
    """

    def __init__(self, extent: Extent, channels: int) -> None:
        self._extent = extent
        self._sums = np.zeros((channels, -(-extent.height // BLOCK), -(-extent.width // BLOCK)), np.int64)
        self._plane = self._rows = 0
        self._best: Field | None = None

    def watch(self, rows: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """Yield rows (channels, h, width), which follow each other plane after plane, and take note of them."""
        for band in rows:
            self._add(band)
            yield band
            del band  # as wide as the image: there should not be two

    @property
    def best(self) -> Field:
        """The least sure field of all rows so far, of equal ones the first."""
        assert self._best is not None
        return self._best

    def _add(self, band: NDArray[np.float32]) -> None:
        lefts = np.arange(0, band.shape[2], BLOCK)
        row = 0
        while row < band.shape[1]:
            block, inside = divmod(self._rows, BLOCK)
            part = band[:, row : row + BLOCK - inside]
            steps = np.rint(part * np.float32(STEPS)).astype(np.int64)
            self._sums[:, block] += np.add.reduceat(steps.sum(1), lefts, axis=1)
            row += part.shape[1]
            self._rows += part.shape[1]
        if self._rows == self._extent.height:
            self._finish_plane()

    def _finish_plane(self) -> None:
        height, width = self._extent.height, self._extent.width
        (tops, bottoms), (lefts, rights) = _sides(height), _sides(width)
        heights = np.minimum(bottoms * BLOCK, height) - tops * BLOCK
        widths = np.minimum(rights * BLOCK, width) - lefts * BLOCK
        upto = np.pad(self._sums.cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0)))
        columns = upto[:, :, rights] - upto[:, :, lefts]
        total = columns[:, bottoms] - columns[:, tops]
        means = total / (heights[:, None] * widths * STEPS)
        i, j = np.unravel_index(np.argmax(means[0]), means[0].shape)
        if self._best is None or means[0, i, j] > self._best.means[0]:
            found = tuple(means[:, i, j].tolist())
            top, left, size = int(tops[i]) * BLOCK, int(lefts[j]) * BLOCK, (int(heights[i]), int(widths[j]))
            self._best = Field(found, self._plane, top, left, size)
        self._sums[:] = 0
        self._plane, self._rows = self._plane + 1, 0


def find_field(path: Path) -> Field:
    """Return the least sure field of an uncertainty that was written before.

    Raises:
        ImageError: It cannot be read.
    """
    with closing(open_image(path)) as source:
        fields = Fields(source.info, source.info.channels)
        for _ in fields.watch(_read(source)):
            pass
    return fields.best


def _read(source: ImageSource) -> Iterator[NDArray[Any]]:
    info = source.info
    for plane in range(info.planes):
        for top in range(0, info.height, READ_ROWS):
            yield source.read(plane, (slice(top, min(top + READ_ROWS, info.height)), slice(0, info.width)))


def _sides(length: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the first blocks of all fields along an axis, and the blocks after their last."""
    blocks, whole = -(-length // BLOCK), FIELD // BLOCK
    first = np.arange(max(blocks - whole, 0) + 1)
    return first, np.minimum(first + whole, blocks)
