"""How well whole images are classified: areas under ROC curves, a threshold, and the scores at it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table
from torch import Tensor
from torchmetrics.functional.classification import (
    binary_auroc,
    binary_roc,
    multiclass_confusion_matrix,
    multiclass_stat_scores,
)

from unetkit.foundation.atomic import partial_file
from unetkit.models.image_head import decide
from unetkit.scoring.table import IMAGE_SCORES, scores_of

EVEN_THRESHOLD = 0.5
"""Threshold where no other one is better."""


@dataclass(frozen=True)
class ClassScores:
    """How well one outcome is distinguished from all others.

    Attributes:
        name: The outcome.
        images: Number of images that show it.
        auroc: Area under the ROC curve, 0 to 1; None unless some images show it and some do not.
        sensitivity: Share that is classified so of the images that show it; None if there are none.
        specificity: Share that is not classified so of the images that do not show it; None if there are none.
    """

    name: str
    images: int
    auroc: float | None
    sensitivity: float | None
    specificity: float | None


@dataclass(frozen=True)
class ImageScores:
    """How well images are classified.

    Attributes:
        threshold: Probability of the last of two outcomes from which an image shows it; None for more outcomes, where
            the most probable one counts.
        accuracy: Share of the images that are classified correctly.
        classes: The outcomes: absent and present for a single image class, else the classes.
        confusion: Number of images by what they show (rows) and what they are classified as (columns).
    """

    threshold: float | None
    accuracy: float
    classes: tuple[ClassScores, ...]
    confusion: tuple[tuple[int, ...], ...]

    @property
    def auroc(self) -> float | None:
        """Mean area under the ROC curve of the outcomes, each against the others; None unless all of them occur."""
        return _mean([one.auroc for one in self.classes])

    @property
    def sensitivity(self) -> float | None:
        """Sensitivity of the last of two outcomes, or the mean over more; None unless all of them occur."""
        return self.classes[1].sensitivity if self.threshold else _mean([one.sensitivity for one in self.classes])

    @property
    def specificity(self) -> float | None:
        """Specificity of the last of two outcomes, or the mean over more; None unless all of them occur."""
        return self.classes[1].specificity if self.threshold else _mean([one.specificity for one in self.classes])

    def flat(self) -> dict[str, float]:
        """Return the scores of all outcomes together by name, without those that are None."""
        return scores_of(IMAGE_SCORES, self)

    def write_json(self, path: Path) -> None:
        """Write all scores and the confusion table.

        Raises:
            OutputError: The file cannot be written.
        """
        result = {
            "images": sum(one.images for one in self.classes),
            "threshold": self.threshold,
            **{name.removeprefix("image_"): value for name, value in self.flat().items()},
            "classes": [asdict(one) for one in self.classes],
            "confusion": {"truth_by_prediction": self.confusion, "names": [one.name for one in self.classes]},
        }
        with partial_file(path) as partial:
            partial.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")

    def table(self) -> Table:
        """Return a table for the terminal: images by truth and prediction, and the scores of each outcome."""
        title = "Images by what they show (rows) and what they are classified as (columns)"
        table = Table(box=SIMPLE_HEAD, title=title, title_justify="left")
        table.add_column("")
        for one in self.classes:
            table.add_column(escape(one.name), justify="right")
        shown = [score for score in IMAGE_SCORES if score.shown]
        for score in shown:
            table.add_column(score.heading, justify="right")
        for one, row in zip(self.classes, self.confusion, strict=True):
            table.add_row(escape(one.name), *map(str, row), *(_cell(score.compute(one)) for score in shown))
        return table


def score_images(
    probabilities: Tensor, labels: Tensor, classes: Sequence[str], threshold: float | None = None
) -> ImageScores:
    """Score images whose labels are known.

    Args:
        probabilities: (N, k) of the image classes.
        labels: (N,) int64: for one class 1 if it is there, else 0; for several the number of the one that is there.
        classes: Names of the k image classes.
        threshold: Probability from which an image shows the one class, or the last of two; by default the one that
            `choose_threshold` finds on these images.
    """
    names = outcome_names(classes)
    binary = len(names) == 2
    if threshold is None:
        threshold = choose_threshold(probabilities[:, -1], labels) if binary else EVEN_THRESHOLD
    decided = decide(probabilities, threshold)
    last = probabilities[:, -1:].double()  # the other of two outcomes would be rounded otherwise
    each = torch.cat([1 - last, last], dim=1) if binary else probabilities
    stats = multiclass_stat_scores(decided, labels, len(names), average=None).tolist()
    scored = []
    for number, (name, (hits, false_alarms, rejections, misses, images)) in enumerate(zip(names, stats, strict=True)):
        shows = labels == number
        auroc = float(binary_auroc(each[:, number], shows.long())) if 0 < images < len(labels) else None
        shares = _share(hits, hits + misses), _share(rejections, rejections + false_alarms)
        scored.append(ClassScores(name, images, auroc, *shares))
    confusion = multiclass_confusion_matrix(decided, labels, len(names)).tolist()
    return ImageScores(
        threshold=threshold if binary else None,
        accuracy=float((decided == labels).double().mean()),
        classes=tuple(scored),
        confusion=tuple(tuple(row) for row in confusion),
    )


def choose_threshold(probabilities: Tensor, labels: Tensor) -> float:
    """Choose the threshold with the largest sum of sensitivity and specificity (Youden 1950).

    It lies midway between the probabilities of two images, so that rounding changes no decision. Of several equally
    good ones the nearest to 0.5 is taken, and 0.5 where none is better than chance.

    Args:
        probabilities: (N,) that the class is there.
        labels: (N,) 1 where it is, else 0.

    Returns:
        A number between 0 and 1.

    Example:
        >>> choose_threshold(torch.tensor([0.125, 0.25, 0.5, 0.75]), torch.tensor([0, 0, 1, 1]))
        0.375
    """
    if len(torch.unique(labels)) < 2:
        return EVEN_THRESHOLD
    false_alarms, hits, limits = (values.double() for values in binary_roc(probabilities, labels))
    index = hits - false_alarms
    if index.max() <= 0:
        return EVEN_THRESHOLD
    below = torch.cat([limits[1:], limits.new_zeros(1)])
    best = ((limits + below) / 2)[index >= index.max() - 1e-9]
    return float(best[(best - EVEN_THRESHOLD).abs().argmin()])


def outcome_names(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the names of what images may show.

    >>> outcome_names(["pneumonia"]), outcome_names(["normal", "pneumonia"])
    (('no pneumonia', 'pneumonia'), ('normal', 'pneumonia'))
    """
    return (f"no {classes[0]}", classes[0]) if len(classes) == 1 else tuple(classes)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
