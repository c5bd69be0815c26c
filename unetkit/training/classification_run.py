"""`unetkit fit` with labels of whole images and no masks: to a run folder with a model that judges whole images."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path

from lightning.pytorch import Trainer

from unetkit.data.labelled import LabelledData
from unetkit.data.places import name_of
from unetkit.models.segmenter import MODEL_FILE, load_network, save_model
from unetkit.report.console import say
from unetkit.training.classification import ClassificationModule
from unetkit.training.command import RunCLI
from unetkit.training.cross_validation import CrossValidation
from unetkit.training.fold_runs import FoldCLI, fit_folds
from unetkit.training.keys import FIT_LABELS
from unetkit.training.run import End, best_of, describe_run, quiet_lightning, run_training, say_best

SCORES = ("val_image_auroc", "val_image_accuracy")

TARGET = "classes.csv --output classes"
"""What `segment` is told to write."""


class ClassificationCLI(RunCLI):
    """The command line of `fit` where there are labels of whole images and no masks."""

    settings = FIT_LABELS
    module = ClassificationModule
    data = LabelledData
    scores = SCORES

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
        epoch: Number of the epoch that the model is from, the first being 1.
        interrupted: Whether the run was stopped before its end.
    """

    folder: Path
    model: Path
    scores: dict[str, float]
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
        trainer: From `make_trainer`, with `SCORES`.
        module: What is trained.
        data: The labelled images.
        resume: Go on from the last whole epoch in the run folder.

    Raises:
        UnetkitError: The data or settings do not fit, or there is nothing to resume.
    """

    def finish(end: End) -> ClassificationResult:
        folder, keeper = Path(trainer.default_root_dir), best_of(trainer)
        path = folder / MODEL_FILE
        segmenter = load_network(path)
        segmenter.spec = replace(segmenter.spec, training=describe_run(trainer, data, **keeper.best_scores))
        save_model(segmenter, path)
        return ClassificationResult(folder, path, keeper.best_scores, keeper.best_epoch + 1, end.interrupted)

    return run_training(trainer, module, data, finish, resume=resume)


def _report(result: ClassificationResult, data: LabelledData) -> None:
    """Say what the run gave, and what to do with it."""
    if result.interrupted:
        say(f"Stopped. Go on with: unetkit fit --resume {shlex.quote(str(result.folder))}")
    words = {"val_image_auroc": "area under the ROC curve", "val_image_accuracy": "accuracy"}
    scores = "".join(f", validation {words[name]} {score:.4f}" for name, score in result.scores.items())
    say_best(result.model, result.epoch, scores)
    image, model = shlex.quote(str(data.example_image())), shlex.quote(str(result.model))
    say(f"Try it: unetkit segment {image} {TARGET} --model {model}")
