"""The model on each validation image: scores for the table of the run, and pictures of truth and prediction."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.data.annotated import UNKNOWN
from unetkit.data.datamodule import SegmentationData
from unetkit.data.dataset import NamedItem
from unetkit.drawing.cuts import plan_cuts
from unetkit.models.segmenter import Segmenter
from unetkit.report.pictures import MOST_ITEMS, ItemFields, validation_picture
from unetkit.report.run.folder import VALIDATION_PICTURE
from unetkit.report.run.validated import Picture, ValidatedImages, keep_apart
from unetkit.scoring.instances import InstanceCounts
from unetkit.scoring.pixels import count_pixels, count_voxels
from unetkit.scoring.table import OBJECT_SCORES, VOXEL_SCORES, Scores, mean_scores, pixel_scores, scores_of
from unetkit.training.segmentation.objects import find_objects
from unetkit.training.segmentation.predicting import predict_item


@dataclass
class Looked:
    """What a model does with the validation images.

    Attributes:
        validated: Scores and pictures.
        drawn: The first images.
        objects: Objects counted in each image, of a model that tells them apart.
        held_out: Whether the images were set aside; if not, they were trained on.
        class_names: Names of the classes but the background.
    """

    validated: ValidatedImages
    held_out: bool
    class_names: tuple[str, ...]
    drawn: list[ItemFields] = field(default_factory=list)
    objects: list[InstanceCounts] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        """Write the scores, and pictures of some images, into the run folder.

        Raises:
            OutputError: The files cannot be written.
        """
        validation_picture(folder / VALIDATION_PICTURE, self.drawn, self.class_names)
        if self.held_out:
            self.validated.write(folder)


def look_at_images(segmenter: Segmenter, data: SegmentationData) -> Looked:
    """Predict each validation image; where none are set aside, the first ones that were trained on."""
    spec = segmenter.spec
    names = spec.class_names or tuple(f"class {number}" for number in range(spec.classes))
    images, held_out = data.val_items(), len(data.pool.val)
    looked = Looked(ValidatedImages(spec.classes - 1), held_out > 0, tuple(names[1:]))
    for place in range(held_out or min(len(images), MOST_ITEMS)):
        item = images[place]
        objects = data.targets.objects(data.pool.val[place]) if held_out and spec.instances else None
        _look(looked, segmenter, item, objects)
    return looked


def _look(looked: Looked, segmenter: Segmenter, item: NamedItem, objects: NDArray[Any] | None) -> None:
    """Predict an image and take it in; `objects` (...) are the true ones, of a model that tells them apart."""
    spec = segmenter.spec
    pixels, truth = item["image"].numpy(), item["mask"].numpy()
    predicted = predict_item(segmenter, pixels)
    predicted = predicted // 255 if spec.classes == 2 else predicted
    scores = score_mask(predicted, truth, spec.classes)
    columns: dict[str, float] = {**scores}
    pixels = pixels[spec.middle]  # what is drawn of an image with its neighbours
    labels = None
    if objects is not None:
        labels, counts = find_objects(segmenter, item, objects)
        looked.objects.append(counts)
        columns |= scores_of([score for score in OBJECT_SCORES if score.validated], counts)
        columns |= {"objects": counts.predicted, "true_objects": counts.true}
    if truth.ndim > 2:  # three cuts are looked at
        cuts = plan_cuts(truth.shape, truth > 0, spec.pixel_size_um)
        pixels, truth, predicted = cuts.of(pixels, pixels.min()), cuts.of(truth), cuts.of(predicted)
        objects, labels = (None if each is None else cuts.of(each) for each in (objects, labels))
    if len(looked.drawn) < MOST_ITEMS:
        looked.drawn.append((item["name"], pixels, truth, predicted, scores.dice))
    if objects is not None and labels is not None:
        truth, predicted = np.where(truth == UNKNOWN, UNKNOWN, keep_apart(objects)), keep_apart(labels)
    looked.validated.add(item["name"], columns, scores.dice, partial(Picture.of, pixels, truth, predicted))


def score_mask(predicted: NDArray[Any], truth: NDArray[Any], classes: int) -> Scores:
    """Return the scores of a mask: of several classes their mean, as in training.

    Args:
        predicted: (...) class numbers.
        truth: (...) class numbers, `UNKNOWN` where nobody has annotated.
        classes: Number of classes, the background included.
    """
    unknown = truth == UNKNOWN
    ignored = unknown if unknown.any() else None
    masks = [(predicted == k, truth == k) for k in range(1, classes)]
    if truth.ndim > 2:  # boundaries are those of planes
        return mean_scores([Scores(scores_of(VOXEL_SCORES, count_voxels(*each, ignored))) for each in masks])
    return mean_scores([pixel_scores(count_pixels(*each, ignored=ignored)) for each in masks])
