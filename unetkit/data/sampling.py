"""How often each image is shown in training, by its size."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Literal

Sampling = Literal["images", "balanced", "pixels"]
"""What is equally likely to be shown: each image, each pixel, or a balance of the two."""

SIZE_POWERS: dict[Sampling, float] = {"images": 0.0, "balanced": 0.5, "pixels": 1.0}
"""Visits to an image are proportional to its size to this power."""

BATCHES_PER_EPOCH = (64, 1000)
"""Fewest and most batches in an epoch whose number of crops is not given."""


def plan_visits(indices: Sequence[int], areas: Sequence[int], crop_area: int, sampling: Sampling) -> list[int]:
    """Return the images of one pass, larger ones several times.

    Args:
        indices: Images.
        areas: Pixels of each of them, or of the annotated part of it.
        crop_area: Pixels of a crop; an image that has no more is visited once.
        sampling: How the visits grow with the size: not at all, with its square root, or in proportion.
    """
    visits = [max(1, round((area / crop_area) ** SIZE_POWERS[sampling])) for area in areas]
    return [index for index, count in zip(indices, visits, strict=True) for _ in range(count)]


def count_crops(areas: Sequence[int], crop_area: int, batch: int) -> int:
    """Return as many crops as cover the images once, within `BATCHES_PER_EPOCH`.

    Args:
        areas: Pixels of each image, or of the annotated part of it.
        crop_area: Pixels of a crop.
        batch: Crops in a batch, over all devices.
    """
    cover = sum(ceil(area / crop_area) for area in areas)
    least, most = (batches * batch for batches in BATCHES_PER_EPOCH)
    return min(max(cover, least), most)
