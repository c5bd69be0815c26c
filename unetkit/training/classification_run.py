"""`unetkit fit` with labels of whole images and no masks: to a run folder with a model that judges whole images."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from lightning.pytorch import Trainer

from unetkit.data.labelled import LabelledData
from unetkit.data.places import name_of
from unetkit.foundation.console import log, show
from unetkit.models.image_head import ImageClassifier, decide
from unetkit.models.segmenter import MODEL_FILE, Segmenter, load_network, save_model
from unetkit.report.judged import JudgedItem, judged_picture
from unetkit.scoring.image_scores import ImageScores, outcome_names, score_images
from unetkit.scoring.table import IMAGE_SCORES, VALIDATED, validated_names
from unetkit.training.classification import ClassificationModule
from unetkit.training.command import RunCLI
from unetkit.training.cross_validation import CrossValidation
from unetkit.training.fold_runs import FoldCLI, fit_folds
from unetkit.training.keys import FIT_LABELS
from unetkit.training.run import (
    PICTURE_FILE,
    End,
    best_of,
    describe_run,
    quiet_lightning,
    run_training,
    say_best,
    say_how_to_go_on,
)

SCORES_FILE = "scores.json"

TARGET = "classes.csv --output classes"
"""What `segment` is told to write."""


class ClassificationCLI(RunCLI):
    """The command line of `fit` where there are labels of whole images and no masks."""

    settings = FIT_LABELS
    module = ClassificationModule
    data = LabelledData
    scores = validated_names(IMAGE_SCORES)

    def default_name(self) -> str:
        """Return the name of the list of labels."""
        return name_of(self.config.data.image_labels)


class ClassificationFoldCLI(FoldCLI, ClassificationCLI):
    """The command line of one fold."""


@dataclass(frozen=True)
class ClassificationResult:
    """What a run left.

    Attributes:
        folder: The run folder.
        model: The model file.
        scores: Scores of the model over the validation images, named as in metrics.csv; empty without them.
        details: The same for each class, and the confusion table; None without validation images.
        epoch: Number of the epoch that the model is from, the first being 1.
        interrupted: Whether the run was stopped before its end.
    """

    folder: Path
    model: Path
    scores: dict[str, float]
    details: ImageScores | None
    epoch: int
    interrupted: bool


def fit_labels(args: list[str], *, resume: bool) -> ClassificationResult | CrossValidation:
    """Train as the command line says: one run, or one for each fold.

    Args:
        args: What follows `unetkit fit` on the command line.
        resume: Go on from the last whole epoch in the run folder.

    Raises:
        UnetkitError: The settings or the data do not fit, or there is nothing to resume.
    """
    with quiet_lightning():
        cli = ClassificationCLI(args)
        if cli.datamodule.fold == "all":
            return fit_folds(cli, args, ClassificationFoldCLI, train_to_classify, TARGET)
        result = train_to_classify(cli.trainer, cli.model, cli.datamodule, resume=resume)
    _report(result, cli.datamodule)
    return result


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
        details = _judge(segmenter, data, folder) if data.labelled.val else None
        return ClassificationResult(folder, path, keeper.best_scores, details, keeper.best_epoch + 1, end.interrupted)

    return run_training(trainer, module, data, finish, resume=resume)


@torch.inference_mode()
def _judge(segmenter: Segmenter, data: LabelledData, folder: Path) -> ImageScores:
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
    scores.write_json(folder / SCORES_FILE)
    names, chosen = outcome_names(spec.image_classes), decide(given, spec.image_threshold).tolist()
    each = torch.cat([1 - given, given], dim=1) if len(spec.image_classes) == 1 else given
    items = [
        JudgedItem(image.path.name, image.pixels, names[image.label], names[judged], float(row[image.label]))
        for image, judged, row in zip(data.labelled.val, chosen, each, strict=True)
    ]
    judged_picture(folder / PICTURE_FILE, items)
    return scores


def _report(result: ClassificationResult, data: LabelledData) -> None:
    """Say what the run gave, and what to do with it."""
    if result.interrupted:
        say_how_to_go_on("fit", result.folder)
    scores = "".join(f", {VALIDATED[name].in_full} {score:.4f}" for name, score in result.scores.items())
    say_best(result.model, result.epoch, scores and f", on the validation images{scores.replace(',', ':', 1)}")
    if result.details is not None:
        _report_details(result.details, result.folder)
    image, model = shlex.quote(str(data.example_image())), shlex.quote(str(result.model))
    log(f"Try it: unetkit segment {image} {TARGET} --model {model}")


def _report_details(details: ImageScores, folder: Path) -> None:
    """Say what the validation images gave."""
    show(details.table())
    if details.threshold is not None:
        name = details.classes[1].name
        log(
            f"An image shows {name} from a probability of {details.threshold:.3g} on: sensitivity and specificity on "
            "these images have their largest sum there (stored in the model)."
        )
    log(f"Scores: {folder / SCORES_FILE}. Picture of the images that are judged worst: {folder / PICTURE_FILE}")
