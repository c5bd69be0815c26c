"""How well predicted objects agree with the true ones: counts that add up, and the formulas of scores.

Both sides are instance labels: 0 for background, any other number for the object that a pixel is of. A label is one
object, whether its pixels are connected or not. A predicted and a true object match where their IoU (pixels in both,
divided by pixels in either) reaches a threshold; no object matches twice. Where neither side has an object, every score
is 1; where only one of them has, every score is 0.

Pixels that nobody has annotated count for no IoU: of a true object there is only its annotated part. A predicted object
is no false positive if more than half of it lies on such pixels, as in panoptic segmentation (Kirillov et al. 2019,
section 4.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.errors import DataError
from unetkit.scoring import pixels
from unetkit.scoring.pixels import Counts

THRESHOLDS = tuple(k / 20 for k in range(10, 20))
"""The IoUs at which objects are matched: 0.50, 0.55, ..., 0.95, as in the 2018 Data Science Bowl."""

NOT_ANNOTATED = -1
"""True label of pixels that nobody has annotated, among overlaps."""

Overlaps = NDArray[np.int64]
"""(N, 3): a predicted label, a true label, and how many pixels have both."""


@dataclass(frozen=True)
class InstanceCounts:
    """Objects counted in one or more images: add counts to pool them.

    Attributes:
        predicted: Objects of the prediction.
        true: Objects of the truth.
        matches: Pairs of a predicted and a true object whose IoU is at least that of `THRESHOLDS`, for each of them.
        majority_matches: Pairs whose IoU is above 0.5.
        majority_iou: Sum of their IoUs.
        spared: Predicted objects that are right at an IoU of 0.5 and not at that of `THRESHOLDS`, for each of them, but
            no false positives there, since they lie mostly on what nobody has annotated.

    Example:
        >>> counts = match_instances(np.array([[1, 1, 0, 2]]), np.array([[7, 7, 7, 0]]))
        >>> counts.predicted, counts.true, counts.matches[0], round(counts.majority_iou, 3)
        (2, 1, 1, 0.667)
        >>> average_precision(counts + counts, 0)
        0.5
    """

    predicted: int = 0
    true: int = 0
    matches: tuple[int, ...] = (0,) * len(THRESHOLDS)
    majority_matches: int = 0
    majority_iou: float = 0.0
    spared: tuple[int, ...] = (0,) * len(THRESHOLDS)

    def __add__(self, other: InstanceCounts) -> InstanceCounts:
        return InstanceCounts(
            self.predicted + other.predicted,
            self.true + other.true,
            tuple(map(add, self.matches, other.matches)),
            self.majority_matches + other.majority_matches,
            self.majority_iou + other.majority_iou,
            tuple(map(add, self.spared, other.spared)),
        )

    def at(self, place: int) -> Counts:
        """Return right, wrong and missed objects at an IoU of `THRESHOLDS[place]`."""
        matches = self.matches[place]
        return Counts(tp=matches, fp=self.predicted - matches - self.spared[place], fn=self.true - matches)

    def flat(self) -> dict[str, float]:
        """Return all counts by name, those of `matches` as "matches50" to "matches95"; `spared` only if there are."""
        several = {"matches": self.matches, **({"spared": self.spared} if any(self.spared) else {})}
        counts = {
            f"{name}{100 * threshold:.0f}": count
            for name, each in several.items()
            for threshold, count in zip(THRESHOLDS, each, strict=True)
        }
        return counts | {name: value for name, value in vars(self).items() if name not in ("matches", "spared")}


def average_precision(counts: InstanceCounts, place: int) -> float:
    """Return TP / (TP + FP + FN) of the objects at an IoU of `THRESHOLDS[place]`.

    It is the average precision of the 2018 Data Science Bowl and of StarDist (Schmidt et al. 2018,
    https://arxiv.org/abs/1806.03535).
    """
    return pixels.iou(counts.at(place))


def mean_average_precision(counts: InstanceCounts) -> float:
    """Return the mean of the average precision over `THRESHOLDS`."""
    return float(np.mean([average_precision(counts, place) for place in range(len(THRESHOLDS))]))


def f1(counts: InstanceCounts) -> float:
    """Return 2 TP / (2 TP + FP + FN) of the objects, at an IoU of 0.5."""
    return pixels.dice(counts.at(0))


def precision(counts: InstanceCounts) -> float:
    """Return TP / (TP + FP), the share of the predicted objects that are right, at an IoU of 0.5."""
    return pixels.precision(counts.at(0))


def recall(counts: InstanceCounts) -> float:
    """Return TP / (TP + FN), the share of the true objects that are found, at an IoU of 0.5."""
    return pixels.recall(counts.at(0))


def panoptic_quality(counts: InstanceCounts) -> float:
    """Return SQ times RQ (Kirillov et al. 2019, https://arxiv.org/abs/1801.00868)."""
    return segmentation_quality(counts) * recognition_quality(counts)


def segmentation_quality(counts: InstanceCounts) -> float:
    """Return the mean IoU of the matches above an IoU of 0.5; 0 without any."""
    if not counts.predicted + counts.true:
        return 1.0
    return counts.majority_iou / max(counts.majority_matches, 1)


def recognition_quality(counts: InstanceCounts) -> float:
    """Return the F1 score of the objects with matches above, not at, an IoU of 0.5."""
    matches = counts.majority_matches
    return pixels.dice(Counts(tp=matches, fp=counts.predicted - matches, fn=counts.true - matches))


def match_instances(
    predicted: NDArray[Any], truth: NDArray[Any], ignored: NDArray[np.bool_] | None = None
) -> InstanceCounts:
    """Compare the predicted objects of one image with the true ones.

    Args:
        predicted: Instance labels of any integer type and any shape, for example (H, W); 0 for background.
        truth: Instance labels of the same shape.
        ignored: What nobody has annotated, of the same shape; by default nothing.

    Raises:
        DataError: The shapes differ, or what is given are no labels.
    """
    return match_overlaps([count_overlaps(predicted, truth, ignored)])


def count_overlaps(predicted: NDArray[Any], truth: NDArray[Any], ignored: NDArray[np.bool_] | None = None) -> Overlaps:
    """Count the pixels that each predicted label shares with each true one, the background (0) included.

    Args:
        predicted: Instance labels of an image or of a band of it, at least one pixel.
        truth: Instance labels of the same shape.
        ignored: What nobody has annotated, of the same shape; by default nothing. The truth is not looked at there.

    Returns:
        (N, 3): predicted label, true label, and how many pixels have both, for each pair of labels that meet; the true
        label is -1 where nobody has annotated.

    Raises:
        DataError: The shapes differ, or what is given are no labels.
    """
    if predicted.shape != truth.shape:
        raise DataError(
            f"The prediction has shape {predicted.shape}, but the truth has {truth.shape}.",
            "Compare labels of the same image at the same size.",
        )
    check_labels(predicted, "The prediction")
    if ignored is not None and ignored.any():
        truth = np.where(ignored, 0, truth)
        check_labels(truth, "The truth")
        truth = np.where(ignored, NOT_ANNOTATED, truth.astype(np.int64))
    else:
        check_labels(truth, "The truth")
    first, second = predicted.ravel(), truth.ravel()
    starts = np.flatnonzero((first[1:] != first[:-1]) | (second[1:] != second[:-1])) + 1
    starts = np.insert(starts, 0, 0)
    lengths = np.diff(starts, append=first.size)  # of the runs of pixels with the same two labels
    return sum_pairs(np.stack([first[starts].astype(np.int64), second[starts].astype(np.int64), lengths], axis=1))


def check_labels(labels: NDArray[Any], name: str) -> None:
    """Raise a DataError, in which `name` is the subject, unless all values are whole and not below 0."""
    if labels.dtype.kind not in "iu":
        raise DataError(
            f"{name} holds {labels.dtype} values, not instance labels.",
            "Give whole numbers, one for each object and 0 for background (`segment --output labels` writes them).",
        )
    if labels.min() < 0:
        raise DataError(f"{name} has the label {labels.min()}.", "Number objects from 1 up, and give 0 to background.")


def match_overlaps(bands: Sequence[Overlaps]) -> InstanceCounts:
    """Match the objects of one image, given the overlaps in all bands of it.

    With thresholds of 0.5 and above no assignment has to be searched for. Of two objects that reach 0.5 with the same
    third one, each holds at least half of its pixels, so they are its two halves and have no pixel elsewhere: both
    reach exactly 0.5, with no other object, and either may be taken. Above 0.5 matches are unique (Kirillov et al.
    2019, section 4.1). Pixels that nobody has annotated belong to no true object and count for no IoU.
    """
    predicted, true, pixels = sum_pairs(np.concatenate(bands)).T
    labels, whole_sizes = _sizes(predicted, pixels)
    hidden_sizes = _sizes(predicted, np.where(true == NOT_ANNOTATED, pixels, 0))[1]
    true_labels, true_sizes = _sizes(true, pixels)
    objects = (predicted > 0) & (true > 0)
    predicted, true, shared = predicted[objects], true[objects], pixels[objects]
    sizes = (
        (whole_sizes - hidden_sizes)[np.searchsorted(labels, predicted)],
        true_sizes[np.searchsorted(true_labels, true)],
    )
    iou = shared / (sizes[0] + sizes[1] - shared)
    right = [_take_once(predicted[iou >= least], true[iou >= least]) for least in THRESHOLDS]
    hidden = labels[2 * hidden_sizes > whole_sizes]
    excused = hidden[~np.isin(hidden, right[0])]
    return InstanceCounts(
        predicted=int(np.count_nonzero(labels)) - int(np.count_nonzero(excused)),
        true=int(np.count_nonzero(true_labels > 0)),
        matches=tuple(map(len, right)),
        spared=tuple(len(np.setdiff1d(np.intersect1d(hidden, right[0]), each)) for each in right),
        majority_matches=int(np.count_nonzero(iou > 0.5)),
        majority_iou=float(iou[iou > 0.5].sum()),
    )


def _take_once(predicted: NDArray[np.int64], true: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the predicted labels of as many pairs as can be taken so that none has a label of another."""
    first = np.unique(predicted, return_index=True)[1]
    return predicted[first[np.unique(true[first], return_index=True)[1]]]


def sum_pairs(overlaps: Overlaps) -> Overlaps:
    """Add up the pixels of rows with the same two labels, so that each pair is there once."""
    overlaps = overlaps[np.lexsort((overlaps[:, 1], overlaps[:, 0]))]
    new = np.any(np.diff(overlaps[:, :2], axis=0, prepend=-1), axis=1)
    starts = np.flatnonzero(new)
    return np.column_stack([overlaps[starts, :2], np.add.reduceat(overlaps[:, 2], starts)])


def _sizes(labels: NDArray[np.int64], pixels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the different labels, sorted, and the pixels of each."""
    found, index = np.unique(labels, return_inverse=True)
    sizes = np.zeros(len(found), np.int64)
    np.add.at(sizes, index, pixels)
    return found, sizes
