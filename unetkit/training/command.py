"""The command line of a verb that trains: LightningCLI over one module and one data module, with a run folder."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from unetkit.data.base import TrainingData
from unetkit.errors import ConfigError, OutputError
from unetkit.io.partial import partial_file
from unetkit.parsing import MODE, parse
from unetkit.training.base import NetworkModule
from unetkit.training.cross_validation import fold_folder
from unetkit.training.run import CHECKPOINT_FILE, TRAINER_DEFAULTS, make_trainer
from unetkit.training.keys import CONFIG_FILE, Settings, cannot_resume, value_of_resume


class RunCLI(LightningCLI):
    """LightningCLI with a run folder.

    Attributes:
        settings: What it takes.
        module: What is trained.
        data: What it is trained on.
        scores: Names of the validation scores, the one that decides which model is kept first.
    """

    settings: Settings
    module: type[NetworkModule]
    data: type[TrainingData]
    scores: tuple[str, ...]

    def __init__(self, args: list[str]) -> None:
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

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Return a Trainer that fills the run folder, once the data turn out to be good."""
        return make_trainer(
            self._run_folder(), self.save_config, self.scores, **{**self.config_init["trainer"], **kwargs}
        )

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
        begun = (folder / CHECKPOINT_FILE).is_file() or fold_folder(folder, 0).is_dir()
        return begun and (folder / CONFIG_FILE).is_file()

    @classmethod
    def resumed(cls, args: list[str]) -> Path | None:
        """Return the run folder that a command line wants to go on with, if it does.

        Raises:
            ConfigError: That is not possible.
        """
        folder = value_of_resume(args)
        if folder is not None and not cls.can_resume(folder):
            raise cannot_resume(folder)
        return folder
