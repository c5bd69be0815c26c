"""One plane of a prediction against that of the truth: pixels and objects counted, band after band."""

from __future__ import annotations

from unetkit.scoring.compared import Compared, bands
from unetkit.scoring.instances import InstanceCounts, Overlaps, check_labels, count_overlaps, match_overlaps
from unetkit.scoring.pixels import Counts, boundary_reach, count_pixels


def count_plane(compared: Compared, plane: int, tolerance: float) -> tuple[list[Counts], InstanceCounts | None]:
    """Return the counts of each foreground class in one plane, and those of its objects if they are asked for.

    Args:
        compared: The prediction and the truth.
        plane: Number of the plane.
        tolerance: Distance in pixels at which boundaries are taken to agree.
    """
    overlaps: list[Overlaps] = []
    totals = [Counts()] * (compared.settings.classes - 1)
    for core, rows in bands(compared.predicted.source, boundary_reach(tolerance)):
        band = compared.band(plane, rows)
        inside = slice(core.start - rows.start, core.stop - rows.start)
        for k, (mask, true_mask) in enumerate(band.masks):
            totals[k] += count_pixels(mask, true_mask, tolerance, inside, band.some_ignored)
        if compared.settings.instances:
            check_labels(band.labels, compared.predicted.info.name)
            check_labels(band.true_labels, compared.true.info.name)
            overlaps.append(count_overlaps(band.labels[inside], band.true_labels[inside], band.ignored[inside]))
    return totals, match_overlaps(overlaps) if overlaps else None
