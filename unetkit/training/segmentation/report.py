"""What is logged at the end of a run on masks."""

from __future__ import annotations

from lightning.pytorch import Trainer

from unetkit.data.datamodule import SegmentationData
from unetkit.foundation import shell
from unetkit.foundation.console import log
from unetkit.report.calibration import describe_calibration
from unetkit.report.choice import describe_choice
from unetkit.report.run.folder import VALIDATION_PICTURE
from unetkit.scoring.table import IMAGE_SCORES, VALIDATED, validated_names
from unetkit.training.run.budget import budget_of, spell_use
from unetkit.training.run.result import log_best, log_how_to_go_on, log_page
from unetkit.training.segmentation.result import SegmentationResult


def report(result: SegmentationResult, trainer: Trainer, data: SegmentationData) -> None:
    """Log what the run gave, and what to do with it."""
    if result.interrupted:
        log_how_to_go_on("fit", result.folder)
    score = "" if result.dice is None else f", mean validation Dice {result.dice:.4f}"
    log_best(result.model_file, result.epoch, score)
    for sentence in remarks(result, data):
        log(sentence)
    if (result.folder / VALIDATION_PICTURE).is_file():
        log(f"Picture of images with truth and prediction: {result.folder / VALIDATION_PICTURE}")
    log_page(result.report)
    example = shell.quote(str(data.example_image()))
    log(f"Try it: unetkit segment {example} mask.tif --model {shell.quote(str(result.model_file))}")
    keeper = budget_of(trainer)
    if keeper is not None:
        log(spell_use(keeper, data.covering(), trainer.current_epoch))


def remarks(result: SegmentationResult, data: SegmentationData) -> list[str]:
    """Return sentences on what was measured of the model."""
    found = [result.compared] if result.compared else []
    if "val_image_auroc" in result.scores:
        shown = ", ".join(
            f"{VALIDATED[name].short} {result.scores[name]:.3f}"
            for name in validated_names(IMAGE_SCORES)
            if name in result.scores
        )
        found.append(f"Its classes of whole validation images: {shown}.")
    if "val_ap50" in result.scores:
        ap, f1, pq = (result.scores[name] for name in ("val_ap50", "val_f1", "val_pq"))
        found.append(f"Its objects on these images, pooled: AP {ap:.3f} and F1 {f1:.3f} at an IoU of 0.5, PQ {pq:.3f}.")
    if result.halo is None:
        found.append(
            "Its halo was not measured, so `segment` takes a usual one; a run that ends by itself measures it."
        )
    else:
        found.append(
            f"A halo of {result.halo.halo} pixels changes {result.halo.error * 1e4:.2g} in 10,000 mask pixels "
            f"(measured, stored in the model)."
        )
    if result.calibration is not None:
        found.append(describe_calibration(result.calibration))
    if result.choice is not None:
        found.append(describe_choice(result.choice))
    smallest = data.smallest_object()
    if smallest.pixels:
        found.append(
            f"Labels leave out objects of fewer than {smallest.pixels} pixels, as are {smallest.smaller:,} of the "
            f"{smallest.objects:,} trained on (measured, stored in the model)."
        )
    return found
