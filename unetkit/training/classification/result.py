"""The result of a run on labels of whole images."""

from __future__ import annotations

from dataclasses import dataclass

from unetkit.scoring.image_scores import ImageScores
from unetkit.training.run.result import RunResult

TARGET = "classes.csv --output classes"
"""File and options for the command `segment` in messages."""


@dataclass(frozen=True)
class ClassificationResult(RunResult):
    """The result of a run on labels of whole images.

    Attributes:
        details: The scores for each class, and the confusion table; None without validation images.
    """

    details: ImageScores | None
