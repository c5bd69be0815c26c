"""`unetkit fit` with labels of whole images and no masks: to a run folder with a model that judges whole images."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import Trainer

from unetkit.data.labelled import LabelledData
from unetkit.models.segmenter import MODEL_FILE, load_network, save_model
from unetkit.planning.plan import name_of
from unetkit.report.console import say
from unetkit.training.classification import ClassificationModule
from unetkit.training.command import RunCLI
from unetkit.training.cross_validation import CrossValidation
from unetkit.training.fold_runs import FoldCLI, fit_folds
from unetkit.training.run import End, best_of, describe_run, quiet_lightning, run_training, say_best, say_how_to_go_on

SCORES = ("val_image_auroc", "val_image_accuracy")

TARGET = "classes.csv --output classes"
"""What `segment` is told to write."""

DESCRIPTION = """Train a network on labels of whole images, without masks.

  unetkit fit --data.image_labels films.csv --model.image_classes [pneumonia]

The run folder runs/NAME gets the resolved config, model.safetensors (the best by the area under the ROC curve over the
validation images), last.ckpt to resume from, and metrics.csv. With --data.folds 5 it gets a run folder for each fold,
and cross_validation.json with the mean and spread of their validation scores.
"""


class ClassificationCLI(RunCLI):
    """The command line of `fit` where there are labels of whole images and no masks."""

    verb = "fit"
    description = DESCRIPTION
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


def has_labels_alone(args: list[str]) -> bool:
    """Say whether the arguments of `fit` name labels of whole images (data.image_labels), and no masks (data.train)."""
    given = {arg.removeprefix("--").split("=", 1)[0] for arg in args if arg.startswith("--")}
    given |= {f"data.{key}" for path in _configs(args) for key in _keys(path, "data")}
    return "data.image_labels" in given and "data.train" not in given


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
        say_how_to_go_on("fit", result.folder)
    words = {"val_image_auroc": "area under the ROC curve", "val_image_accuracy": "accuracy"}
    scores = "".join(f", validation {words[name]} {score:.4f}" for name, score in result.scores.items())
    say_best(result.model, result.epoch, scores)
    image, model = shlex.quote(str(data.example_image())), shlex.quote(str(result.model))
    say(f"Try it: unetkit segment {image} {TARGET} --model {model}")


def _configs(args: list[str]) -> Iterator[str]:
    """Yield the configuration files that arguments name."""
    for arg, following in pairwise([*args, ""]):
        if arg == "--config":
            yield following
        elif arg.startswith("--config="):
            yield arg.removeprefix("--config=")


def _keys(path: str, group: str) -> list[str]:
    """Return the keys that a configuration file sets in a group; none if it cannot be read, which the parser says."""
    try:
        content: Any = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        return [key for key, value in content[group].items() if value is not None]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, LookupError, TypeError, AttributeError):
        return []
