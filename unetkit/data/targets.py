"""Targets of training: labels of pixels, or none where images are trained on without masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from unetkit.data.pool import ImagePool
from unetkit.io.base.contracts import Window
from unetkit.io.base.windows import sizes_of


class Targets(Protocol):
    """What images are trained on, by their indices in an `ImagePool`."""

    def read(self, index: int, window: Window | None = None) -> NDArray[Any]:
        """Return the labels (...) of a window, or of the whole image; do not change them."""

    def foreground(self, index: int) -> NDArray[np.int32]:
        """Return (n, axes) positions, such as y, x, that crops may be placed around."""

    def annotated(self, index: int) -> NDArray[np.int32] | None:
        """Return (n, axes) annotated positions; None where all is annotated."""

    def numbered(self, index: int) -> bool:
        """Return whether the labels of an image number its objects."""


@dataclass(frozen=True)
class NoTargets:
    """Images are trained on without masks: all is background.

    Attributes:
        pool: The images.
    """

    pool: ImagePool

    def read(self, index: int, window: Window | None = None) -> NDArray[Any]:
        """Return zeros (...) for a window, or for the whole image."""
        sizes = self.pool.records[index].size if window is None else sizes_of(window)
        return np.zeros(sizes, np.uint8)

    def foreground(self, index: int) -> NDArray[np.int32]:
        """Return no positions."""
        return np.zeros((0, len(self.pool.records[index].size)), np.int32)

    def annotated(self, index: int) -> NDArray[np.int32] | None:  # noqa: ARG002
        """Return None: there is nothing to annotate."""
        return None

    def numbered(self, index: int) -> bool:  # noqa: ARG002
        """Return whether objects are numbered: there are none."""
        return True
