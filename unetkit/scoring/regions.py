"""How well regions between borders agree, as neurons between membranes: V_Rand and V_info.

These are the scores of the ISBI 2012 challenge (Arganda-Carreras et al. 2015, Frontiers in Neuroanatomy 9:142,
https://doi.org/10.3389/fnana.2015.00142). A region is what its borders separate from all others, whatever its number.
With p(s, t) the share of the pixels that lie in the predicted region s and the true region t:

    V_Rand = sum p(s, t)^2 / (half of sum p(s)^2 + half of sum p(t)^2)
    V_info = I(S; T) / (half of H(S) + half of H(T))

Both are F-scores of a part for what was split (the sum over p(t), or H(S), below the line) and a part for what was
merged. Only pixels within true regions count, so the width of true borders does not matter. Borders of the prediction
are thinned to one pixel, so that their width does not matter either; each pixel that is left of them is a region of its
own, as in the challenge. scikit-image's `adapted_rand_error` leaves out the pairs of a pixel with itself, which changes
the fourth digit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

from unetkit.scoring.instances import Overlaps


@dataclass(frozen=True)
class RegionCounts:
    """Regions of one plane or volume compared.

    Attributes:
        pixels: Pixels within true regions.
        squares: Sum of p(s, t)^2.
        predicted_squares: Sum of p(s)^2.
        true_squares: Sum of p(t)^2.
        information: I(S; T) in bits.
        predicted_entropy: H(S) in bits.
        true_entropy: H(T) in bits.
    """

    pixels: int
    squares: float
    predicted_squares: float
    true_squares: float
    information: float
    predicted_entropy: float
    true_entropy: float


def v_rand(counts: RegionCounts) -> float:
    """Return V_Rand, the F-score of the two below; it is 1 less the adapted Rand error. 1 where there is no region."""
    below = counts.predicted_squares + counts.true_squares
    return 2 * counts.squares / below if below else 1.0


def v_rand_split(counts: RegionCounts) -> float:
    """Return the share of pairs of pixels of one true region that are in one predicted region: 1 without splits."""
    return counts.squares / counts.true_squares if counts.true_squares else 1.0


def v_rand_merge(counts: RegionCounts) -> float:
    """Return the share of pairs of pixels of one predicted region that are in one true region: 1 without mergers."""
    return counts.squares / counts.predicted_squares if counts.predicted_squares else 1.0


def v_info(counts: RegionCounts) -> float:
    """Return V_info; 1 where neither side has more than one region."""
    below = counts.predicted_entropy + counts.true_entropy
    return 2 * counts.information / below if below else 1.0


def voi_split(counts: RegionCounts) -> float:
    """Return H(S | T) in bits, the part of the variation of information that splits make (Meila 2007): 0 is best."""
    return max(counts.predicted_entropy - counts.information, 0.0)


def voi_merge(counts: RegionCounts) -> float:
    """Return H(T | S) in bits, the part of the variation of information that mergers make: 0 is best."""
    return max(counts.true_entropy - counts.information, 0.0)


def find_regions(labels: NDArray[Any], *, inside: bool = True) -> NDArray[Any]:
    """Return the regions (H, W) of a plane, 0 for borders.

    Args:
        labels: (H, W) Labels of regions, or a mask: where all labels above 0 are the same, regions are connected by the
            sides of pixels.
        inside: Whether regions are above 0; otherwise they are 0, and borders above.
    """
    mask = (labels > 0) == inside
    if inside:
        numbers = labels[mask]
        if numbers.size and numbers.min() != numbers.max():
            return np.where(mask, labels, 0)
    regions: NDArray[np.int32] = ndimage.label(mask)[0]
    return regions


def thin_borders(regions: NDArray[Any]) -> NDArray[Any]:
    """Return regions (H, W) whose borders (0) are one pixel wide: all grow alike until they meet (watershed)."""
    if not regions.any():
        return regions
    flat = np.zeros(regions.shape, np.uint8)
    grown: NDArray[Any] = watershed(flat, regions.astype(np.int32), watershed_line=True)
    return grown


def count_regions(overlaps: Overlaps, *, alone: bool) -> RegionCounts:
    """Compare regions, given the pixels that they share.

    Args:
        overlaps: (N, 3) numbers of a predicted and of a true region, and how many pixels have both; each pair once. 0
            is a border. Pixels in no true region do not count.
        alone: Whether each pixel of a predicted border is a region of its own, as in the ISBI challenge; otherwise all
            are one region, as in CREMI.
    """
    predicted, true, shared = overlaps[overlaps[:, 1] > 0].T
    total = int(shared.sum())
    if not total:
        return RegionCounts(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    border = predicted == 0 if alone else np.zeros(len(predicted), bool)
    single = int(shared[border].sum())  # so many regions of one pixel
    both = shared[~border] / total
    own, others = _sums(predicted[~border], both), _sums(true, shared / total)
    rest = single / total * np.log2(total)  # the entropy of these pixels
    entropy = _entropy(both) + rest
    own_entropy, true_entropy = _entropy(own) + rest, _entropy(others)
    return RegionCounts(
        pixels=total,
        squares=float((both**2).sum() + single / total**2),
        predicted_squares=float((own**2).sum() + single / total**2),
        true_squares=float((others**2).sum()),
        information=max(own_entropy + true_entropy - entropy, 0.0),
        predicted_entropy=own_entropy,
        true_entropy=true_entropy,
    )


def _sums(labels: NDArray[np.int64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the summed shares of each label."""
    sums: NDArray[np.float64] = np.bincount(np.unique(labels, return_inverse=True)[1], shares).astype(np.float64)
    return sums


def _entropy(shares: NDArray[np.float64]) -> float:
    """Return the entropy of shares above 0, in bits."""
    return float(-(shares * np.log2(shares)).sum())
