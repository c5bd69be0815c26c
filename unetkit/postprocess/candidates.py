"""Which objects a cluster of touching watershed regions may hold: the regions, and what joins of them step by step.

Regions are joined over the saddles between them, the highest first, until one is left. Each region and each join is a
*candidate*. They make a binary tree, the merge tree of the distance map. Of all sets of candidates that cover each
region once, the best is found from the leaves up (as in Arteta et al. 2012, "Learning to detect cells using
non-overlapping extremal regions", MICCAI, for regions of another tree).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unetkit.postprocess.measures import looks
from unetkit.postprocess.parts import LARGEST_DISTANCE, Edges

FEATURES = (
    "log size",
    "probability",
    "distance",
    "spread of the distance",
    "log share of its ellipse",
    "log elongation",
    "peak",
    "saddle to the next",
    "depth of its deepest saddle",
    "lower peak at that saddle",
)
"""What is known of a candidate. Peaks, saddles and depths are 0 to 1."""


@dataclass(frozen=True)
class Candidates:
    """The N regions, then their joins, each after its two parts.

    Attributes:
        parts: (M, 2) the two candidates of which the candidate N + i is made.
        sums: (N + M, 8) see `unetkit.postprocess.measures.SUMS`.
        sizes: (N + M,) pixels.
        heights: (N + M, 4) peak, saddle to the next candidate (0 where there is none), depth of the deepest saddle
            inside below the lower of the two peaks beside it, and that peak; in units of the distance map.
    """

    parts: NDArray[np.int64]
    sums: NDArray[np.int64]
    sizes: NDArray[np.int64]
    heights: NDArray[np.int64]

    @property
    def regions(self) -> int:
        """Number of regions, N."""
        return len(self.sizes) - len(self.parts)

    def features(self) -> NDArray[np.float64]:
        """Return the `FEATURES` (N + M, 10)."""
        return np.column_stack([looks(self.sums, self.sizes), self.heights / LARGEST_DISTANCE])

    def best(self, gains: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return for each region (N,) the candidate to which it belongs, so that the sum of the gains is largest.

        Args:
            gains: (N + M,) of each candidate. Below 0 counts as 0. Between equal sums, the larger candidate wins.
        """
        values = np.maximum(gains, 0).tolist()
        for number, (one, other) in enumerate(self.parts.tolist(), self.regions):
            values[number] = max(values[number], values[one] + values[other])
        chosen = np.arange(len(values))
        for number, (one, other) in reversed([*enumerate(self.parts.tolist(), self.regions)]):
            is_part = chosen[number] != number
            if is_part or max(gains[number], 0) == values[number]:
                chosen[one] = chosen[other] = chosen[number]
        return chosen[: self.regions]


def find_candidates(
    peaks: NDArray[np.int64], first: NDArray[np.int64], sizes: NDArray[np.int64], sums: NDArray[np.int64], edges: Edges
) -> Candidates:
    """Join regions over the saddles between them, the highest first.

    The candidates do not depend on the numbers of the regions: of two saddles of the same height, the one between the
    higher peaks is first, then the one whose regions begin first.

    Args:
        peaks: (N,) the largest distance of each region.
        first: (N,) the flat index in the plane of its first pixel.
        sizes: (N,) pixels.
        sums: (N, 8) see `unetkit.postprocess.measures.SUMS`.
        edges: Saddles between regions.
    """
    count = len(peaks)
    position = np.empty(count, np.int64)
    position[np.lexsort((first, -peaks))] = np.arange(count)
    higher = np.minimum(position[edges.first], position[edges.second])
    lower = np.maximum(position[edges.first], position[edges.second])
    order = np.lexsort((lower, higher, -edges.saddle))
    parents = list(range(count))
    heights = [[peak, 0, 0, peak] for peak in peaks.tolist()]
    parts: list[tuple[int, int]] = []

    def root(node: int) -> int:
        while parents[node] != node:
            parents[node] = node = parents[parents[node]]
        return node

    columns = (edges.first[order], edges.second[order], edges.saddle[order])
    for here, there, saddle in zip(*(column.tolist() for column in columns), strict=True):
        one, other = root(here), root(there)
        if one == other:
            continue
        pair = (heights[one], heights[other])
        lowest = min(each[0] for each in pair)
        deepest = max((lowest - saddle, lowest), *((each[2], each[3]) for each in pair))
        parents[one] = parents[other] = len(parents)
        parents.append(len(parents))
        heights.append([max(each[0] for each in pair), 0, *deepest])
        for each in pair:
            each[1] = saddle
        parts.append((one, other))
    all_sums = np.concatenate([np.column_stack([sizes, sums]), np.zeros((len(parts), sums.shape[1] + 1), np.int64)])
    for number, (one, other) in enumerate(parts, count):
        all_sums[number] = all_sums[one] + all_sums[other]
    joined = np.array(parts, np.int64).reshape(-1, 2)
    return Candidates(joined, all_sums[:, 1:], all_sums[:, 0], np.array(heights, np.int64).reshape(-1, 4))
