"""The settings of a verb that trains, found without PyTorch.

They are read from the signatures and docstrings of the classes that take them, see `read_options`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, make_dataclass, replace
from inspect import Parameter
from pathlib import Path
from typing import Any

from jsonargparse import ActionConfigFile, ArgumentParser  # type: ignore[attr-defined]

from unetkit.cluster.options import CLUSTER_HELP
from unetkit.commandline.parsing import PARSER_MODE
from unetkit.commandline.signatures import Nested, read_options
from unetkit.foundation.options import Option

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
"""Options of the run as a whole."""

CLUSTER = Option("cluster", str | None, None, f"With data.folds: each fold is trained by a worker. {CLUSTER_HELP}")
"""Option of the command, which is no setting of its run: a run can go on elsewhere."""

PATH_SETTINGS = ("train", "masks", "val", "val_masks", "image_labels", "images")
"""Settings of data that name files or folders."""

TRAINER = ("lightning.pytorch.trainer.trainer", "Trainer")

TRAINER_DEFAULTS: dict[str, Any] = {
    "max_epochs": 50,
    "deterministic": "warn",  # the same run twice where the device has deterministic kernels
    "logger": False,  # metrics.csv is always written; any Lightning logger comes on top
    "enable_model_summary": False,
    "num_sanity_val_steps": 1,  # a validation that cannot work fails before the first epoch, not after it
    "check_val_every_n_epoch": None,  # as often as takes a tenth of the time, see `ValidationPace`
    "log_every_n_steps": 10,
    "devices": 1,  # a batch has as many crops on every machine
    "use_distributed_sampler": False,  # the loaders of SegmentationData divide the images among the processes
}
"""Arguments of Lightning's Trainer that differ from its own defaults."""

PRINT_CONFIG = "print_config"
"""Name of the option that writes all settings."""

EXTRA_ARGUMENTS = "extra"
"""Name under which the parser keeps arguments that are no options."""

GROUPS = ("trainer", "model", "data")
"""First parts of the keys of settings that belong to a class."""


@dataclass(frozen=True)
class Settings:
    """The settings of a verb that trains.

    Attributes:
        verb: Name of the command.
        about: Text on what it does, for its help.
        first: Keys that people change first, by heading.
        own: Options that belong to no class.
        model: Module and name of the class that is trained.
        data: Module and name of the class of what it is trained on.
        also: Settings for training on something else; the given ones decide which are used.
        command: Options of the command that are no settings of its run.
    """

    verb: str
    about: str
    first: Mapping[str, tuple[str, ...]]
    own: tuple[Option, ...]
    model: tuple[str, str]
    data: tuple[str, str]
    also: tuple[Settings, ...] = ()
    command: tuple[Option, ...] = ()

    @property
    def can_plan(self) -> bool:
        """Whether settings can be chosen for the data."""
        return any(option.name == "plan" for option in self.own)

    def groups(self) -> dict[str, tuple[Option, ...]]:
        """Return the options of each class, by the first part of their keys."""
        trainer = [
            replace(option, default=TRAINER_DEFAULTS.get(option.name, option.default), help=_plain(option.help))
            for option in read_options(*TRAINER)
        ]
        return {"trainer": tuple(trainer), "model": read_options(*self.model), "data": read_options(*self.data)}

    def by_key(self) -> dict[str, Option]:
        """Return all options by their whole keys, such as data.normalization.low."""
        found = {option.name: option for option in (CONFIG, SEED, *self.own, *self.command)}
        for group, options in self.groups().items():
            found |= dict(_flat(group, options))
        return found

    def parser(self) -> ArgumentParser:
        """Return a parser of all settings and their types, but for Lightning's own classes."""
        parser = self._parser()
        for group, options in self.groups().items():
            parser.add_class_arguments(_class(Nested(group, options)), group)
        return parser

    def reader(self, trainer: type | None = None) -> ArgumentParser:
        """Return a parser that requires no setting: the given ones then decide what is trained on.

        Args:
            trainer: Lightning's Trainer, where settings of its loggers, callbacks and the like are given.
        """
        parser = self._parser(print_config=None)
        parser.add_argument(EXTRA_ARGUMENTS, nargs="*", default=[])
        parser.add_argument(f"--{PRINT_CONFIG}", nargs="?", const="")
        for option in self.command:
            parser.add_argument(f"--{option.name}", type=option.type, default=option.default)
        for group in GROUPS:
            options = {option.name: option for kind in (*self.also, self) for option in kind.groups()[group]}
            own = _class(Nested(group, tuple(map(_optional, options.values()))))
            parser.add_class_arguments(trainer if trainer is not None and group == "trainer" else own, group)
        return parser

    def _parser(self, **more: Any) -> ArgumentParser:
        parser = ArgumentParser(
            prog=f"unetkit {self.verb}", exit_on_error=False, allow_abbrev=False, parser_mode=PARSER_MODE, **more
        )
        parser.add_argument("-c", "--config", action=ActionConfigFile)
        for option in (SEED, *self.own):
            parser.add_argument(f"--{option.name}", type=option.type, default=option.default)
        return parser


def _flat(prefix: str, options: tuple[Option, ...]) -> Iterator[tuple[str, Option]]:
    """Yield options by their whole keys, those of nested classes included."""
    for option in options:
        key = f"{prefix}.{option.name}"
        if isinstance(option.type, Nested):
            yield from _flat(key, option.type.options)
        else:
            yield key, option


def _optional(option: Option) -> Option:
    """Return an option that need not be given."""
    return replace(option, type=option.type | None, default=None) if option.default is Parameter.empty else option


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


def _plain(text: str) -> str:
    """Return a text of Lightning's documentation without its marks and its defaults, which are not ours."""
    text = re.sub(r":\w+:`~?([^`]*)`", r"\1", text).replace("`", "")
    text = re.sub(r"\s*\((None|-1)\)", "", text)
    for python, yaml_word in (("None", "null"), ("True", "true"), ("False", "false")):
        text = re.sub(rf"\b{python}\b", yaml_word, text)
    return re.sub(r"\s*Default(?:s to|:)[^.]*(?:\.\d+[^.]*)?\.?", "", text).strip()
