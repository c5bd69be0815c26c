"""How well a predicted mask agrees with the true one: counts that add up, and the formulas of scores.

Everything is two classes here: foreground (True) against background. Where both masks are empty, Dice, IoU, precision,
recall and boundary F1 are 1; where only one of them is, they are 0.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from math import ceil

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Counts:
    """Pixels counted in one or more images: add counts to pool them.

    Attributes:
        tp: Foreground in both masks.
        fp: Foreground in the prediction only.
        fn: Foreground in the truth only.
        tn: Background in both.
        predicted_boundary: Boundary pixels of the prediction.
        predicted_boundary_hits: Boundary pixels of the prediction near a boundary pixel of the truth.
        true_boundary: Boundary pixels of the truth.
        true_boundary_hits: Boundary pixels of the truth near a boundary pixel of the prediction.

    Example:
        >>> counts = Counts(tp=6, fp=2, fn=2, tn=90) + Counts(tp=2, fp=0, fn=0, tn=98)
        >>> dice(counts), iou(counts)
        (0.8, 0.6666666666666666)
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0
    predicted_boundary: int = 0
    predicted_boundary_hits: int = 0
    true_boundary: int = 0
    true_boundary_hits: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    @property
    def pixels(self) -> int:
        """Number of pixels that were compared."""
        return self.tp + self.fp + self.fn + self.tn

    @property
    def of_background(self) -> Counts:
        """The pixels of the background, as if it were the foreground; boundaries are not counted."""
        return Counts(tp=self.tn, fp=self.fn, fn=self.fp, tn=self.tp)


def dice(counts: Counts) -> float:
    """Return 2 TP / (2 TP + FP + FN), the F1 score."""
    return _share(2 * counts.tp, 2 * counts.tp + counts.fp + counts.fn, empty=1.0)


def iou(counts: Counts) -> float:
    """Return TP / (TP + FP + FN), the intersection over union, also called Jaccard index."""
    return _share(counts.tp, counts.tp + counts.fp + counts.fn, empty=1.0)


def precision(counts: Counts) -> float:
    """Return TP / (TP + FP), the share of the prediction that is right.

    For an empty prediction it is 1 if the truth is empty, else 0.
    """
    return _share(counts.tp, counts.tp + counts.fp, empty=float(counts.fn == 0))


def recall(counts: Counts) -> float:
    """Return TP / (TP + FN), the share of the truth that is found.

    For an empty truth it is 1 if the prediction is empty, else 0.
    """
    return _share(counts.tp, counts.tp + counts.fn, empty=float(counts.fp == 0))


def boundary_f1(counts: Counts) -> float:
    """Return the F1 score of the boundary pixels, within a tolerance (Csurka et al. 2013)."""
    right = _share(counts.predicted_boundary_hits, counts.predicted_boundary, float(counts.true_boundary == 0))
    found = _share(counts.true_boundary_hits, counts.true_boundary, float(counts.predicted_boundary == 0))
    return _share(2 * right * found, right + found, empty=0.0)


def accuracy(counts: Counts) -> float:
    """Return (TP + TN) / all pixels."""
    return _share(counts.tp + counts.tn, counts.tp + counts.fp + counts.fn + counts.tn, empty=1.0)


def count_pixels(
    prediction: Mask,
    truth: Mask,
    tolerance: float = 2.0,
    rows: slice = slice(None),
    ignored: Mask | None = None,
) -> Counts:
    """Compare a predicted mask with the true one.

    Boundary pixels are foreground pixels with a background pixel above, below, left or right of them; the border of the
    image is no boundary. One of them hits if one of the other mask lies within `tolerance` (Csurka et al. 2013, "What
    is a good evaluation measure for semantic segmentation?", British Machine Vision Conference).

    Args:
        prediction: (H, W), True for foreground.
        truth: (H, W), True for foreground.
        tolerance: Largest Euclidean distance, in pixels, at which boundaries are taken to agree.
        rows: Rows in which to count. The others are seen but not counted; with `boundary_reach(tolerance)` of them on
            each side, the counts of bands of a large image add up to those of the whole image.
        ignored: (H, W), True where nobody has annotated; by default nowhere. That is not counted, and neither are
            boundary pixels within `tolerance` + 1 of it: what lies near them is not known.
    """
    true_edge, predicted_edge = inner_boundary(truth), inner_boundary(prediction)
    predicted_hits = (predicted_edge & _grow(true_edge, tolerance))[rows]
    true_hits = (true_edge & _grow(predicted_edge, tolerance))[rows]
    true_edge, predicted_edge = true_edge[rows], predicted_edge[rows]
    if ignored is not None:
        far = ~_grow(ignored, tolerance + 1)[rows]
        true_edge, predicted_edge, true_hits, predicted_hits = (
            each & far for each in (true_edge, predicted_edge, true_hits, predicted_hits)
        )
    return replace(
        count_voxels(prediction[rows], truth[rows], None if ignored is None else ignored[rows]),
        predicted_boundary=_count(predicted_edge),
        predicted_boundary_hits=_count(predicted_hits),
        true_boundary=_count(true_edge),
        true_boundary_hits=_count(true_hits),
    )


def count_voxels(prediction: Mask, truth: Mask, ignored: Mask | None = None) -> Counts:
    """Compare a predicted mask with the true one, but not their boundaries.

    Args:
        prediction: True for foreground, of any shape.
        truth: True for foreground.
        ignored: True where nobody has annotated, which is not counted; by default nowhere.
    """
    pixels = prediction.size
    if ignored is not None and ignored.any():
        annotated = ~ignored
        pixels, prediction, truth = _count(annotated), prediction & annotated, truth & annotated
    tp = _count(prediction & truth)
    fp, fn = _count(prediction) - tp, _count(truth) - tp
    return Counts(tp=tp, fp=fp, fn=fn, tn=pixels - tp - fp - fn)


def boundary_reach(tolerance: float) -> int:
    """Return how many rows away a pixel can change whether a boundary pixel hits."""
    return ceil(tolerance) + 1


def inner_boundary(mask: Mask) -> Mask:
    """Return the foreground pixels (H, W) that have background among their four neighbours."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    eroded = cv2.erode(mask.view(np.uint8), cross)  # beyond the image, cv2 takes the maximum: foreground
    edge: Mask = mask & (eroded == 0)
    return edge


def _grow(mask: Mask, distance: float) -> Mask:
    """Return the pixels (H, W) that lie within a Euclidean distance of the mask."""
    offsets = np.arange(-int(distance), int(distance) + 1)
    disc = (offsets[:, None] ** 2 + offsets**2 <= distance**2).astype(np.uint8)
    grown: Mask = cv2.dilate(mask.view(np.uint8), disc) > 0
    return grown


def _count(mask: Mask) -> int:
    return int(np.count_nonzero(mask))


def _share(part: float, whole: float, empty: float) -> float:
    """Return part / whole, or `empty` where there is nothing to divide by."""
    return part / whole if whole else empty
