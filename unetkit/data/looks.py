"""Images that look alike, by a few numbers of each, so that looks which are rare can be shown more often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import log2

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial import KDTree

from unetkit.data.masks import Masks
from unetkit.data.pool import ImagePool
from unetkit.data.sampling import Sampling, plan_visits
from unetkit.data.statistics import Measured

APART = 0.4
"""Mean distance of the numbers of `describe_look` from which images look different.

The nuclei of the 2018 Data Science Bowl divide into fluorescence of small and of large nuclei, purple on lilac, purple
or grey on white, and pink tissue.
"""

MOST_COMPARED = 1000
"""Most images that are compared with each other; further ones look as the most similar of these."""

MOST_OFTEN = 4.0
"""Most often that an image is shown for one of the most common look."""

PASSES = 4
"""How many times the most common look is gone through for once that the images are divided, so that shares are kept."""

COMMON_DIAMETER = 16.0
"""Diameter, in pixels, of objects whose size counts 0."""


def describe_look(image: Measured, diameter: float | None = None) -> NDArray[np.float64]:
    """Return what an image looks like: (6,), each number in about 0 to 1.

    Background, as its median, and spread of the values within the image's range; the lowest value and two axes of
    colour (red against cyan, green against blue) as shares of the highest one; size of the objects.

    Args:
        image: The image.
        diameter: Typical size of its objects, in pixels, where there are some.
    """
    sample = image.sample.astype(np.float64)
    low, width = (ends.astype(np.float64)[:, None] for ends in (image.range.center, image.range.scale))
    grey = np.clip((sample - low) / width, 0, 1).mean(axis=0)
    white = float(np.abs(low + width).max()) or 1.0
    red, green, blue = sample.mean(axis=1) / white if len(sample) == 3 else (0.0, 0.0, 0.0)
    size = 0.0 if diameter is None else 0.25 * log2(diameter / COMMON_DIAMETER)
    colours = [2 * red - green - blue, np.sqrt(3) * (green - blue)]
    return np.array([np.median(grey), grey.std(), float(low.min()) / white, *colours, size])


def find_looks(descriptions: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the number of the look (n,) of images with these numbers (n, k), from 0, the most common first.

    Images are joined until those of two looks are `APART` in the mean (average linkage). Nothing of it is random.
    """
    some = np.random.default_rng(0).permutation(len(descriptions))[:MOST_COMPARED]
    if len(some) < 2:
        return np.zeros(len(descriptions), np.int64)
    groups = fcluster(linkage(descriptions[some], "average"), APART, "distance")
    found = groups[KDTree(descriptions[some]).query(descriptions)[1]]
    order = {group: place for place, (group, _) in enumerate(Counter(found.tolist()).most_common())}
    return np.array([order[group] for group in found.tolist()], np.int64)


def balance(visits: Sequence[int], looks: Mapping[int, int], power: float) -> list[int]:
    """Return visits to images with those of rare looks more often.

    Args:
        visits: The images in one pass, some several times.
        looks: Look of each image.
        power: 0 leaves the shares as they are; 1 gives each look the same, within `MOST_OFTEN`.
    """
    shown = Counter(looks[index] for index in visits)
    if len(shown) < 2:
        return list(visits)
    often = {look: min((max(shown.values()) / count) ** power, MOST_OFTEN) for look, count in shown.items()}
    counts = Counter(visits)
    return [index for index, count in counts.items() for _ in range(round(PASSES * count * often[looks[index]]))]


def plan_balanced(
    pool: ImagePool, masks: Masks, crop_area: int, sampling: Sampling, power: float
) -> tuple[list[int], list[str]]:
    """Find the looks of the images to train on, and show rare ones more often.

    Args:
        pool: The images.
        masks: Their masks.
        crop_area: Pixels of a crop.
        sampling: How often images are shown by their size, see `plan_visits`.
        power: See `balance`.

    Returns:
        The visits, and a sentence on them for the user, if any.
    """
    indices = pool.train
    visits = plan_visits(indices, masks.areas(indices), crop_area, sampling)
    if not power:
        return visits, []
    found = find_looks(np.stack([describe_look(pool.records[index], masks.diameter(index)) for index in indices]))
    looks = dict(zip(indices, found.tolist(), strict=True))
    balanced = balance(visits, looks, power)
    if not any(looks.values()):
        return balanced, ["The images to train on look alike: none is shown more often for its look."]
    before, after = (Counter(looks[index] for index in some) for some in (visits, balanced))
    parts = []
    for look, count in Counter(looks.values()).most_common():
        name = next(pool.records[index].pair.name for index in indices if looks[index] == look)
        shares = f"{100 * before[look] / len(visits):.0f} % of the crops, now {100 * after[look] / len(balanced):.0f} %"
        parts.append(f"{count} such as {name} ({shares})")
    return balanced, [f"The images to train on have {len(parts)} looks: {'; '.join(parts)}."]
