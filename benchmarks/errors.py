"""Where objects are lost: why true objects have no match, why predicted ones are false, and what each is worth.

    python benchmarks/errors.py --data nuclei/train --model model.safetensors
    python benchmarks/errors.py --data nuclei/train --model model.safetensors --worst 10

Only the images that the model was validated on are looked at. Objects are counted over all images. What a perfect
answer is worth is the score of the labels in which the truth has corrected one kind of error, and no other.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from instances import Case, label, predicted_cases
from measuring import print_table
from nuclei import fluorescence_images
from numpy.typing import NDArray

from unetkit import load_model
from unetkit.data.pairs import find_pairs
from unetkit.inference.tiling.options import TilingOptions
from unetkit.postprocess.predicted_distance import by_predicted_distance
from unetkit.scoring.instances import THRESHOLDS, InstanceCounts, average_precision, match_instances, panoptic_quality

SIZES = (100, 400, 1600)
"""Where size classes of objects begin and end, in pixels."""

IOUS = (0.5, 0.7)
"""The IoUs at which objects are looked at."""

PRESENT = 0.1
"""An object that overlaps no other by this IoU is missed, or false."""

SIMILAR = 0.3
"""IoU from which a predicted object is meant to be a true one."""

TRUE_REASONS = ("found", "joined", "cut", "missed", "contour 0.5-0.7", "contour 0.3-0.5", "contour below 0.3")
FALSE_REASONS = ("joined", "piece", "nothing there", "contour")


@dataclass(frozen=True)
class Overlap:
    """Predicted and true objects of an image.

    Attributes:
        shared: (P + 1, T + 1) pixels of each pair, predicted and true; number 0 is the background.
    """

    shared: NDArray[np.int64]

    @classmethod
    def of(cls, predicted: NDArray[Any], truth: NDArray[Any]) -> Overlap:
        """Count the pixels of two label images (H, W), numbered from 1 without gaps."""
        shape = (int(predicted.max()) + 1, int(truth.max()) + 1)
        pairs = predicted.astype(np.int64) * shape[1] + truth
        return cls(np.bincount(pairs.ravel(), minlength=shape[0] * shape[1]).reshape(shape))

    @property
    def inside(self) -> NDArray[np.float64]:
        """(P, T) the share of a predicted object that lies in a true one."""
        return np.asarray(self.shared[1:, 1:] / self.shared[1:].sum(1, keepdims=True))

    @property
    def held(self) -> NDArray[np.float64]:
        """(P, T) the share of a true object that lies in a predicted one."""
        return np.asarray(self.shared[1:, 1:] / self.shared[:, 1:].sum(0, keepdims=True))

    @property
    def iou(self) -> NDArray[np.float64]:
        """(P, T)."""
        sizes = self.shared[1:].sum(1, keepdims=True) + self.shared[:, 1:].sum(0, keepdims=True)
        return np.asarray(self.shared[1:, 1:] / (sizes - self.shared[1:, 1:]))

    def true_reasons(self, least: float) -> list[str]:
        """Return why each true object is not found at an IoU, of `TRUE_REASONS`."""
        best = self.iou.max(0, initial=0)
        joins = (self.held > 0.5).sum(1) > 1
        joined = ((self.held > 0.5) & joins[:, None]).any(0)
        cut = ((self.inside > 0.5) & (self.held > PRESENT)).sum(0) > 1
        contour = np.select([best >= 0.5, best >= SIMILAR], TRUE_REASONS[4:6], TRUE_REASONS[6])
        conditions = [best >= least, joined, cut, best < PRESENT]
        return [str(reason) for reason in np.select(conditions, TRUE_REASONS[:4], contour)]

    def false_reasons(self, least: float) -> list[str]:
        """Return why each predicted object is false at an IoU, of `FALSE_REASONS`; "right" if it is not."""
        best = self.iou.max(1, initial=0)
        joins = (self.held > 0.5).sum(1) > 1
        piece = ((self.inside > 0.5) & (self.held < 0.5)).any(1)
        conditions = [best >= least, joins, piece, best < PRESENT]
        return [str(reason) for reason in np.select(conditions, ("right", *FALSE_REASONS[:3]), FALSE_REASONS[3])]


@dataclass(frozen=True)
class Look:
    """One image with its labels.

    Attributes:
        name: Name of the image.
        is_dark: Whether it is in fluorescence.
        truth: (H, W) true labels, numbered from 1 without gaps.
        labels: (H, W) predicted labels, numbered in the same way.
        regions: (H, W) watershed regions of which the labels are made.
    """

    name: str
    is_dark: bool
    truth: NDArray[np.int64]
    labels: NDArray[np.int64]
    regions: NDArray[np.int64]

    @property
    def overlap(self) -> Overlap:
        """Labels and truth."""
        return Overlap.of(self.labels, self.truth)


def look_at(case: Case, name: str, threshold: float, confidence: float, smallest: int, *, is_dark: bool) -> Look:
    """Label an image."""
    bands = case.bands(threshold)
    labels = label(bands, by_predicted_distance(confidence), round(smallest * case.zoom**2))
    regions = label(bands, by_predicted_distance(0.0, depth=0.0), 0)
    truth = np.unique(case.truth, return_inverse=True)[1].reshape(labels.shape)
    return Look(name, is_dark, truth, labels.astype(np.int64), regions.astype(np.int64))


def with_right_joins(look: Look) -> NDArray[np.int64]:
    """Give each watershed region to the true object with which it shares most, and leave others as they are."""
    shared = Overlap.of(look.regions, look.truth).shared
    owner = np.where(shared[:, 1:].max(1, initial=0) > 0.2 * shared.sum(1), shared[:, 1:].argmax(1) + 1, 0)
    owner[0] = 0
    owned = owner[look.regions]
    is_left = (look.labels > 0) & (owned == 0)
    return np.where(is_left, look.labels + look.truth.max(), np.where(look.labels > 0, owned, 0))


def with_right_contours(look: Look) -> NDArray[np.int64]:
    """Give the shape of its true object to each predicted one that is similar to it."""
    iou = look.overlap.iou
    corrected = look.labels.copy()
    for true in np.flatnonzero(iou.max(0, initial=0) >= SIMILAR):
        predicted = int(iou[:, true].argmax())
        if iou[predicted].argmax() == true:
            corrected[corrected == predicted + 1] = 0
            corrected[look.truth == true + 1] = predicted + 1
    return corrected


def without_false(look: Look) -> NDArray[np.int64]:
    """Leave out what is predicted where nothing is."""
    wrong = np.array([reason == "nothing there" for reason in look.overlap.false_reasons(0.5)], bool)
    return np.where(np.isin(look.labels, np.flatnonzero(wrong) + 1), 0, look.labels)


def with_missed(look: Look) -> NDArray[np.int64]:
    """Add the missed objects."""
    missed = np.array([reason == "missed" for reason in look.overlap.true_reasons(0.5)], bool)
    added = np.isin(look.truth, np.flatnonzero(missed) + 1)
    return np.where(added, look.truth + look.labels.max(), look.labels)


ORACLES: dict[str, Callable[[Look], NDArray[np.int64]]] = {
    "as predicted": lambda look: look.labels,
    "regions joined as the truth has it": with_right_joins,
    "true contours of similar objects": with_right_contours,
    "nothing predicted where nothing is": without_false,
    "missed objects added": with_missed,
}


def kinds_of(looks: Sequence[Look]) -> dict[str, list[Look]]:
    """Return all images, those in fluorescence and the others."""
    return {
        "all": list(looks),
        "fluorescence": [look for look in looks if look.is_dark],
        "others": [look for look in looks if not look.is_dark],
    }


def count_true(looks: Sequence[Look], least: float) -> dict[str, Counter[str]]:
    """Count the true objects by reason, for each size class and kind of image."""
    counts = {kind: Counter[str]() for kind in kinds_of(looks)}
    counts |= {name: Counter[str]() for name in size_names()}
    for look in looks:
        classes = np.digitize(look.overlap.shared[:, 1:].sum(0), SIZES)
        for reason, size in zip(look.overlap.true_reasons(least), classes, strict=True):
            for name in ("all", "fluorescence" if look.is_dark else "others", size_names()[size]):
                counts[name][reason] += 1
    return counts


def size_names() -> list[str]:
    """Return the names of the size classes."""
    return [f"below {SIZES[0]} px", *(f"from {size} px" for size in SIZES)]


def count_false(looks: Sequence[Look], least: float) -> dict[str, Counter[str]]:
    """Count the predicted objects by reason, for each kind of image."""
    return {
        kind: Counter(reason for look in some for reason in look.overlap.false_reasons(least))
        for kind, some in kinds_of(looks).items()
    }


def scores(looks: Sequence[Look], oracle: Callable[[Look], NDArray[np.int64]]) -> list[str]:
    """Return the pooled AP at each of `IOUS`, and PQ."""
    counts = sum((match_instances(oracle(look), look.truth) for look in looks), InstanceCounts())
    return [f"{average_precision(counts, THRESHOLDS.index(iou)):.3f}" for iou in IOUS] + [
        f"{panoptic_quality(counts):.3f}"
    ]


def worst_rows(looks: Sequence[Look], count: int) -> Iterator[list[str]]:
    """Yield the images that lose most objects at the IoUs: their name, kind, wrong objects and AP."""
    wrong = {}
    for look in looks:
        counts = match_instances(look.labels, look.truth)
        places = [THRESHOLDS.index(iou) for iou in IOUS]
        missed, false = (
            sum(counts.at(place).fn for place in places),
            sum(counts.at(place).fp for place in places),
        )
        wrong[look.name] = (missed + false, look, counts)
    total = sum(each[0] for each in wrong.values())
    for lost, look, counts in sorted(wrong.values(), key=lambda each: -each[0])[:count]:
        ap = [f"{average_precision(counts, THRESHOLDS.index(iou)):.2f}" for iou in IOUS]
        kind = "fluorescence" if look.is_dark else "others"
        yield [look.name, kind, f"{counts.true}", f"{counts.predicted}", f"{lost / max(total, 1):.1%}", *ap]


def print_all(looks: Sequence[Look], worst: int, *, markdown: bool) -> None:
    """Print the tables."""
    for least in IOUS:
        rows = [
            [name, *(str(row[reason]) for reason in TRUE_REASONS)] for name, row in count_true(looks, least).items()
        ]
        print_table(f"True objects at IoU {least}", ["", *TRUE_REASONS], rows, markdown=markdown)
        reasons = ("right", *FALSE_REASONS)
        rows = [[name, *(str(row[reason]) for reason in reasons)] for name, row in count_false(looks, least).items()]
        print_table(f"Predicted objects at IoU {least}", ["", *reasons], rows, markdown=markdown)
    columns = ["", *(f"{kind} {what}" for kind in kinds_of(looks) for what in (*(f"AP@{iou}" for iou in IOUS), "PQ"))]
    rows = [
        [name, *(value for some in kinds_of(looks).values() for value in scores(some, oracle))]
        for name, oracle in ORACLES.items()
    ]
    print_table("What a perfect answer is worth", columns, rows, markdown=markdown)
    columns = ["image", "kind", "true", "predicted", "share of all losses", *(f"AP@{iou}" for iou in IOUS)]
    print_table("Images that lose most", columns, list(worst_rows(looks, worst)), markdown=markdown)


def main(args: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with images/ and masks/ of instance labels")
    parser.add_argument("--model", type=Path, required=True, help="a model with instances")
    parser.add_argument("--confidence", type=float, default=0.5, help="lowest peak of an object")
    parser.add_argument("--worst", type=int, default=10, help="so many of the images that lose most are named")
    parser.add_argument("--tta", action="store_true", help="predict in 8 orientations")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--markdown", action="store_true", help="print tables for a page")
    options = parser.parse_args(args)
    model = load_model(options.model)
    held_out = set(model.spec.training["data"]["val_images"])
    pairs = [pair for pair in find_pairs(options.data, None, None) if pair.name in held_out]
    dark = fluorescence_images(options.data)
    cases = predicted_cases(pairs, model, TilingOptions(device=options.device, tta=options.tta))
    constants = (model.spec.threshold, options.confidence, model.spec.smallest_object)
    looks = [
        look_at(case, pair.name, *constants, is_dark=pair.name in dark) for pair, case in zip(pairs, cases, strict=True)
    ]
    print_all(looks, options.worst, markdown=options.markdown)


if __name__ == "__main__":
    main()
