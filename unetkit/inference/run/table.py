"""A table of the classes of whole images: a line for each image."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from time import monotonic

from unetkit.foundation.atomic import check_target, claimed, partial_file
from unetkit.foundation.errors import ConfigError, UnetkitError
from unetkit.inference.engine.ensemble import Ensemble
from unetkit.inference.run.classify import classify, predicted_label
from unetkit.inference.run.inputs import open_input
from unetkit.inference.run.outcome import Remarks, SegmentOutcome
from unetkit.inference.tiling.options import SegmentOptions
from unetkit.models.image_head import ImageClassifier


def tabulate(
    images: Sequence[Path], result: Path, ensemble: Ensemble, options: SegmentOptions, log: Callable[[str], None]
) -> tuple[list[SegmentOutcome], list[UnetkitError]]:
    """Write a table (.csv) of the probability of each image class.

    The columns are image, the path as it was named or found, one for each class, and predicted.

    Args:
        images: The images.
        result: The table.
        ensemble: The models, which classify whole images.
        options: The user's choices.
        log: Called with sentences for people.

    Returns:
        The classified images, and the errors of those that could not be.

    Raises:
        OutputError: The table exists or cannot be written.
        UnetkitError: A single image could not be classified.
    """
    overwrite = options.write.overwrite
    check_target(result, overwrite)
    with claimed(result):
        check_target(result, overwrite)  # another run may have ended just now
        done, failed = _classify_all(images, result, ensemble, options, log)
        if done:  # an empty table would only replace an existing one
            _write(result, ensemble.specs[0].image_classes, done)
    return done, failed


def _classify_all(
    images: Sequence[Path], result: Path, ensemble: Ensemble, options: SegmentOptions, log: Callable[[str], None]
) -> tuple[list[SegmentOutcome], list[UnetkitError]]:
    """Classify whole images. Return the classified ones, and the errors of the others."""
    classifiers = tuple(ImageClassifier(segmenter) for segmenter in ensemble.segmenters)
    threshold = ensemble.image_threshold(options.write.threshold)
    done: list[SegmentOutcome] = []
    failed: list[UnetkitError] = []
    for image in images:
        start, remarks = monotonic(), Remarks(log)
        try:
            with closing(open_input(image, ensemble, options, remarks)) as source:
                classes = classify(source, classifiers)
                pixels = source.info.pixels
        except UnetkitError as error:
            if len(images) == 1 or isinstance(error, ConfigError):
                raise
            failed.append(error)
        else:
            seconds, predicted = monotonic() - start, predicted_label(classes, threshold)
            done.append(
                SegmentOutcome(
                    image,
                    result,
                    pixels,
                    seconds=seconds,
                    image_classes=classes,
                    predicted=predicted,
                    remarks=remarks.taken,
                )
            )
    return done, failed


def _write(result: Path, classes: Sequence[str], done: Sequence[SegmentOutcome]) -> None:
    with (
        partial_file(result) as path,
        path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["image", *classes, "predicted"])
        table.writerows(
            [item.image, *(f"{p:.6f}" for p in item.image_classes.values()), item.predicted] for item in done
        )
