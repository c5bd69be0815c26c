"""`unetkit fit`: LightningCLI over one module and one data module."""

from __future__ import annotations

import shlex
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser

from unetkit.commandline.parsing import parse
from unetkit.data.datamodule import SegmentationData
from unetkit.data.places import name_of
from unetkit.data.store import ImageStore
from unetkit.foundation.console import log
from unetkit.foundation.errors import ConfigError
from unetkit.planning.plan import make_plan
from unetkit.planning.write import describe, settings_of
from unetkit.scoring.table import IMAGE_SCORES, VALIDATED, validated_names
from unetkit.training.budget import budget_of, spell_use
from unetkit.training.callbacks import SCORES
from unetkit.training.classification_run import ClassificationResult, fit_labels
from unetkit.training.command import RunCLI
from unetkit.training.cross_validation import CrossValidation, fold_folder
from unetkit.training.fold_runs import FoldCLI, fit_folds
from unetkit.training.keys import CONFIG_FILE, FIT, check_names_data, has_labels_alone
from unetkit.training.module import SegmentationModule
from unetkit.training.run import PICTURE_FILE, RunResult, quiet_lightning, say_best, say_how_to_go_on, train


class FitCLI(RunCLI):
    """The command line of `fit`."""

    settings = FIT
    module = SegmentationModule
    data = SegmentationData
    scores = SCORES

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse; without a config, choose what is not given."""
        super().parse_arguments(parser, args)
        self.store = self.image_store()
        self.planned = bool(self.config.plan and not self.config.config)
        if self.planned:
            parser.set_defaults(
                _plan(parser.parse_args(args, defaults=False), self.config.minutes, self.began, self.store)
            )
            self.config = parse(parser, args)
            self.end_by_time(parser, args)

    def instantiate_classes(self) -> None:
        """Build what the settings describe; the data take what planning has decoded."""
        super().instantiate_classes()
        self.datamodule.use_store(self.store)

    def image_store(self) -> ImageStore:
        """Return what keeps the decoded images."""
        return ImageStore()

    def default_name(self) -> str:
        """Return the name of the folder of the data."""
        return name_of(self.config.data.train)


class FitFoldCLI(FoldCLI, FitCLI):
    """The command line of one fold."""

    whole: FitCLI

    def image_store(self) -> ImageStore:
        """Return that of the whole cross-validation: the folds have the same images."""
        return self.whole.store


def fit(args: list[str], began: float | None = None) -> RunResult | CrossValidation | ClassificationResult:
    """Train as the command line says: one run, or one for each fold; or one on labels of whole images alone.

    Args:
        args: What follows `unetkit fit` on the command line.
        began: When the command began, by the monotonic clock; by default now.

    Raises:
        UnetkitError: The settings or the data do not fit, or there is nothing to resume.
    """
    check_names_data(args)
    resume = FitCLI.resumed(args)
    if resume is not None:
        if fold_folder(resume, 0).is_dir() and len(args) > (2 if "--resume" in args else 1):
            raise ConfigError(
                f"{resume} is a cross-validation, whose folds must all be trained alike.",
                "Give --resume without any other setting.",
            )
        args = ["--config", str(resume / CONFIG_FILE), *args]
    if has_labels_alone(args):
        return fit_labels(args, resume=resume is not None)
    with quiet_lightning():
        cli = FitCLI(args, began)
        cli.model.warns_of_known = not cli.planned
        if cli.datamodule.fold == "all":
            return fit_folds(cli, args, FitFoldCLI, train, "mask.tif")
        result = train(cli.trainer, cli.model, cli.datamodule, resume=resume is not None)
    if cli.trainer.is_global_zero:
        _report(result, cli.datamodule)
        say_time(cli.trainer, cli.datamodule)
    return result


def say_time(trainer: Trainer, data: SegmentationData) -> None:
    """Say how far a run with a given time has come in it."""
    keeper = budget_of(trainer)
    if keeper is not None:
        log(spell_use(keeper, data.covering(), trainer.current_epoch))


def _plan(given: Namespace, minutes: float | None, began: float, store: ImageStore) -> dict[str, Any]:
    """Choose the settings that are not given, say them, and return them by key.

    Raises:
        ConfigError: Several processes are to train: each would time the machine and plan for itself.
    """
    fixed = {key: value for key, value in given.items() if value is not None}
    if str(fixed.get("trainer.devices", 1)) != "1" or fixed.get("trainer.num_nodes", 1) != 1:
        raise ConfigError(
            "Training on several devices needs a configuration file.",
            f"Write one with `unetkit plan {shlex.quote(fixed['data.train'])}`, then give it with --config.",
        )
    log(f"Looking at {fixed['data.train']}, and trying out a few steps.")
    folds = fixed.get("data.folds", 1)  # each has the same part of the time
    plan = make_plan(fixed, None if minutes is None else minutes / folds, began, store=store)
    for line in describe(plan):
        log(line)
    log("")
    return settings_of(plan)


def _report(result: RunResult, data: SegmentationData) -> None:
    """Say what the run gave, and what to do with it."""
    if result.interrupted:
        say_how_to_go_on("fit", result.folder)
    score = "" if result.dice is None else f", mean validation Dice {result.dice:.4f}"
    say_best(result.model, result.epoch, score)
    if result.compared:
        log(result.compared)
    if "val_image_auroc" in result.scores:
        shown = ", ".join(
            f"{VALIDATED[name].short} {result.scores[name]:.3f}"
            for name in validated_names(IMAGE_SCORES)
            if name in result.scores
        )
        log(f"Its classes of whole validation images: {shown}.")
    if "val_ap50" in result.scores:
        ap, f1, pq = (result.scores[name] for name in ("val_ap50", "val_f1", "val_pq"))
        log(f"Its objects on these images, pooled: AP {ap:.3f} and F1 {f1:.3f} at an IoU of 0.5, PQ {pq:.3f}.")
    if result.halo is None:
        log("Its halo was not measured, so `segment` takes a usual one; a run that ends by itself measures it.")
    else:
        log(
            f"A halo of {result.halo.halo} pixels changes {result.halo.error * 1e4:.2g} in 10,000 mask pixels "
            f"(measured, stored in the model)."
        )
    smallest = data.smallest_object()
    if smallest.pixels:
        log(
            f"Labels leave out objects of fewer than {smallest.pixels} pixels, as are {smallest.smaller:,} of the "
            f"{smallest.objects:,} trained on (measured, stored in the model)."
        )
    if (result.folder / PICTURE_FILE).is_file():
        log(f"Picture of images with truth and prediction: {result.folder / PICTURE_FILE}")
    example = shlex.quote(str(data.example_image()))
    log(f"Try it: unetkit segment {example} mask.tif --model {shlex.quote(str(result.model))}")
