"""Settings of `fit` and `pretrain` without PyTorch: their help, and the check that finds a typing error at once.

What the settings are is read from the signatures and docstrings of the classes that take them, see `read_options`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, make_dataclass, replace
from functools import reduce
from inspect import Parameter
from itertools import pairwise
from operator import or_
from pathlib import Path
from typing import Any, Literal

import yaml
from jsonargparse import ActionConfigFile, ArgumentParser, Namespace  # type: ignore[attr-defined]

from unetkit.commandline.help_text import entry_of, help_page
from unetkit.commandline.parsing import MODE, parse
from unetkit.commandline.signatures import Nested, read_constant, read_options
from unetkit.commandline.values import alternatives
from unetkit.foundation.errors import ConfigError
from unetkit.foundation.options import Option
from unetkit.models.encoders import smp_name

CONFIG_FILE = "config.yaml"
"""The settings of a run, in its folder."""

CONFIG = Option(
    "config", Path | None, None, "YAML file of settings, such as those in configs/; other arguments go over it."
)
SEED = Option("seed_everything", bool | int, 0, "Seed of the first weights and of all else that is random.")

RUN_OPTIONS = (
    Option("runs", str, "runs", "Folder of the run folders."),
    Option("name", str | None, None, "Name of the run; by default that of the configuration or the data and a number."),
    Option("resume", str | None, None, "Run folder to go on with, from its last whole epoch and with its settings."),
    Option(
        "minutes",
        float | None,
        None,
        "Minutes that the whole command may take: the learning rate follows the clock, and the run ends within them. "
        "Without trainer.max_epochs, time alone ends it.",
    ),
)
"""What concerns the run as a whole."""

PLAN = Option("plan", bool, True, "Whether settings are chosen for the data where there is no configuration file.")

PLAIN_TEXTS = {
    "trainer.max_epochs": Option("trainer.max_epochs", int, 50, "Epochs, each with data.crops_per_epoch crops."),
    "trainer.accelerator": Option(
        "trainer.accelerator", Literal["auto", "cpu", "gpu", "mps"], "auto", "What to train on."
    ),
}
"""What Lightning says too technically."""

FIT_ABOUT = """Train a U-Net on a folder of images and masks.

  unetkit fit --data.train my_images --minutes 10
  unetkit fit --config configs/nuclei.yaml --data.train my_images --trainer.max_epochs 20

Without a configuration file the settings that are not given are chosen for the data and this machine, as by `unetkit
plan`. Otherwise the defaults below hold. With --minutes the whole command takes that long, on a busy machine too.

The run folder runs/NAME gets all settings, model.safetensors (the best by validation Dice), last.ckpt to resume from,
metrics.csv and a picture of validation images with the contours of truth and prediction. With --data.folds 5 it gets a
run folder for each fold, and cross_validation.json with the mean and spread of their validation scores.

Labels of whole images can be trained beside masks, or without any (then data.train is left out):

  unetkit fit --data.image_labels films.csv --model.image_classes [pneumonia]

Then the best model is that by the area under the ROC curve, scores.json has the scores of each class and the confusion
table, and the picture shows the images that are classified worst."""

PRETRAIN_ABOUT = """Train a U-Net to restore damaged images, without masks: to clean images, or as a start for `fit`.

  unetkit pretrain --config configs/pretrain.yaml --data.images my_images
  unetkit segment noisy.tif clean.tif --output restored --model runs/pretrain-1/model.safetensors
  unetkit fit --config configs/nuclei.yaml --data.train my_data --model.weights runs/pretrain-1/model.safetensors

The run folder runs/NAME gets all settings, model.safetensors (the best by the share of the variance of hidden pixels
that it restores), last.ckpt to resume from, metrics.csv and a picture of damaged, restored and clean crops."""

FIT_FIRST: Mapping[str, tuple[str, ...]] = {
    "Data": ("data.train", "data.masks", "data.val", "data.folds", "data.crop", "data.augment"),
    "Network": ("model.encoder", "model.weights", "model.in_channels", "model.classes", "model.instances"),
    "Training": (
        *("minutes", "trainer.max_epochs", "data.batch_size", "model.lr", "model.loss", "trainer.accelerator"),
    ),
    "Run": ("config", "name", "resume"),
}
"""What people change first."""

PRETRAIN_FIRST: Mapping[str, tuple[str, ...]] = {
    "Data": ("data.images", "data.val", "data.crop", "data.augment"),
    "Network": ("model.encoder", "model.weights", "model.in_channels"),
    "Training": (
        *("model.corruption.noise", "model.corruption.hidden", "trainer.max_epochs", "data.batch_size", "model.lr"),
        "trainer.accelerator",
    ),
    "Run": ("config", "name", "resume"),
}

SECTIONS = {
    "": "Run",
    "data": "Data",
    "model": "Network and training",
    "trainer": "Lightning's Trainer (see its documentation)",
}
"""Headings of all settings, by the first part of their keys."""

TRAINER = ("lightning.pytorch.trainer.trainer", "Trainer")

PLACES = ("train", "masks", "val", "val_masks", "image_labels", "images")
"""Settings of data that name files or folders."""

NOT_CHECKED = re.compile(r"--print_config.*|--trainer\.\w+[+.].*|--[\w.]+\.help.*", re.DOTALL)
"""Arguments that only the parser with Lightning's classes understands."""


