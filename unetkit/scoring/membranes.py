"""Regions between borders of a prediction against those of the truth: at each threshold of a probability map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unetkit.foundation.errors import DataError
from unetkit.io.masks.ignored import find_ignored
from unetkit.io.masks.meaning import CUT
from unetkit.io.masks.rules import Above
from unetkit.scoring.compared import Compared
from unetkit.scoring.given import OpenMask
from unetkit.scoring.instances import count_overlaps
from unetkit.scoring.regions import RegionCounts, count_regions, find_regions, thin_borders

STEPS = tuple(k / 10 for k in range(10))
"""Thresholds of probabilities that are tried, as in the ISBI 2012 challenge: 0, 0.1, ..., 0.9."""


@dataclass(frozen=True)
class Regions:
    """Regions of one plane or volume compared, for each threshold.

    Attributes:
        counts: One for each threshold; the only one where there is nothing to choose.
        thresholds: Shares of the highest probability; empty where there is nothing to choose.
    """

    counts: tuple[RegionCounts, ...]
    thresholds: tuple[float, ...] = ()

    def at(self, place: int) -> RegionCounts:
        """Return what is compared at a threshold."""
        return self.counts[min(place, len(self.counts) - 1)]


def compare_regions(compared: Compared, plane: int, *, inside: bool) -> Regions:
    """Compare the regions of a plane, which is held in memory whole.

    Args:
        compared: The prediction and the truth.
        plane: Number of the plane.
        inside: Whether regions are above 0; otherwise borders are.
    """
    rows = slice(0, compared.true.info.height)
    true_labels = compared.true.labels(plane, rows)
    ignored = find_ignored(true_labels)
    regions = find_regions(np.where(ignored, 0, true_labels), inside=inside)
    regions = np.where(ignored, 0, regions)
    thresholds = _thresholds(compared)
    if not thresholds:
        labels = compared.predicted.labels(plane, rows)
        labels = np.where(find_ignored(labels), 0, labels)
        if compared.settings.threshold is not None:
            labels = compared.predicted.above(plane, rows, compared.settings.threshold).view(np.uint8)
        found = thin_borders(find_regions(labels, inside=inside))
        return Regions((count_regions(count_overlaps(found, regions), alone=True),))
    top = _highest(compared.predicted)
    counts = []
    for threshold in thresholds:
        mask = compared.predicted.above(plane, rows, threshold * top)
        found = thin_borders(find_regions(mask.view(np.uint8), inside=inside))
        counts.append(count_regions(count_overlaps(found, regions), alone=True))
    return Regions(tuple(counts), thresholds)


def check_region_labels(mask: OpenMask) -> None:
    """Raise a DataError for a volume whose regions have no numbers."""
    if mask.meaning.kind in CUT:
        raise DataError(
            f"{mask.info.name} holds {mask.info.dtype} values, and regions of volumes are compared by their numbers.",
            "Give labels of both sides (`segment --output labels` writes them), or --dims 2.",
        )


def _thresholds(compared: Compared) -> tuple[float, ...]:
    """Return the thresholds to try: those of a probability map, unless the user gave one."""
    mask = compared.predicted
    free = compared.settings.threshold is None and mask.meaning.kind == "probabilities"
    return STEPS if free and isinstance(mask.meaning.rule, Above) else ()


def _highest(mask: OpenMask) -> float:
    """Return the value that stands for a probability of 1: its meaning cuts it at half of that."""
    assert isinstance(mask.meaning.rule, Above)
    return 2 * mask.meaning.rule.threshold
