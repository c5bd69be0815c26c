"""Keep regions apart that only a weak place of the border between them joins, by a watershed of the probability."""

from __future__ import annotations

from functools import partial

from unetkit.postprocess.method import Method
from unetkit.postprocess.parts import LARGEST_DISTANCE
from unetkit.postprocess.predicted_distance import KERNEL, smooth_predicted
from unetkit.postprocess.watershed import RING, find_regions


def by_probability(drop: float, spacing: tuple[float, ...] | None = None) -> Method:
    """Return the method that cuts where the probability of the foreground falls between two regions.

    A membrane with a gap is still seen there, but below the threshold of a mask. The watershed of the smoothed
    probability has regions on both sides, which stay apart.

    Args:
        drop: By how much the probability must fall from the lower of two peaks to the saddle between them, 0 to 1, for
            the two to stay apart.
        spacing: Length of a voxel of a volume along each axis, see `smooth_predicted`.
    """
    find = partial(find_regions, distance_map=partial(smooth_predicted, spacing=spacing))
    return Method(find, len(KERNEL) // 2 + RING, depth=drop * LARGEST_DISTANCE)
