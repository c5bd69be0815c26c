"""Images as settings are chosen on them: each is predicted once, and little is kept of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.data.annotated import UNKNOWN
from unetkit.data.datamodule import SegmentationData
from unetkit.data.dataset import WholeImageDataset
from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import ModelSpec
from unetkit.postprocess.labels import Labels
from unetkit.postprocess.parts import LARGEST_PREDICTED
from unetkit.postprocess.predicted_distance import by_predicted_distance
from unetkit.scoring.instances import THRESHOLDS, count_overlaps, match_overlaps
from unetkit.scoring.pixels import Counts, dice
from unetkit.scoring.reliability import to_log_probabilities
from unetkit.training.segmentation.choosing import MOST_IMAGES
from unetkit.training.segmentation.predicting import predict_probabilities

PIXELS = 4096
"""Most pixels that are kept of an image."""

PLACES = (THRESHOLDS.index(0.5), THRESHOLDS.index(0.7))
"""IoUs at which objects are counted, by their places in `THRESHOLDS`."""


@dataclass(frozen=True)
class Example:
    """An image with its truth.

    Attributes:
        pixels: (C, ...) raw, as `predict_item` takes them.
        mask: (...) true class numbers, `UNKNOWN` where nobody has annotated.
        objects: (...) numbers of the true objects, 0 for background; None for a model that does not separate them.
    """

    pixels: NDArray[Any]
    mask: NDArray[Any]
    objects: NDArray[Any] | None = None

    @property
    def unknown(self) -> NDArray[np.bool_]:
        """Where nobody has annotated (...)."""
        unknown: NDArray[np.bool_] = self.mask == UNKNOWN
        return unknown


@dataclass(frozen=True)
class Tried:
    """What a model gives for an image at the settings that are tried.

    Attributes:
        logits: (N, classes) logits of a sample of the annotated pixels, see `to_log_probabilities`.
        truth: (N,) true classes of these.
        dice: (thresholds,) Dice of the mask; empty where there are several classes.
        objects: (thresholds, confidences, IoUs, 3): right, wrong and missed objects at the IoUs of `PLACES`; None for a
            model that does not separate objects.
    """

    logits: NDArray[np.float64]
    truth: NDArray[np.intp]
    dice: NDArray[np.float64]
    objects: NDArray[np.int64] | None


def held_out_examples(data: SegmentationData, *, instances: bool) -> Iterator[Example]:
    """Return the images that were set aside; of more than `MOST_IMAGES` some, spread over all.

    Args:
        data: The data of a run.
        instances: Whether the model separates objects.
    """
    return examples_of(data, spread(data.pool.val, MOST_IMAGES), instances=instances)


def spread(indices: Sequence[int], most: int) -> list[int]:
    """Return at most some of the images, spread over all."""
    count = len(indices)
    return [indices[place] for place in np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))]


def examples_of(data: SegmentationData, indices: Sequence[int], *, instances: bool) -> Iterator[Example]:
    """Yield images by their indices in the pool, see `held_out_examples`."""
    images = WholeImageDataset(data.pool, data.targets, indices, data.classes)
    for place, index in enumerate(indices):
        item = images[place]
        objects = data.targets.objects(index) if instances else None
        yield Example(item["image"].numpy(), item["mask"].numpy(), objects)


def try_settings(
    segmenter: Segmenter, example: Example, thresholds: NDArray[np.float64], confidences: NDArray[np.float64]
) -> Tried:
    """Predict an image, and score it at each threshold and each lowest confidence of an object."""
    spec, unknown = segmenter.spec, example.unknown
    outputs = predict_probabilities(segmenter, example.pixels)
    picked = np.random.default_rng(0).permutation(np.flatnonzero(~unknown))[:PIXELS]
    probabilities = outputs[: spec.out_channels].reshape(spec.out_channels, -1)[:, picked].T
    logits, truth = to_log_probabilities(probabilities), example.mask.ravel()[picked].astype(np.intp)
    if spec.classes > 2:
        return Tried(logits, truth, np.zeros(0), None)
    masks = [outputs[0] >= threshold for threshold in thresholds]
    dices = np.array([_dice(mask & ~unknown, example.mask == 1) for mask in masks])
    if example.objects is None:
        return Tried(logits, truth, dices, None)
    counts = [_count_objects(mask, outputs, example, confidences, spec) for mask in masks]
    return Tried(logits, truth, dices, np.stack(counts))


def _dice(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    right = int((mask & truth).sum())
    return dice(Counts(tp=right, fp=int(mask.sum()) - right, fn=int(truth.sum()) - right))


def _count_objects(
    mask: NDArray[np.bool_],
    outputs: NDArray[np.float32],
    example: Example,
    confidences: NDArray[np.float64],
    spec: ModelSpec,
) -> NDArray[np.int64]:
    """Count objects (confidences, IoUs, 3) as `Tried` has them. They are separated once, and then left out.

    Args:
        mask: (...) where the foreground is.
        outputs: (2, ...) probability of the foreground and distance map, 0 to 1.
        example: The image.
        confidences: Lowest confidences of an object.
        spec: Description of the model.
    """
    assert example.objects is not None
    bands = (np.clip(np.rint(outputs * LARGEST_PREDICTED), 1, LARGEST_PREDICTED) * mask).astype(np.uint8)
    method = by_predicted_distance(0.0, choice=None if spec.dims == 3 else spec.choice)
    labels = Labels([bands], mask.shape, method=method, smallest=spec.smallest_object)
    unknown = example.unknown
    predicted = np.concatenate(list(labels.rows()), axis=1)[0]
    overlaps = count_overlaps(predicted, example.objects, unknown if unknown.any() else None)
    assert labels.confidences is not None
    sure = np.insert(labels.confidences, 0, np.inf)[overlaps[:, 0]]  # the background stays
    counts = np.zeros((len(confidences), len(PLACES), 3), np.int64)
    for rows, confidence in zip(counts, confidences, strict=True):
        kept = overlaps.copy()
        kept[sure < confidence, 0] = 0
        found = match_overlaps([kept])
        rows[:] = [(at.tp, at.fp, at.fn) for at in map(found.at, PLACES)]
    return counts
