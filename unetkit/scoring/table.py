"""The table of scores: what each is called, the function that computes it, and which way is better.

Evaluation, training, cross-validation and reports read it. A new score is a function and a line here: one of pixels is
then in the tables, JSON and CSV of `evaluate`, and with `validated=True` in `metrics.csv`, in the table of a
cross-validation and in the comparison of epochs too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite
from operator import attrgetter
from typing import Any, Generic, TypeVar

import numpy as np

from unetkit.scoring import instances, pixels, regions, restored, surfaces
from unetkit.scoring.instances import THRESHOLDS, InstanceCounts
from unetkit.scoring.pixels import Counts
from unetkit.scoring.regions import RegionCounts
from unetkit.scoring.surfaces import SurfaceCounts

Counted = TypeVar("Counted")


@dataclass(frozen=True)
class Score(Generic[Counted]):
    """A number for how well a prediction agrees with the truth.

    Attributes:
        name: Key in JSON and CSV.
        compute: Computes it from what was counted; None where there is nothing to compute it from.
        short: Name within a sentence.
        long: Name where there is room; by default the short one.
        higher_is_better: Whether more is better.
        shown: Whether the table on the terminal shows it, for each image or each outcome.
        within: Whether it depends on the tolerance of boundaries.
        is_distance: Whether it is a distance, in the unit of the evaluation.
        validated: Whether training computes it on the validation images, as `val_NAME`. A score of pixels is computed
            from TP, FP, FN and TN then, as mean over the images and pooled (`val_pooled_NAME`).
        folds: Heading in the table of a cross-validation, where it stands beside scores of other things; by default
            `heading`, "" to leave it out there.
    """

    name: str
    compute: Callable[[Counted], Any]
    short: str
    long: str = ""
    higher_is_better: bool = True
    shown: bool = True
    within: bool = False
    is_distance: bool = False
    validated: bool = False
    folds: str | None = None

    @property
    def in_full(self) -> str:
        """Name where there is room."""
        return self.long or self.short

    @property
    def heading(self) -> str:
        """Heading of a column."""
        return self.short[0].upper() + self.short[1:]

    @property
    def fold_heading(self) -> str:
        """Heading of a column in the table of a cross-validation; "" where it has none."""
        return self.heading if self.folds is None else self.folds

    def heading_within(self, tolerance: str, unit: str = "") -> str:
        """Return the heading of a column, with the tolerance if the score depends on it, and with the unit it has."""
        added = tolerance if self.within else unit if self.is_distance else ""
        return f"{self.heading} ({added})" if added else self.heading


PIXEL_SCORES: tuple[Score[Counts], ...] = (
    Score("dice", pixels.dice, "Dice", "Dice coefficient", validated=True),
    Score("iou", pixels.iou, "IoU", "intersection over union", validated=True),
    Score("precision", pixels.precision, "precision"),
    Score("recall", pixels.recall, "recall"),
    Score("boundary_f1", pixels.boundary_f1, "boundary F1", "F1 score of the boundaries", within=True),
    Score("accuracy", pixels.accuracy, "accuracy"),
)
"""Scores of the pixels of one class against all others; the first one orders images."""

VOXEL_SCORES = tuple(
    replace(score, shown=score.shown and score.name != "accuracy")  # there is no room, and most voxels are background
    for score in PIXEL_SCORES
    if score.name != "boundary_f1"
)
"""Scores of the voxels of a volume, whose surfaces are scored in place of boundaries in planes."""

SURFACE_SCORES: tuple[Score[SurfaceCounts], ...] = (
    Score("surface_dice", surfaces.surface_dice, "surface Dice", "share of the surfaces that agree", within=True),
    Score("hd95", surfaces.hd95, "HD95", "95th percentile of distances", higher_is_better=False, is_distance=True),
    Score("assd", surfaces.average_distance, "ASSD", "average distance", higher_is_better=False, is_distance=True),
)
"""Scores of the surfaces of one class of a volume."""

OBJECT_SCORES: tuple[Score[InstanceCounts], ...] = (
    Score("ap50", partial(instances.average_precision, place=0), "AP 0.5", validated=True, folds="AP@0.5"),
    *(
        Score(f"ap{100 * least:.0f}", partial(instances.average_precision, place=place), f"AP {least:g}", shown=False)
        for place, least in enumerate(THRESHOLDS[1:], 1)
    ),
    Score("mean_ap", instances.mean_average_precision, "mean AP", "mean of AP 0.5 to AP 0.95"),
    Score("f1", instances.f1, "F1", "F1 score of the objects", validated=True, folds=""),
    Score("precision", instances.precision, "precision"),
    Score("recall", instances.recall, "recall"),
    Score("pq", instances.panoptic_quality, "PQ", "panoptic quality", validated=True, folds=""),
    Score("sq", instances.segmentation_quality, "SQ", "segmentation quality", shown=False),
    Score("rq", instances.recognition_quality, "RQ", "recognition quality", shown=False),
)
"""Scores of objects; the first one orders images."""

RAND_SCORES: tuple[Score[RegionCounts], ...] = (
    Score("v_rand", regions.v_rand, "V_Rand", "F-score of pairs of pixels in regions"),
    Score("v_rand_split", regions.v_rand_split, "split", "share of pairs that are not split"),
    Score("v_rand_merge", regions.v_rand_merge, "merge", "share of pairs that are not merged"),
)
"""Scores of regions between borders by pairs of pixels."""

INFORMATION_SCORES: tuple[Score[RegionCounts], ...] = (
    Score("v_info", regions.v_info, "V_info", "F-score of the information of regions"),
    Score("voi_split", regions.voi_split, "VOI split", "variation of information by splits", higher_is_better=False),
    Score("voi_merge", regions.voi_merge, "VOI merge", "variation of information by mergers", higher_is_better=False),
)
"""Scores of regions between borders by information, in bits where they are no shares."""

IMAGE_SCORES: tuple[Score[Any], ...] = (
    Score("image_auroc", attrgetter("auroc"), "AUROC", "area under the ROC curve", validated=True),
    Score("image_accuracy", attrgetter("accuracy"), "accuracy", shown=False, validated=True),
    Score("image_sensitivity", attrgetter("sensitivity"), "sensitivity", validated=True),
    Score("image_specificity", attrgetter("specificity"), "specificity", validated=True),
)
"""Scores of the classification of whole images: attributes of `ImageScores`, which needs torch."""

RESTORED_SCORES: tuple[Score[Any], ...] = (
    Score("r2", restored.restored_share, "R2", "share of the variance that is restored", validated=True),
)
"""Scores of restored pixels."""

POOLED = "pooled_"
"""Prefix of the name of a score of all images together."""

MASK_SCORES = tuple(score for score in PIXEL_SCORES if score.validated)
"""Scores of masks that training computes, as the mean over the images."""

POOLED_SCORES = tuple(replace(score, name=POOLED + score.name, short=f"pooled {score.short}") for score in MASK_SCORES)
"""Scores of masks that training computes of all images together."""

_OTHERS: tuple[Score[Any], ...] = (*OBJECT_SCORES, *IMAGE_SCORES, *RESTORED_SCORES)

VALIDATED: Mapping[str, Score[Any]] = {
    f"val_{score.name}": score for score in (*MASK_SCORES, *POOLED_SCORES, *_OTHERS) if score.validated
}
"""Scores that training computes on the validation images, by their names in `metrics.csv` and model files."""


def validated_names(*tables: Iterable[Score[Any]]) -> tuple[str, ...]:
    """Return the names in `metrics.csv` of scores that training computes, those of masks with the pooled ones.

    >>> validated_names(PIXEL_SCORES)
    ('val_dice', 'val_iou', 'val_pooled_dice', 'val_pooled_iou')
    """
    names = {score.name for table in tables for score in table}
    return tuple(name for name, score in VALIDATED.items() if score.name.removeprefix(POOLED) in names)


def comparable(values: Mapping[str, float]) -> list[float]:
    """Return the scores that training computed, in order and with signs by which more is better; losses are left out.

    >>> comparable({"val_r2": 0.5, "val_loss": 0.1})
    [0.5]
    """
    known = [(VALIDATED[name], value) for name, value in values.items() if name in VALIDATED]
    return [value if score.higher_is_better else -value for score, value in known]


class Scores(Mapping[str, float]):
    """Scores by name, which are attributes too; each lies between 0 (no agreement) and 1 (perfect), but for distances.

    Args:
        values: Scores by name.

    Example:
        >>> scores = pixel_scores(Counts(tp=8, fp=2, fn=2, tn=188))
        >>> scores.dice, scores["accuracy"]
        (0.8, 0.98)
    """

    def __init__(self, values: Mapping[str, float]) -> None:
        self._values = dict(values)

    def __getattr__(self, name: str) -> float:
        values: dict[str, float] = self.__dict__.get("_values", {})
        if name not in values:
            raise AttributeError(f"There is no score '{name}', only {', '.join(values)}.")
        return values[name]

    def __getitem__(self, name: str) -> float:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in self._values.items())})"


class InstanceScores(Scores):
    """Scores of objects by name, which are attributes too."""

    @property
    def ap(self) -> tuple[float, ...]:
        """The average precision at each of `THRESHOLDS`."""
        return tuple(self[f"ap{100 * least:.0f}"] for least in THRESHOLDS)


def pixel_scores(counts: Counts) -> Scores:
    """Return all scores of pixels that follow from their counts."""
    return Scores(scores_of(PIXEL_SCORES, counts))


def volume_scores(counts: Counts, measured: SurfaceCounts) -> Scores:
    """Return all scores of a volume that follow from its voxels and surfaces."""
    return Scores(scores_of(VOXEL_SCORES, counts) | scores_of(SURFACE_SCORES, measured))


def instance_scores(counts: InstanceCounts) -> InstanceScores:
    """Return all scores of objects that follow from their counts."""
    return InstanceScores(scores_of(OBJECT_SCORES, counts))


def scores_of(table: Iterable[Score[Counted]], counted: Counted) -> dict[str, float]:
    """Return the scores by name, without those that are None."""
    values = {score.name: score.compute(counted) for score in table}
    return {name: value for name, value in values.items() if value is not None}


def mean_scores(scores: Sequence[Scores]) -> Scores:
    """Return the mean of each score over at least one image; of distances over those that are finite."""
    return Scores({name: _mean([each[name] for each in scores]) for name in scores[0]})


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if isfinite(value)]
    return float(np.mean(finite or values))


def mean_instance_scores(scores: Sequence[InstanceScores]) -> InstanceScores:
    """Return the mean of each score over at least one image."""
    means = dict(mean_scores(scores))
    ap = np.mean([each.ap for each in scores], axis=0)  # adds up image after image
    return InstanceScores(means | dict(zip(means, ap.tolist(), strict=False)))
