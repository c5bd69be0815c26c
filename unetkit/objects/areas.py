"""How many objects there are of each area: all that histograms and medians of areas need, however many objects."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass
class Areas:
    """Areas of objects in pixels, added up over batches.

    Attributes:
        pixels: (N,) different areas, ascending.
        counts: (N,) how many objects have each.

    Example:
        >>> areas = Areas()
        >>> areas.add(np.array([4, 9, 4]))
        >>> len(areas), areas.total, areas.median
        (3, 17, 4.0)
    """

    pixels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def __len__(self) -> int:
        return int(self.counts.sum())

    def add(self, areas: NDArray[np.integer]) -> None:
        """Count the areas (M,) of a batch of objects."""
        values, counts = np.unique(areas, return_counts=True)
        self._merge(values, counts)

    def update(self, other: Areas) -> None:
        """Count the objects of others too."""
        self._merge(other.pixels, other.counts)

    @property
    def total(self) -> int:
        """Pixels of all objects."""
        return int((self.pixels * self.counts).sum())

    @property
    def median(self) -> float:
        """Median area in pixels, NaN if there are no objects."""
        count = len(self)
        if not count:
            return float("nan")
        middle = np.searchsorted(np.cumsum(self.counts), [(count - 1) // 2, count // 2], side="right")
        return float(self.pixels[middle].mean())

    def _merge(self, pixels: NDArray[np.integer], counts: NDArray[np.integer]) -> None:
        self.pixels, place = np.unique(np.concatenate([self.pixels, pixels]), return_inverse=True)
        self.counts = np.bincount(place, np.concatenate([self.counts, counts])).astype(np.int64)
