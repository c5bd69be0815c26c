"""`unetkit fit`: LightningCLI over one module and one data module."""

from __future__ import annotations

import shlex
from itertools import count
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from unetkit.data.datamodule import SegmentationData
from unetkit.errors import ConfigError, OutputError
from unetkit.io.partial import partial_file
from unetkit.parsing import parse
from unetkit.planning.plan import make_plan, name_of
from unetkit.planning.write import describe, settings_of
from unetkit.report.console import say, show
from unetkit.training.cross_validation import CrossValidation, cross_validate, fold_folder
from unetkit.training.module import SegmentationModule
from unetkit.training.run import (
    CHECKPOINT_FILE,
    PICTURE_FILE,
    TRAINER_DEFAULTS,
    RunResult,
    make_trainer,
    quiet_lightning,
    train,
)

CONFIG_FILE = "config.yaml"
DESCRIPTION = """Train a U-Net on a folder of images and masks.

A configuration file gives the settings (see configs/), and every one of them can be given on the command line too:

  unetkit fit --config configs/nuclei.yaml --data.train my_images --trainer.max_epochs 20

Without a configuration file the settings that are not given are chosen for the data and this machine, as by
`unetkit plan`:

  unetkit fit --data.train my_images

The run folder runs/NAME gets the resolved config, model.safetensors (the best by validation Dice), last.ckpt to resume
from, metrics.csv and a picture of validation images with the contours of truth and prediction. With --data.folds 5 it
gets a run folder for each fold, and cross_validation.json with the mean and spread of their validation scores.
"""


