"""A table of the classes of whole images: a line for each image."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
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

Classifying = Callable[[Sequence[Path]], Iterator[SegmentOutcome | UnetkitError]]
"""Yields the outcome of each image, or its error, in their order."""


def tabulate(
    images: Sequence[Path], result: Path, classifying: Classifying, overwrite: bool
) -> tuple[list[SegmentOutcome], list[UnetkitError]]:
    """Write a table (.csv) of the probability of each image class.

    The columns are image, the path as it was named or found, one for each class, and predicted.

    Args:
        images: The images.
        result: The table.
        classifying: Classifies images: yields the outcome or the error of each, in their order.
        overwrite: Whether an existing table is replaced.

    Returns:
        The classified images, and the errors of those that could not be.

    Raises:
        OutputError: The table exists or cannot be written.
        UnetkitError: A single image could not be classified.
    """
    check_target(result, overwrite)
    with claimed(result):
        check_target(result, overwrite)  # another run may have ended just now
        done: list[SegmentOutcome] = []
        failed: list[UnetkitError] = []
        for found in classifying(images):
            if isinstance(found, SegmentOutcome):
                done.append(replace(found, result=result))
            elif len(images) == 1 or isinstance(found, ConfigError):
                raise found
            else:
                failed.append(found)
        if done:  # an empty table would only replace an existing one
            _write(result, list(done[0].image_classes), done)
    return done, failed


class TableRun:
    """Classifies whole images.

    Args:
        ensemble: The models, loaded.
        options: The user's choices.
        log: Called with sentences for people.
    """

    def __init__(self, ensemble: Ensemble, options: SegmentOptions, log: Callable[[str], None]) -> None:
        self._ensemble = ensemble
        self._options = options
        self._log = log
        self._classifiers = tuple(ImageClassifier(segmenter) for segmenter in ensemble.segmenters)
        self._threshold = ensemble.image_threshold(options.write.threshold)

    def all(self, images: Sequence[Path]) -> Iterator[SegmentOutcome | UnetkitError]:
        """Yield the outcome of each image, or its error."""
        for image in images:
            try:
                yield self.do(image)
            except UnetkitError as error:
                yield error

    def do(self, image: Path) -> SegmentOutcome:
        """Classify an image. The outcome names no table.

        Raises:
            UnetkitError: The image cannot be read or does not fit the models.
        """
        start, remarks = monotonic(), Remarks(self._log)
        with closing(open_input(image, self._ensemble, self._options, remarks)) as source:
            classes = classify(source, self._classifiers)
            pixels = source.info.pixels
        return SegmentOutcome(
            image,
            image,
            pixels,
            seconds=monotonic() - start,
            image_classes=classes,
            predicted=predicted_label(classes, self._threshold),
            remarks=remarks.taken,
        )


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
