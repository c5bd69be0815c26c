"""How well a predicted mask agrees with the true one: counts that add up, and the scores that follow from them.

Everything is two classes here: foreground (True) against background. Where both masks are empty, Dice, IoU, precision,
recall and boundary F1 are 1; where only one of them is, they are 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import ceil

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Scores:
    """Agreement of a prediction with the truth; each value lies between 0 (none) and 1 (perfect).

    Attributes:
        dice: 2 TP / (2 TP + FP + FN), the F1 score of the pixels.
        iou: TP / (TP + FP + FN), also called Jaccard index.
        precision: TP / (TP + FP), the share of the prediction that is right.
        recall: TP / (TP + FN), the share of the truth that is found.
        boundary_f1: F1 score of the boundary pixels, within a tolerance (Csurka et al. 2013).
        accuracy: (TP + TN) / all pixels.
    """

    dice: float
    iou: float
    precision: float
    recall: float
    boundary_f1: float
    accuracy: float


@dataclass(frozen=True)
class Counts:
    """Pixels counted in one or more images: add counts to pool them.

    Attributes:
        tp: Foreground in both masks.
        fp: Foreground in the prediction only.
        fn: Foreground in the truth only.
        tn: Background in both.
        predicted_boundary: Boundary pixels of the prediction.
        predicted_boundary_hits: Those of them that lie near a boundary pixel of the truth.
        true_boundary: Boundary pixels of the truth.
        true_boundary_hits: Those of them that lie near a boundary pixel of the prediction.

    Example:
        >>> counts = Counts(tp=6, fp=2, fn=2, tn=90) + Counts(tp=2, fp=0, fn=0, tn=98)
        >>> counts.dice, counts.iou
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
    def dice(self) -> float:
        """Dice coefficient."""
        return _share(2 * self.tp, 2 * self.tp + self.fp + self.fn, empty=1.0)

    @property
    def iou(self) -> float:
        """Intersection over union."""
        return _share(self.tp, self.tp + self.fp + self.fn, empty=1.0)

    @property
    def precision(self) -> float:
        """Share of the predicted foreground that is right; for an empty prediction, 1 if the truth is empty, else 0."""
        return _share(self.tp, self.tp + self.fp, empty=float(self.fn == 0))

    @property
    def recall(self) -> float:
        """Share of the true foreground that is found; for an empty truth, 1 if the prediction is empty, else 0."""
        return _share(self.tp, self.tp + self.fn, empty=float(self.fp == 0))

    @property
    def boundary_f1(self) -> float:
        """F1 score of the boundaries: the harmonic mean of the shares of predicted and of true boundary that hit."""
        precision = _share(self.predicted_boundary_hits, self.predicted_boundary, float(self.true_boundary == 0))
        recall = _share(self.true_boundary_hits, self.true_boundary, float(self.predicted_boundary == 0))
        return _share(2 * precision * recall, precision + recall, empty=0.0)

    @property
    def accuracy(self) -> float:
        """Share of all pixels that have the right class."""
        return _share(self.tp + self.tn, self.tp + self.fp + self.fn + self.tn, empty=1.0)

    @property
    def scores(self) -> Scores:
        """All scores that follow from the counts."""
        return Scores(*(getattr(self, field.name) for field in fields(Scores)))


def count_pixels(prediction: Mask, truth: Mask, tolerance: float = 2.0, rows: slice = slice(None)) -> Counts:
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
    """
    true_edge, predicted_edge = inner_boundary(truth), inner_boundary(prediction)
    predicted_hits = (predicted_edge & _grow(true_edge, tolerance))[rows]
    true_hits = (true_edge & _grow(predicted_edge, tolerance))[rows]
    prediction, truth = prediction[rows], truth[rows]
    tp = _count(prediction & truth)
    fp = _count(prediction) - tp
    fn = _count(truth) - tp
    return Counts(
        tp=tp,
        fp=fp,
        fn=fn,
        tn=prediction.size - tp - fp - fn,
        predicted_boundary=_count(predicted_edge[rows]),
        predicted_boundary_hits=_count(predicted_hits),
        true_boundary=_count(true_edge[rows]),
        true_boundary_hits=_count(true_hits),
    )


def boundary_reach(tolerance: float) -> int:
    """Return how many rows away a pixel can change whether a boundary pixel hits."""
    return ceil(tolerance) + 1


def inner_boundary(mask: Mask) -> Mask:
    """Return the foreground pixels (H, W) that have background among their four neighbours."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    eroded = cv2.erode(mask.view(np.uint8), cross)  # beyond the image, cv2 takes the maximum: foreground
    edge: Mask = mask & (eroded == 0)
    return edge


def mean_scores(scores: Sequence[Scores]) -> Scores:
    """Return the mean of each score over at least one image."""
    return Scores(*(float(np.mean([getattr(each, field.name) for each in scores])) for field in fields(Scores)))


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