@dataclass(frozen=True)
class Settings:
    """What a verb that trains takes.

    Attributes:
        verb: What the command is called.
        about: What it does.
        first: Keys that people change first, by heading.
        own: Options that belong to no class.
        model: Module and name of the class that is trained.
        data: Module and name of the class of what it is trained on.
    """

    verb: str
    about: str
    first: Mapping[str, tuple[str, ...]]
    own: tuple[Option, ...]
    model: tuple[str, str]
    data: tuple[str, str]

    def groups(self) -> dict[str, tuple[Option, ...]]:
        """Return the options of each class, by the first part of their keys."""
        defaults = read_constant("unetkit.training.segmentation.run", "TRAINER_DEFAULTS")
        trainer = [
            Option(option.name, option.type, defaults.get(option.name, option.default), _plain(option.help))
            for option in read_options(*TRAINER)
        ]
        return {"trainer": tuple(trainer), "model": read_options(*self.model), "data": read_options(*self.data)}

    def by_key(self) -> dict[str, Option]:
        """Return all options by their whole keys, such as data.normalization.low."""
        found = {option.name: option for option in (CONFIG, SEED, *self.own)}
        for group, options in self.groups().items():
            found |= dict(_flat(group, options))
        return found

    def parser(self) -> ArgumentParser:
        """Return a parser that knows all settings and what they can be, but for Lightning's own classes."""
        parser = ArgumentParser(prog=f"unetkit {self.verb}", exit_on_error=False, allow_abbrev=False, parser_mode=MODE)
        parser.add_argument("-c", "--config", action=ActionConfigFile)
        for option in (SEED, *self.own):
            parser.add_argument(f"--{option.name}", type=option.type, default=option.default)
        for group, options in self.groups().items():
            parser.add_class_arguments(_class(Nested(group, options)), group)
        return parser


FIT = Settings(
    "fit",
    FIT_ABOUT,
    FIT_FIRST,
    (*RUN_OPTIONS, PLAN),
    ("unetkit.training.segmentation.module", "SegmentationModule"),
    ("unetkit.data.datamodule", "SegmentationData"),
)
FIT_LABELS = Settings(
    "fit",
    FIT_ABOUT,
    {},
    RUN_OPTIONS,
    ("unetkit.training.classification.module", "ClassificationModule"),
    ("unetkit.data.labelled", "LabelledData"),
)
PRETRAIN = Settings(
    "pretrain",
    PRETRAIN_ABOUT,
    PRETRAIN_FIRST,
    RUN_OPTIONS,
    ("unetkit.training.pretraining.module", "PretrainModule"),
    ("unetkit.data.unmasked", "ImageData"),
)


def help_of(settings: Settings, *, everything: bool) -> str:
    """Return the help of a verb that trains: the settings that people change first, or all."""
    known = settings.by_key()
    if not everything:
        shown = {title: [_entry(key, known[key]) for key in keys] for title, keys in settings.first.items()}
        shown["Help"] = [
            ("--help", "Show this text."),
            ("--help-all", f"Show all {len(known)} settings."),
            ("--print_config", "Write all settings and their values as a configuration file."),
        ]
        return help_page(f"unetkit {settings.verb} [settings]", settings.about, shown)
    all_shown: dict[str, list[tuple[str, str]]] = {title: [] for title in SECTIONS.values()}
    for key, option in known.items():
        group = key.partition(".")[0] if "." in key else ""
        all_shown[SECTIONS[group]].append(_entry(key, option))
    return help_page(f"unetkit {settings.verb} [settings]", settings.about, all_shown)


def check(settings: Settings, args: list[str]) -> None:
    """Find what is wrong with the arguments of a verb that trains, as far as it can be seen without PyTorch.

    Raises:
        UnetkitError: A setting is not known or cannot have its value, or a file or a folder is missing.
    """
    if settings is FIT:
        check_names_data(args)
    resumed = value_of_resume(args)
    if resumed is not None:
        config = resumed / CONFIG_FILE
        if not resumed.is_dir():
            raise cannot_resume(resumed)
        if not _is_whole(settings, config):  # what to do then is told by the checkpoint, which takes PyTorch to read
            return
        args = ["--config", str(config), *args]
    if any(NOT_CHECKED.fullmatch(arg) for arg in args):
        return
    settings = FIT_LABELS if settings is FIT and has_labels_alone(args) else settings
    config = parse(settings.parser(), args)
    for group in ("model", "data", "trainer"):
        if not isinstance(config[group], Namespace):
            raise ConfigError(f"{group}: '{config[group]}' is not possible.", f"Give the settings of {group} below it.")
    if config.model.get("arch") != "plain_unet":
        smp_name(config.model.encoder)
    _check_places(config.data)


