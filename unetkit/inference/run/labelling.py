"""From predicted bands to labels and their files. It is imported only for labels, which need OpenCV and its memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.atomic import make_folder
from unetkit.inference.run.jobs import Job
from unetkit.inference.run.objects import class_names, frame_of, kept_rows, open_objects
from unetkit.inference.run.recipe import Recipe
from unetkit.io.files import create_sink, image_stem
from unetkit.objects.summary import Summary
from unetkit.postprocess.components import CONNECTED
from unetkit.postprocess.joined import Numbered
from unetkit.postprocess.labels import Labels
from unetkit.postprocess.predicted_distance import by_predicted_distance
from unetkit.postprocess.split_by_distance import BY_DISTANCE


def make_labels(bands: Sequence[NDArray[np.uint8]], recipe: Recipe) -> Labels:
    """Label the objects in the predictions of models, by the best method for these models.

    Args:
        bands: Masks (1, h, width); or masks and distance maps (2, h, width) of models with instances; or class numbers
            (1, h, width) of models with several classes.
        recipe: The decisions about the image.
    """
    confidence, smallest = recipe.min_confidence, recipe.min_size or 0
    without_map = BY_DISTANCE if recipe.options.write.split else CONNECTED
    method = without_map if confidence is None else by_predicted_distance(confidence)
    return Labels(bands, recipe.info.height, method=method, smallest=smallest, classes=recipe.ensemble.classes)


def write_labels(
    job: Job, bands: Sequence[NDArray[np.uint8]], recipe: Recipe, log: Callable[[str], None]
) -> tuple[int, Summary | None]:
    """Label the objects of an image, and write the labels and all files of its objects.

    Args:
        job: The image and its files.
        bands: See `make_labels`.
        recipe: The decisions about the image.
        log: Called with sentences for people.

    Returns:
        The number of objects, and what they amount to where they are measured.

    Raises:
        UnetkitError: A file cannot be written. The labels are written all the same if their own file can be.
    """
    labels = make_labels(bands, recipe)
    if not job.new_files:
        _write(job, labels, recipe, labels.rows(), log)
        return labels.count, None
    for path in job.new_files:
        make_folder(path.parent)
    summary = Summary(image_stem(job.image), frame_of(recipe.info))
    with open_objects(job, labels, recipe, summary, log) as objects:
        _write(job, labels, recipe, objects.watch(labels.rows()), log)
    return labels.count, summary


def _write(
    job: Job,
    labels: Labels,
    recipe: Recipe,
    rows: Iterator[NDArray[Any]],
    log: Callable[[str], None],
) -> None:
    """Write the rows of labels, or compare them with those that are there already."""
    if job.is_kept:
        for _ in kept_rows(job.result, rows, recipe.info):
            pass
        return
    output = replace(recipe.output, dtype=np.dtype(labels.dtype))
    if classes := describe_object_classes(labels, recipe):
        output = replace(output, notes=(*output.notes, ("object_classes", classes)))
        log(f"{job.result}: the numbers of the objects are, by class: {classes}.")
    create_sink(job.result, output, overwrite=recipe.options.write.overwrite).write(rows)


def describe_object_classes(labels: Numbered, recipe: Recipe) -> str:
    """Return the labels of each class, for example "tumour 1-120, stroma 121-300"; "" where there is one class."""
    if recipe.ensemble.classes == 1:
        return ""
    parts, first = [], 1
    for name, last in zip(class_names(recipe.ensemble), labels.last, strict=True):
        parts.append(f"{name} {first}-{last}" if last >= first else f"{name} none")
        first = last + 1
    return ", ".join(parts)
