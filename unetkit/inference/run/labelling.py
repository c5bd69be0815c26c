"""From predicted bands to labels and their files. It is imported only for labels, which need OpenCV and its memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetkit.foundation.atomic import make_folder
from unetkit.inference.run.jobs import Job
from unetkit.inference.run.objects import class_names, frame_of, kept_rows, open_objects
from unetkit.inference.run.output import WholeBands
from unetkit.inference.run.recipe import Recipe
from unetkit.io.base.contracts import OutputSpec
from unetkit.io.files import create_sink, image_stem
from unetkit.objects.summary import Summary
from unetkit.postprocess.components import CONNECTED
from unetkit.postprocess.joined import Numbered
from unetkit.postprocess.labels import Labels
from unetkit.postprocess.method import Method
from unetkit.postprocess.predicted_distance import by_predicted_distance
from unetkit.postprocess.split_by_distance import by_distance
from unetkit.postprocess.split_by_probability import by_probability


def make_labels(bands: Sequence[NDArray[np.uint8]], recipe: Recipe) -> Labels:
    """Label the objects in the predictions of models, by the best method for these models.

    Args:
        bands: Masks (1, h, width), of volumes (1, d, height, width); or probabilities and distance maps within the mask
            (2, ...) of models with instances; or class numbers (1, ...) of models with several classes.
        recipe: The decisions about the image.
    """
    return Labels(
        WholeBands(bands, recipe),
        recipe.info.size,
        method=method_of(recipe),
        smallest=recipe.smallest,
        classes=recipe.ensemble.classes,
    )


def method_of(recipe: Recipe) -> Method:
    """Return how the objects of an image are separated."""
    volume = len(recipe.info.size) > 2
    spacing = (recipe.info.pixel_size_um or (1.0,) * len(recipe.info.size)) if volume else None
    if recipe.min_confidence is not None:
        choice = None if volume else recipe.ensemble.choice
        usual = recipe.ensemble.min_confidence
        strictness = min(1.0, recipe.min_confidence / usual) if usual else 1.0
        return by_predicted_distance(recipe.min_confidence, spacing=spacing, choice=choice, strictness=strictness)
    if recipe.options.write.close is not None:
        return by_probability(recipe.options.write.close, spacing)
    return by_distance(spacing) if recipe.options.write.split else CONNECTED


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

    def write(rows: Iterator[NDArray[Any]]) -> None:
        if job.is_kept:
            deque(kept_rows(job.result, rows, recipe.output), maxlen=0)
            return
        output = labelled_output(job.result, labels, recipe, log)
        create_sink(job.result, output, overwrite=recipe.options.write.overwrite).write(rows)

    rows = labels.rows()
    if recipe.back is not None:  # numbered as the models saw them, measured and written in the pixels of the image
        rows = recipe.back.rows(rows, recipe.info.planes)
    return labels.count, write_objects(job, labels, rows, recipe, write, log)


def write_objects(
    job: Job,
    labels: Numbered,
    rows: Iterator[NDArray[Any]],
    recipe: Recipe,
    write: Callable[[Iterator[NDArray[Any]]], None],
    log: Callable[[str], None],
) -> Summary | None:
    """Write the files of objects from the rows of labels on their way to a file.

    Args:
        job: The image and its files.
        labels: What is known of the objects.
        rows: The labels (1, h, width), of volumes (1, d, height, width), in order.
        recipe: The decisions about the image.
        write: Takes the rows.
        log: Called with sentences for people.

    Returns:
        What the objects amount to; None where they are not measured.

    Raises:
        UnetkitError: A file cannot be written.
    """
    if not job.new_files:
        write(rows)
        return None
    for path in job.new_files:
        make_folder(path.parent)
    summary = Summary(image_stem(job.image), frame_of(recipe.output))
    with open_objects(job, labels, recipe, summary, log) as objects:
        write(objects.watch(rows))
    return summary


def labelled_output(result: Path, labels: Numbered, recipe: Recipe, log: Callable[[str], None]) -> OutputSpec:
    """Return the output of labels: their type is known, and which are of which class, which is logged, too."""
    output = replace(recipe.output, dtype=np.dtype(labels.dtype))
    if classes := describe_object_classes(labels, recipe):
        log(f"{result}: the numbers of the objects are, by class: {classes}.")
        output = replace(output, notes=(*output.notes, ("object_classes", classes)))
    return output


def describe_object_classes(labels: Numbered, recipe: Recipe) -> str:
    """Return the labels of each class, for example "tumour 1-120, stroma 121-300"; "" where there is one class."""
    if recipe.ensemble.classes == 1:
        return ""
    parts, first = [], 1
    for name, last in zip(class_names(recipe.ensemble), labels.last, strict=True):
        parts.append(f"{name} {first}-{last}" if last >= first else f"{name} none")
        first = last + 1
    return ", ".join(parts)
