"""The choice of objects of a trained model: learnt on training images, kept if validation images gain by it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from unetkit.data.datamodule import SegmentationData
from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import ModelSpec
from unetkit.postprocess.choice import Choice
from unetkit.postprocess.labels import Labels
from unetkit.postprocess.parts import LARGEST_PREDICTED
from unetkit.postprocess.predicted_distance import by_predicted_distance
from unetkit.report.choice import CHOICE
from unetkit.scoring.instances import match_instances
from unetkit.training.segmentation.calibration import FEWEST_OBJECTS, SURE
from unetkit.training.segmentation.choosing import (
    FEWEST_IMAGES,
    MOST_LEARNT,
    choose_surely,
    pool_precisions,
    score_objects_pooled,
)
from unetkit.training.segmentation.examples import PLACES, Example, examples_of, held_out_examples, spread
from unetkit.training.segmentation.learning_choice import Learnt, fit_choice
from unetkit.training.segmentation.predicting import predict_probabilities

FEWEST_CANDIDATES = 200
"""Fewest candidates that a choice is learnt from."""

MOST_CANDIDATES = 20_000
"""Most candidates that a choice is learnt from, a sample of all: it bounds the time."""


@dataclass(frozen=True)
class Gain:
    """What a choice of objects is worth on validation images.

    Attributes:
        images: Number of these images.
        candidates: How many candidates of training images it was learnt from.
        ap50: Average precision of the pooled objects at an IoU of 0.5, as before (joined up to a fixed depth, or by the
            choice that there was) and chosen.
        ap70: The same at 0.7.
    """

    images: int
    candidates: int
    ap50: tuple[float, float]
    ap70: tuple[float, float]


def learns_choice(spec: ModelSpec, data: SegmentationData) -> bool:
    """Return whether there may be a choice for a model: it separates objects of planes, and there are images for it."""
    return spec.instances and spec.dims == 2 and len(data.pool.val) >= FEWEST_IMAGES


def choose_objects(segmenter: Segmenter, data: SegmentationData) -> Gain | None:
    """Learn a choice for a model, and note it in its description if it surely gains.

    Args:
        segmenter: The model with the settings that it keeps, on the device to predict on. A choice that it has, as that
            of a start that no epoch was better than, stays unless the new one surely gains over it.
        data: The data of its run.

    Returns:
        What it is worth; None where all stays as it is.
    """
    if not learns_choice(segmenter.spec, data):
        return None
    training, held_out = training_examples(data), held_out_examples(data, instances=True)
    found = learn(segmenter, training, held_out)
    if found is None:
        return None
    choice, gain = found
    segmenter.spec = replace(segmenter.spec, choice=choice, training=segmenter.spec.training | {CHOICE: asdict(gain)})
    return gain


def training_examples(data: SegmentationData) -> Iterable[Example]:
    """Yield at most `MOST_LEARNT` training images, spread over all, of no more pixels than those to validate on."""
    pool = data.pool
    room, chosen = sum(pool.areas(pool.val)), []
    for index in spread(pool.train, MOST_LEARNT):
        (area,) = pool.areas([index])
        if area <= room:
            room -= area
            chosen.append(index)
    return examples_of(data, chosen, instances=True)


def learn(segmenter: Segmenter, training: Iterable[Example], held_out: Iterable[Example]) -> tuple[Choice, Gain] | None:
    """Learn a choice on training images; return it with its gain on others, or None if it does not surely gain."""
    learnt = Learnt.together(_candidates(segmenter, example) for example in training)
    if len(learnt) < FEWEST_CANDIDATES:
        return None
    learnt = learnt.sample(MOST_CANDIDATES)
    choice = fit_choice(learnt)
    counts = np.stack([_count(segmenter, example, (segmenter.spec.choice, choice)) for example in held_out])
    right, _, missed = counts[:, 0, 0].sum(axis=0)
    images = len(counts)
    if right + missed < FEWEST_OBJECTS or not choose_surely(score_objects_pooled(counts), images, 0, SURE):
        return None
    (ap50, ap70) = pool_precisions(counts, np.ones((1, images)))[0].T.tolist()
    return choice, Gain(images, len(learnt), (ap50[0], ap50[1]), (ap70[0], ap70[1]))


def _candidates(segmenter: Segmenter, example: Example) -> Learnt:
    assert example.objects is not None
    return Learnt.of_image(_predict(segmenter, example), example.objects, example.unknown)


def _predict(segmenter: Segmenter, example: Example) -> NDArray[np.uint8]:
    """Return what labels are made of: probability and distance map (2, H, W), 0 outside of the mask."""
    outputs = predict_probabilities(segmenter, example.pixels)
    values = np.maximum(np.rint(outputs * LARGEST_PREDICTED), 1).astype(np.uint8)
    bands: NDArray[np.uint8] = values * (outputs[0] >= segmenter.spec.threshold)
    return bands


def _count(segmenter: Segmenter, example: Example, choices: Sequence[Choice | None]) -> NDArray[np.int64]:
    """Count objects (choices, IoUs, 3) of an image: right, wrong and missed ones at the IoUs of `PLACES`."""
    assert example.objects is not None
    bands, spec, counts = _predict(segmenter, example), segmenter.spec, []
    for choice in choices:
        method = by_predicted_distance(spec.min_confidence, choice=choice)
        rows = Labels([bands], bands.shape[1:], method=method, smallest=spec.smallest_object).rows()
        found = match_instances(np.concatenate(list(rows), axis=1)[0], example.objects, example.unknown)
        counts.append([(at.tp, at.fp, at.fn) for at in map(found.at, PLACES)])
    return np.array(counts, np.int64)
