"""The model on each validation image: scores for the table of the run, and pictures of truth and prediction."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from unetkit.data.annotated import UNKNOWN
from unetkit.data.datamodule import SegmentationData
from unetkit.inference.array import predict_tiled
from unetkit.models.segmenter import Segmenter
from unetkit.report.pictures import MOST_ITEMS, ItemFields, validation_picture
from unetkit.report.run_folder import VALIDATION_PICTURE
from unetkit.report.validated import Picture, ValidatedImages
from unetkit.scoring.instances import InstanceCounts
from unetkit.scoring.pixels import count_pixels
from unetkit.scoring.table import OBJECT_SCORES, Scores, mean_scores, pixel_scores, scores_of


def show_images(segmenter: Segmenter, data: SegmentationData, objects: Sequence[InstanceCounts], folder: Path) -> None:
    """Predict each validation image once; write its scores, and pictures of some of them, into the run folder.

    Where no images are set aside, the first ones that were trained on are drawn, and no scores are written.

    Args:
        segmenter: The model.
        data: The data.
        objects: Objects counted in each validation image, of a model that tells them apart.
        folder: The run folder.

    Raises:
        OutputError: The files cannot be written.
    """
    spec = segmenter.spec
    images, held_out = data.val_items(), len(data.pool.val)
    validated = ValidatedImages(spec.classes - 1)
    drawn: list[ItemFields] = []
    device = str(next(segmenter.parameters()).device)
    for index in range(held_out or min(len(images), MOST_ITEMS)):
        item = images[index]
        pixels, truth = item["image"].numpy(), item["mask"].numpy()
        predicted = predict_tiled(pixels, segmenter, axes="CYX", device=device)
        predicted = predicted // 255 if spec.classes == 2 else predicted
        scores = score_mask(predicted, truth, spec.classes)
        if len(drawn) < MOST_ITEMS:
            drawn.append((item["name"], pixels, truth, predicted, scores.dice))
        own = _object_columns(objects[index]) if objects else {}
        validated.add(item["name"], {**scores, **own}, scores.dice, partial(Picture.of, pixels, truth, predicted))
    names = spec.class_names or [f"class {number}" for number in range(spec.classes)]
    validation_picture(folder / VALIDATION_PICTURE, drawn, names[1:])
    if held_out:
        validated.write(folder)


def score_mask(predicted: NDArray[Any], truth: NDArray[Any], classes: int) -> Scores:
    """Return the scores of a mask: of several classes their mean, as in training.

    Args:
        predicted: (H, W) class numbers.
        truth: (H, W) class numbers, `UNKNOWN` where nobody has annotated.
        classes: Number of classes, the background included.
    """
    unknown = truth == UNKNOWN
    ignored = unknown if unknown.any() else None
    return mean_scores(
        [
            pixel_scores(count_pixels(predicted == number, truth == number, ignored=ignored))
            for number in range(1, classes)
        ]
    )


def _object_columns(counts: InstanceCounts) -> dict[str, float]:
    """Return the columns of the objects of an image."""
    scores = scores_of([score for score in OBJECT_SCORES if score.validated], counts)
    return {**scores, "objects": counts.predicted, "true_objects": counts.true}
