"""What a run on labels of whole images leaves."""

from __future__ import annotations

from dataclasses import dataclass

from unetkit.scoring.image_scores import ImageScores
from unetkit.training.run.result import RunResult

SCORES_FILE = "scores.json"
"""The scores of each class and the confusion table, in a run folder."""

PICTURE_FILE = "validation.png"
"""Picture of the images that are classified worst, in a run folder."""

TARGET = "classes.csv --output classes"
"""What `segment` is to write."""


@dataclass(frozen=True)
class ClassificationResult(RunResult):
    """What a run left.

    Attributes:
        details: The scores for each class, and the confusion table; None without validation images.
    """

    details: ImageScores | None
