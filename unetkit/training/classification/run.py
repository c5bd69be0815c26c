"""Training on labels of whole images, without masks: a run whose model classifies whole images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from lightning.pytorch import Trainer

from unetkit.data.labelled import LabelledData
from unetkit.data.places import name_of
from unetkit.drawing.cuts import flatten
from unetkit.foundation.console import log
from unetkit.foundation.errors import OutputError
from unetkit.models.image_head import ImageClassifier, decide
from unetkit.models.model_file import MODEL_FILE
from unetkit.models.segmenter import Segmenter, load_network, save_model
from unetkit.report.classified import ClassifiedItem, classified_picture
from unetkit.report.run.folder import SCORES_FILE, VALIDATION_PICTURE
from unetkit.report.run.validated import Picture, ValidatedImages
from unetkit.scoring.image_scores import ImageScores, outcome_names, score_images
from unetkit.scoring.table import IMAGE_SCORES, validated_names
from unetkit.training.classification.module import ClassificationModule
from unetkit.training.classification.report import remarks, report
from unetkit.training.classification.result import TARGET, ClassificationResult
from unetkit.training.run.loop import End, best_of, describe_run, run_training
from unetkit.training.run.training_run import TrainingRun
from unetkit.training.settings.tasks import FIT_LABELS


class ClassificationRun(TrainingRun):
    """A run of `fit` on labels of whole images alone."""

    settings = FIT_LABELS
    module = ClassificationModule
    data = LabelledData
    scores = validated_names(IMAGE_SCORES)
    target = TARGET

    def default_name(self) -> str:
        """Return the name of the list of labels."""
        return name_of(self.config.data.image_labels)

    def train(self, *, resume: bool) -> ClassificationResult:
        """Train, see `train_to_classify`."""
        return train_to_classify(self.trainer, self.model, self.datamodule, resume=resume)

    def remarks(self, result: ClassificationResult) -> list[str]:
        """Return sentences on what was measured at the end."""
        return remarks(result.details)

    def report(self, result: ClassificationResult) -> None:
        """Log what the run gave, and what to do with it."""
        report(result, self.datamodule)


def train_to_classify(
    trainer: Trainer, module: ClassificationModule, data: LabelledData, *, resume: bool = False
) -> ClassificationResult:
    """Train, and note the result in the model file.

    Args:
        trainer: From `make_trainer`, with the scores of whole images.
        module: What is trained.
        data: The labelled images.
        resume: Go on from the last whole epoch in the run folder.

    Raises:
        UnetkitError: The data or settings do not fit, or there is nothing to resume.
    """

    def finish(end: End) -> ClassificationResult:
        folder, keeper = Path(trainer.default_root_dir), best_of(trainer)
        path = folder / MODEL_FILE
        segmenter = load_network(path, trainer.strategy.root_device)
        segmenter.spec = replace(segmenter.spec, training=describe_run(trainer, data, **keeper.best_scores))
        save_model(segmenter, path)
        details = _score(segmenter, data, folder) if data.labelled.val else None
        return ClassificationResult(folder, path, keeper.best_epoch + 1, keeper.best_scores, end.interrupted, details)

    return run_training(trainer, module, data, finish, resume=resume)


@torch.inference_mode()
def _score(segmenter: Segmenter, data: LabelledData, folder: Path) -> ImageScores:
    """Score a model on the images to validate on, with its own threshold; write the scores, draw the worst images."""
    classifier, spec = ImageClassifier(segmenter), segmenter.spec
    device = next(classifier.parameters()).device
    probabilities, labels = [], []
    for batch in data.labelled.val_batches(data.batch_size):
        whole = (batch[name].to(device) for name in ("whole", "whole_center", "whole_scale"))
        probabilities.append(classifier(*whole).cpu())
        labels.append(batch["label"])
    given, truth = torch.cat(probabilities), torch.cat(labels)
    scores = score_images(given, truth, spec.image_classes, spec.image_threshold)
    names, chosen = outcome_names(spec.image_classes), decide(given, spec.image_threshold).tolist()
    each = torch.cat([1 - given, given], dim=1) if len(spec.image_classes) == 1 else given
    items = [
        ClassifiedItem(
            image.path.name,
            flatten(image.pixels, image.spacing),
            names[image.label],
            names[outcome],
            float(row[image.label]),
        )
        for image, outcome, row in zip(data.labelled.val, chosen, each, strict=True)
    ]
    try:
        scores.write_json(folder / SCORES_FILE)
        classified_picture(folder / VALIDATION_PICTURE, items)
        _show_images(items, folder)
    except OutputError as error:
        log(f"There are no scores of images: {error.problem} {error.remedy}")
    return scores


def _show_images(items: Sequence[ClassifiedItem], folder: Path) -> None:
    """Write what each image shows and what it is classified as, and pictures of some of them, into the run folder."""
    validated = ValidatedImages()
    for item in items:
        row: dict[str, float | str] = {
            "truth": item.truth,
            "predicted": item.predicted,
            "probability": item.probability,
        }
        validated.add(item.name, row, item.probability, partial(Picture.of, item.pixels))
    validated.write(folder)
