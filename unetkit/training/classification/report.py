"""What is logged at the end of a run on labels of whole images."""

from __future__ import annotations

from pathlib import Path

from unetkit.data.labelled import LabelledData
from unetkit.foundation import shell
from unetkit.foundation.console import log, show
from unetkit.report.run.folder import SCORES_FILE, VALIDATION_PICTURE
from unetkit.scoring.image_scores import ImageScores
from unetkit.scoring.table import VALIDATED
from unetkit.training.classification.result import TARGET, ClassificationResult
from unetkit.training.run.result import log_best, log_how_to_go_on, log_page


def report(result: ClassificationResult, data: LabelledData) -> None:
    """Log what the run gave, and what to do with it."""
    if result.interrupted:
        log_how_to_go_on("fit", result.folder)
    scores = "".join(f", {VALIDATED[name].in_full} {score:.4f}" for name, score in result.scores.items())
    log_best(result.model_file, result.epoch, scores and f", on the validation images{scores.replace(',', ':', 1)}")
    if result.details is not None:
        _report_details(result.details, result.folder)
    log_page(result.report)
    image, model = shell.quote(str(data.example_image())), shell.quote(str(result.model_file))
    log(f"Try it: unetkit segment {image} {TARGET} --model {model}")


def remarks(details: ImageScores | None) -> list[str]:
    """Return sentences on what was measured of the model."""
    if details is None or details.threshold is None:
        return []
    return [
        f"An image shows {details.classes[1].name} from a probability of {details.threshold:.3g} on: sensitivity and "
        "specificity on these images have their largest sum there (stored in the model)."
    ]


def _report_details(details: ImageScores, folder: Path) -> None:
    """Log the scores of the validation images."""
    show(details.table())
    for sentence in remarks(details):
        log(sentence)
    log(f"Scores: {folder / SCORES_FILE}. Images that are classified worst: {folder / VALIDATION_PICTURE}")
