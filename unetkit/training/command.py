"""The command line of a verb that trains: LightningCLI over one module and one data module, with a run folder."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from unetkit.commandline.parsing import MODE, parse
from unetkit.data.base import TrainingData
from unetkit.foundation.atomic import partial_file
from unetkit.foundation.console import log
from unetkit.foundation.errors import ConfigError, OutputError
from unetkit.training.run.base import NetworkModule
from unetkit.training.run.budget import Budget
from unetkit.training.run.checkpoint import has_checkpoint, read_checkpoint, read_settings
from unetkit.training.run.cross_validation import fold_folder
from unetkit.training.segmentation.run import TRAINER_DEFAULTS, make_trainer
from unetkit.training.settings.changes import Changes, changes, check_changes, check_config, describe_changes
from unetkit.training.settings.keys import CONFIG_FILE, Settings, cannot_resume, value_of_resume

OF_A_FOLD = ("data.fold", "runs", "name", "resume")
"""Settings of a fold that are not those of its cross-validation."""


class RunCLI(LightningCLI):
    """LightningCLI with a run folder.

    Attributes:
        settings: What it takes.
        module: What is trained.
        data: What it is trained on.
        scores: Names of the validation scores, the one that decides which model is kept first.
        changed: Settings that a resumed run has otherwise than it began.
    """

    settings: Settings
    module: type[NetworkModule]
    data: type[TrainingData]
    scores: tuple[str, ...]
    changed: Changes

    def __init__(self, args: list[str], began: float | None = None) -> None:
        """Parse the arguments and build what they describe.

        Args:
            args: What follows the verb.
            began: When the command began, by the monotonic clock; by default now.
        """
        self.began = monotonic() if began is None else began
        super().__init__(
            self.module,
            self.data,
            run=False,
            args=args,
            save_config_callback=None,
            trainer_defaults=TRAINER_DEFAULTS,
            seed_everything_default=0,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            parser_kwargs={
                "prog": f"unetkit {self.settings.verb}",
                "exit_on_error": False,
                "allow_abbrev": False,  # a key that is misspelt must not pass for the one that it begins
                "parser_mode": MODE,
            },
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add what concerns the run folder."""
        for option in self.settings.own:
            parser.add_argument(f"--{option.name}", type=option.type, default=option.default, help=option.help)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, naming the closest key for one that does not exist."""
        self.config = parse(parser, args)
        for group in ("model", "data", "trainer"):
            if not isinstance(self.config[group], Namespace):
                raise ConfigError(
                    f"{group}: '{self.config[group]}' is not possible.", f"Give the settings of {group} below it."
                )
        self.changed = self._compare() if self.config.resume else {}
        self.end_by_time(parser, args)

    def end_by_time(self, parser: LightningArgumentParser, args: Any) -> None:
        """Leave out the usual number of epochs where there is a time to train in."""
        if self.config.minutes is None:
            return
        given = parser.parse_args(args, defaults=False)
        if given.get("trainer.max_epochs") is None:
            self.config.trainer.max_epochs = -1

    def budget(self) -> Budget | None:
        """Return the time that the run has, if it has a given one."""
        minutes = self.config.minutes
        return None if minutes is None else Budget(60 * minutes, self.began)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Return a Trainer that fills the run folder, once the data turn out to be good."""
        trainer = make_trainer(
            self._run_folder(),
            self.save_config,
            self.scores,
            self.budget(),
            **{**self.config_init["trainer"], **kwargs},
        )
        if trainer.is_global_zero:
            for line in describe_changes(self.changed):
                log(line)
        return trainer

    def _compare(self) -> Changes:
        """Return the settings that are not those that the run was begun with.

        Raises:
            ConfigError: One of them may not change.
        """
        folder = Path(self.config.resume)
        stored = read_settings(folder) if has_checkpoint(folder) else None
        before = (folder / CONFIG_FILE).read_text(encoding="utf-8") if stored is None else stored
        kept = self.config.clone()
        kept.resume = None
        found = changes(before, self.parser.dump(kept, skip_unset=False))
        check_changes(found, folder, self.settings.verb)
        return found

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
                go_on = f"go on with that run: unetkit {self.settings.verb} --resume {folder}"
                other = go_on if self.can_resume(folder) else "delete that folder"
                raise OutputError(f"The run folder {folder} exists already.", f"Choose another --name, or {other}.")
            return folder
        configs = self.config.config or []
        stem = Path(str(configs[-1])).stem if configs else self.default_name()
        return next(folder for number in count(1) if not (folder := runs / f"{stem}-{number}").exists())

    def default_name(self) -> str:
        """Return what a run is called without a name or a configuration file."""
        return self.settings.verb

    @staticmethod
    def can_resume(folder: Path) -> bool:
        """Whether a folder holds a run, or a cross-validation, to go on with."""
        return has_checkpoint(folder) or (fold_folder(folder, 0).is_dir() and (folder / CONFIG_FILE).is_file())

    @classmethod
    def resumed(cls, args: list[str]) -> Path | None:
        """Return the run folder that a command line wants to go on with, if it does; its files are checked.

        Raises:
            UnetkitError: That is not possible.
        """
        folder = value_of_resume(args)
        if folder is None:
            return None
        if not cls.can_resume(folder):
            raise cannot_resume(folder)
        own = has_checkpoint(folder)
        begun = folder if own else next((fold for fold in folder.glob("fold-*") if has_checkpoint(fold)), None)
        stored = None if begun is None else read_checkpoint(begun).settings
        if stored is not None:
            check_config(folder, stored, () if own else OF_A_FOLD)
        elif not (folder / CONFIG_FILE).is_file():
            raise ConfigError(f"{folder} has no {CONFIG_FILE}, and its checkpoint holds none.", "Put it back.")
        return folder
