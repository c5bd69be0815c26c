"""A prediction and its truth, read side by side: bands of rows as masks of each class, and what is not annotated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import DataError
from unetkit.io.base.contracts import ImageSource
from unetkit.io.masks.ignored import find_ignored
from unetkit.io.masks.meaning import CUT
from unetkit.scoring.given import OpenMask
from unetkit.scoring.pixels import Mask
from unetkit.scoring.settings import Settings

BAND_PIXELS = 2**22
"""Number of pixels that are compared at a time: about 50 MB."""


@dataclass(frozen=True, eq=False)
class Band:
    """Some rows of a plane of both sides.

    Attributes:
        labels: (h, w) predicted labels, 0 where nobody has annotated.
        true_labels: (h, w) true labels, 0 where nobody has annotated.
        ignored: (h, w) where nobody has annotated.
        masks: Predicted and true mask (h, w) of each foreground class.
    """

    labels: NDArray[Any]
    true_labels: NDArray[Any]
    ignored: Mask
    masks: list[tuple[Mask, Mask]]

    @property
    def some_ignored(self) -> Mask | None:
        """Where nobody has annotated; None if that is nowhere."""
        return self.ignored if self.ignored.any() else None


@dataclass(frozen=True, eq=False)
class Compared:
    """A prediction and its truth.

    Attributes:
        predicted: The prediction.
        true: The truth, of the same size.
        settings: How they are compared.
    """

    predicted: OpenMask
    true: OpenMask
    settings: Settings

    def band(self, plane: int, rows: slice) -> Band:
        """Read some rows of a plane."""
        labels, true_labels = self.predicted.labels(plane, rows), self.true.labels(plane, rows)
        ignored = find_ignored(true_labels) | find_ignored(labels)
        if ignored.any():
            labels, true_labels = (np.where(ignored, 0, each) for each in (labels, true_labels))
        return Band(labels, true_labels, ignored, list(self._masks(plane, rows, labels, true_labels)))

    def _masks(
        self, plane: int, rows: slice, labels: NDArray[Any], true_labels: NDArray[Any]
    ) -> Iterator[tuple[Mask, Mask]]:
        """Yield the masks (h, w) of prediction and truth for each foreground class."""
        classes, threshold, invert = self.settings.classes, self.settings.threshold, self.settings.invert
        if classes == 2:
            found = labels > 0 if threshold is None else self.predicted.above(plane, rows, threshold)
            yield found ^ invert, (true_labels > 0) ^ invert
            return
        for values, mask in ((labels, self.predicted), (true_labels, self.true)):
            _check_classes(values, mask, classes)
        for k in range(1, classes):
            yield labels == k, true_labels == k


def bands(source: ImageSource, margin: int) -> Iterator[tuple[slice, slice]]:
    """Yield the rows to count and the rows to read for them, from top to bottom.

    Args:
        source: The image.
        margin: Rows above and below that are read too.
    """
    height, width = source.info.height, source.info.width
    step = max(BAND_PIXELS // width, 1)
    for top in range(0, height, step):
        bottom = min(top + step, height)
        yield slice(top, bottom), slice(max(top - margin, 0), min(bottom + margin, height))


def _check_classes(values: NDArray[Any], mask: OpenMask, classes: int) -> None:
    """Raise a DataError unless all values are numbers of classes."""
    if not np.isin(values, np.arange(classes)).all():
        taken = f" {mask.meaning.taken}." if mask.meaning.taken else ""
        raise DataError(
            f"{mask.info.name} has values up to {values.max()}, not only the class numbers 0 to {classes - 1}.{taken}",
            "Give masks of class numbers, or the right number of classes.",
        )
    if mask.meaning.kind in CUT and values.any():
        raise DataError(
            f"{mask.info.name} does not hold the numbers of {classes} classes. {mask.meaning.taken}.",
            "Give masks of class numbers in PNG or TIFF, or leave classes at 2.",
        )