def _is_whole(settings: Settings, config: Path) -> bool:
    """Return whether the configuration of a run can be read."""
    args = ["--config", str(config)]
    try:
        parse((FIT_LABELS if settings is FIT and has_labels_alone(args) else settings).parser(), args)
    except ConfigError:
        return False
    return True


def check_names_data(args: list[str]) -> None:
    """Check that something on the command line of `fit` says what to train on.

    Raises:
        ConfigError: Nothing does.
    """
    sources = ("--data", "--config", "-c", "--resume", "--print_config")
    if not any(arg.startswith(sources) for arg in args):
        raise ConfigError(
            "--data.train must be given.",
            "Name a folder with the folders images and masks in it, or a configuration file (--config); or labels of "
            "whole images without masks (--data.image_labels).",
        )


def value_of_resume(args: list[str]) -> Path | None:
    """Return the value of --resume: the config that it names has to be parsed before all other arguments."""
    for arg, following in pairwise([*args, ""]):
        if arg == "--resume" and following:
            return Path(following)
        if arg.startswith("--resume="):
            return Path(arg.removeprefix("--resume="))
    return None


def cannot_resume(folder: Path) -> ConfigError:
    """Return the error for a folder that is no run to go on with."""
    return ConfigError(
        f"{folder} is not a run that can be resumed: it needs {CONFIG_FILE} and last.ckpt.",
        "Give a folder under runs/ whose first epoch was finished.",
    )


def has_labels_alone(args: list[str]) -> bool:
    """Say whether the arguments of `fit` name labels of whole images (data.image_labels), and no masks (data.train)."""
    given = {arg.removeprefix("--").split("=", 1)[0] for arg in args if arg.startswith("--")}
    given |= {f"data.{key}" for path in _configs(args) for key in _keys(path, "data")}
    return "data.image_labels" in given and "data.train" not in given


def _configs(args: list[str]) -> Iterator[str]:
    """Yield the configuration files that arguments name."""
    for arg, following in pairwise([*args, ""]):
        if arg in ("-c", "--config"):
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


def _check_places(data: Namespace) -> None:
    """Check that the files and folders of the data exist."""
    from unetkit.data.pairs import check_exists  # here, since it takes NumPy

    for name in PLACES:
        value = data.get(name)
        if isinstance(value, str):
            check_exists(Path(value))


def _flat(prefix: str, options: tuple[Option, ...]) -> Iterator[tuple[str, Option]]:
    """Yield options by their whole keys, those of nested classes included."""
    for option in options:
        key = f"{prefix}.{option.name}"
        if isinstance(option.type, Nested):
            yield from _flat(key, option.type.options)
        else:
            yield key, option


def _class(nested: Nested) -> type:
    """Return a dataclass with the fields of a class, for the parser."""
    fields: list[tuple[str, Any, Any]] = []
    for option in nested.options:
        if isinstance(option.type, Nested):
            own = _class(option.type)
            fields.append((option.name, own, field(default_factory=own)))
        elif option.default is NotImplemented:
            fields.append((option.name, Any, field(default=None)))
        elif option.default is Parameter.empty:
            fields.append((option.name, option.type, field()))
        else:
            fields.append((option.name, option.type, field(default=option.default)))
    return make_dataclass(nested.name, fields, kw_only=True)


def _entry(key: str, option: Option) -> tuple[str, str]:
    """Return how a setting is written in the help, and what it does."""
    option = PLAIN_TEXTS.get(key, option)
    if key.rpartition(".")[2] in (*PLACES, "weights", "runs", "resume"):
        kinds = [Path if kind is str else kind for kind in alternatives(option.type)]
        option = replace(option, type=reduce(or_, kinds))
    return entry_of(option, f"--{key}", is_key=True)


def _plain(text: str) -> str:
    """Return a text of Lightning's documentation without its marks and its defaults, which are not ours."""
    text = re.sub(r":\w+:`~?([^`]*)`", r"\1", text).replace("`", "")
    text = re.sub(r"\s*\((None|-1)\)", "", text)
    for python, yaml_word in (("None", "null"), ("True", "true"), ("False", "false")):
        text = re.sub(rf"\b{python}\b", yaml_word, text)
    return re.sub(r"\s*Default(?:s to|:)[^.]*(?:\.\d+[^.]*)?\.?", "", text).strip()