class FitCLI(LightningCLI):
    """LightningCLI with a run folder."""

    def __init__(self, args: list[str]) -> None:
        super().__init__(
            SegmentationModule,
            SegmentationData,
            run=False,
            args=args,
            save_config_callback=None,
            trainer_defaults=TRAINER_DEFAULTS,
            seed_everything_default=0,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            parser_kwargs={
                "prog": "unetkit fit",
                "description": DESCRIPTION,
                "exit_on_error": False,
                "allow_abbrev": False,  # a key that is misspelt must not pass for the one that it begins
            },
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add what concerns the run folder."""
        parser.add_argument("--runs", type=str, default="runs", help="Folder of the run folders.")
        parser.add_argument(
            "--name", type=str | None, default=None, help="Name of the run; by default the config's name and a number."
        )
        parser.add_argument(
            "--minutes",
            type=float | None,
            default=None,
            help="How long training may take, where the settings are chosen for the data.",
        )
        parser.add_argument(
            "--plan",
            type=bool,
            default=True,
            help="Whether settings are chosen for the data where there is no configuration file.",
        )
        parser.add_argument(
            "--resume",
            type=str | None,
            default=None,
            help="Run folder to go on with, from its last whole epoch and with its config.",
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, naming the closest key for one that does not exist; without a config, choose what is not given."""
        self.config = parse(parser, args)
        for group in ("model", "data", "trainer"):
            if not isinstance(self.config[group], Namespace):
                raise ConfigError(
                    f"{group}: '{self.config[group]}' is not possible.", f"Give the settings of {group} below it."
                )
        if self.config.plan and not self.config.config:
            parser.set_defaults(_plan(parser.parse_args(args, defaults=False), self.config.minutes))
            self.config = parse(parser, args)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Return a Trainer that fills the run folder, once the data turn out to be good."""
        return make_trainer(self._run_folder(), self.save_config, **{**self.config_init["trainer"], **kwargs})

    def save_config(self, folder: Path) -> None:
        """Write the settings, as a config that gives the run again."""
        kept = self.config.clone()
        kept.resume = None
        with partial_file(folder / CONFIG_FILE) as path:
            self.parser.save(kept, path, skip_unset=False, overwrite=True)

    def _run_folder(self) -> Path:
        """Return the folder to go on with, or a new one."""
        if self.config.resume:
            return Path(self.config.resume)
        runs = Path(self.config.runs)
        if self.config.name:
            folder = runs / str(self.config.name)
            if folder.exists():
                go_on = f"go on with that run: unetkit fit --resume {folder}"
                other = go_on if _can_resume(folder) else "delete that folder"
                raise OutputError(f"The run folder {folder} exists already.", f"Choose another --name, or {other}.")
            return folder
        configs = self.config.config or []
        stem = Path(str(configs[-1])).stem if configs else name_of(self.config.data.train)
        return next(folder for number in count(1) if not (folder := runs / f"{stem}-{number}").exists())


class FoldCLI(FitCLI):
    """The run of one fold, with the settings of the whole cross-validation.

    Args:
        whole: The cross-validation.
        args: The arguments that it was made from.
        fold: The fold to validate on.
    """

    def __init__(self, whole: FitCLI, args: list[str], fold: int) -> None:
        self.whole = whole
        self.folder = fold_folder(Path(whole.trainer.default_root_dir), fold)
        own = ["--data.fold", str(fold), "--runs", str(self.folder.parent), "--name", self.folder.name]
        super().__init__([*args, *own])

    def _run_folder(self) -> Path:
        return self.folder

    def save_config(self, folder: Path) -> None:
        """Write the settings of this fold, and those of all beside the folds."""
        super().save_config(folder)
        self.whole.save_config(folder.parent)


def fit(args: list[str]) -> RunResult | CrossValidation:
    """Train as the command line says: one run, or one for each fold.

    Args:
        args: What follows `unetkit fit` on the command line.

    Raises:
        UnetkitError: The settings or the data do not fit, or there is nothing to resume.
    """
    _check_data(args)
    resume = _resumed(args)
    if resume is not None:
        if not _can_resume(resume):
            raise ConfigError(
                f"{resume} is not a run that can be resumed: it needs {CONFIG_FILE} and {CHECKPOINT_FILE}.",
                "Give a folder under runs/ whose first epoch was finished.",
            )
        if fold_folder(resume, 0).is_dir() and len(args) > (2 if "--resume" in args else 1):
            raise ConfigError(
                f"{resume} is a cross-validation, whose folds must all be trained alike.",
                "Give --resume without any other setting.",
            )
        args = ["--config", str(resume / CONFIG_FILE), *args]
    with quiet_lightning():
        cli = FitCLI(args)
        if cli.datamodule.fold == "all":
            return _fit_folds(cli, args)
        result = train(cli.trainer, cli.model, cli.datamodule, resume=resume is not None)
    if cli.trainer.is_global_zero:
        _report(result, cli.datamodule)
    return result


def _check_data(args: list[str]) -> None:
    """Raise a ConfigError if nothing on the command line says what to train on."""
    sources = ("--data", "--config", "--resume", "--help", "-h", "--print_config")
    if not any(arg.startswith(sources) for arg in args):
        raise ConfigError(
            "--data.train must be given.",
            "Name a folder with the folders images and masks in it, or a configuration file (--config).",
        )


def _plan(given: Namespace, minutes: float | None) -> dict[str, Any]:
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
    say(f"Looking at {fixed['data.train']}, and trying out a few steps.")
    plan = make_plan(fixed, minutes)
    for line in describe(plan):
        say(line)
    say("")
    return settings_of(plan)


def _fit_folds(cli: FitCLI, args: list[str]) -> CrossValidation:
    """Train a model for each fold, and say how they do."""
    if cli.trainer.world_size > 1:
        raise ConfigError(
            "Folds that follow each other are trained in one process, and trainer.devices starts several.",
            "Leave trainer.devices out, or train the folds one by one (data.fold).",
        )

    def train_fold(fold: int) -> RunResult:
        part = FoldCLI(cli, args, fold)
        return train(part.trainer, part.model, part.datamodule, resume=(part.folder / CHECKPOINT_FILE).is_file())

    folder = Path(cli.trainer.default_root_dir)
    result = cross_validate(folder, cli.datamodule.folds, train_fold)
    if result.rows:
        show(result.table())
    if result.interrupted:
        say(f"Stopped. Go on with: unetkit fit --resume {shlex.quote(str(folder))}")
    else:
        example, models = (shlex.quote(str(path)) for path in (cli.datamodule.example_image(), folder))
        say(f"All {result.folds} models together: unetkit segment {example} mask.tif --model {models}")
    return result


def _report(result: RunResult, data: SegmentationData) -> None:
    """Say what the run gave, and what to do with it."""
    if result.interrupted:
        say(f"Stopped. Go on with: unetkit fit --resume {shlex.quote(str(result.folder))}")
    score = "" if result.dice is None else f", mean validation Dice {result.dice:.4f}"
    say(f"Best model: {result.model} (epoch {result.epoch}{score}).")
    say(
        f"A halo of {result.halo.halo} pixels changes {result.halo.error * 1e4:.2g} in 10,000 mask pixels "
        f"(measured, stored in the model)."
    )
    say(f"Picture of images with truth and prediction: {result.folder / PICTURE_FILE}")
    example = shlex.quote(str(data.example_image()))
    say(f"Try it: unetkit segment {example} mask.tif --model {shlex.quote(str(result.model))}")


def _can_resume(folder: Path) -> bool:
    """Whether a folder holds a run, or a cross-validation, to go on with."""
    begun = (folder / CHECKPOINT_FILE).is_file() or fold_folder(folder, 0).is_dir()
    return begun and (folder / CONFIG_FILE).is_file()


def _resumed(args: list[str]) -> Path | None:
    """Return the value of --resume: the config that it names has to be parsed before all other arguments."""
    for i, arg in enumerate(args):
        if arg == "--resume" and i + 1 < len(args):
            return Path(args[i + 1])
        if arg.startswith("--resume="):
            return Path(arg.removeprefix("--resume="))
    return None
