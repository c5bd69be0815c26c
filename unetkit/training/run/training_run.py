"""A training run from its configuration: LightningCLI makes data, module and trainer of it, and it has a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from unetkit.commandline.parsing import PARSER_MODE, complete, print_settings
from unetkit.data.base import TrainingData
from unetkit.foundation.atomic import partial_file
from unetkit.foundation.console import log
from unetkit.foundation.errors import OutputError
from unetkit.report.run.folder import CONFIG_FILE, fold_folder, has_checkpoint
from unetkit.training.run.base import NetworkModule
from unetkit.training.run.budget import Budget
from unetkit.training.run.checkpoint import read_settings
from unetkit.training.run.noting import note_end, note_start
from unetkit.training.run.result import RunResult
from unetkit.training.run.resumed import can_resume
from unetkit.training.run.trainer import make_trainer
from unetkit.training.settings.changes import Changes, changes, check_changes, describe_changes
from unetkit.training.settings.config import RunConfig
from unetkit.training.settings.options import TRAINER_DEFAULTS, Settings


@dataclass(frozen=True)
class FoldPlace:
    """Which fold of a cross-validation a run is.

    Attributes:
        folder: Folder of the cross-validation.
        fold: Number of the fold.
        fill: Writes settings and notes of all folds into the folder; None where these are there already.
    """

    folder: Path
    fold: int
    fill: Callable[[], None] | None = None


class TrainingRun(LightningCLI):
    """Data, module and trainer of a run. The subclass decides what it trains on, and how.

    Args:
        config: The configuration.
        place: Which fold of a cross-validation it is, if it is one.

    Attributes:
        settings: Settings of its verb.
        module: What is trained.
        data: What it is trained on.
        scores: Names of the validation scores, the one that decides which model is kept first.
        target: What `segment` is to write with the models of a cross-validation.
        changed: Settings that have changed since a resumed run began.
    """

    settings: Settings
    module: type[NetworkModule]
    data: type[TrainingData]
    scores: tuple[str, ...]
    target: str = ""
    changed: Changes

    def __init__(self, config: RunConfig, place: FoldPlace | None = None) -> None:
        if place is not None:
            folder = fold_folder(place.folder, place.fold)
            own = {"data.fold": place.fold, "runs": str(folder.parent), "name": folder.name}
            config = replace(config.with_values(own), began=config.began if place.fold == 0 else monotonic())
        self.run_config = config
        self.place = place
        super().__init__(
            self.module,
            self.data,
            run=False,
            save_config_callback=None,
            trainer_defaults=TRAINER_DEFAULTS,
            seed_everything_default=0,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            parser_kwargs={
                "prog": f"unetkit {self.settings.verb}",
                "exit_on_error": False,
                "allow_abbrev": False,  # a key that is misspelt must not pass for the one that it begins
                "parser_mode": PARSER_MODE,
            },
        )
        self.model.warns_of_known = place is not None or not config.planned

    def train(self, *, resume: bool) -> RunResult:
        """Train.

        Args:
            resume: Go on from the last whole epoch in the run folder.

        Raises:
            UnetkitError: The data or settings do not fit, or there is nothing to resume.
        """
        raise NotImplementedError

    def report(self, result: Any) -> None:
        """Log what the run gave, and what to do with it."""
        raise NotImplementedError

    def default_name(self) -> str:
        """Return what a run is called without a name or a configuration file."""
        return self.settings.verb

    @property
    def has_folds(self) -> bool:
        """Whether a model is to be trained for each fold in turn."""
        return self.config.get("data.folds") is not None and self.config.get("data.fold") in (None, "all")

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add what concerns the run folder."""
        for option in self.settings.own:
            parser.add_argument(f"--{option.name}", type=option.type, default=option.default, help=option.help)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:  # noqa: ARG002  # `run_config` has them
        """Complete the configuration with the defaults of the classes."""
        if self.run_config.print_config is not None:
            print_settings(parser, self.run_config.given, self.run_config.print_config)
        self.config = complete(parser, self.run_config.given)
        self.changed = self._compare() if self.run_config.resume is not None and self.place is None else {}
        if self.config.minutes is not None and self.run_config.get("trainer.max_epochs") is None:
            self.config.trainer.max_epochs = -1  # time alone ends the run

    def budget(self) -> Budget | None:
        """Return the time that the run has, if it has a given one; all folds have the same."""
        minutes = self.config.minutes
        if minutes is None:
            return None
        return Budget(60 * minutes / (1 if self.place is None else self.config.data.folds), self.run_config.began)

    def instantiate_classes(self) -> None:
        """Build what the settings describe; the data know what the network sees."""
        super().instantiate_classes()
        self.datamodule.see(self.model.spec.dims, self.model.spec.planes)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Return a Trainer that fills the run folder, once the data turn out to be good."""
        trainer = make_trainer(
            self._run_folder(),
            self.fill_folder,
            self.scores,
            self.budget(),
            **{**self.config_init["trainer"], **self.run_config.objects, **kwargs, **self._elsewhere()},
        )
        if trainer.is_global_zero:
            for line in describe_changes(self.changed):
                log(line)
        return trainer

    def fill_folder(self, folder: Path) -> None:
        """Write settings and notes into the run folder, and beside the folds those of all."""
        self.save_config(folder)
        note_start(folder, self.run_config, self.changed, self.datamodule)
        if self.place is not None and self.place.fill is not None:
            self.place.fill()

    def fill_beside_folds(self) -> None:
        """Write settings and notes of all folds together into their folder."""
        folder = Path(self.trainer.default_root_dir)
        self.save_config(folder)
        note_start(folder, self.run_config, self.changed, None)

    def conclude(self, result: Any) -> None:
        """Note how the run ended, and make its page."""
        note_end(result, self.run_config, self.datamodule, self.remarks(result))

    def remarks(self, result: Any) -> list[str]:  # noqa: ARG002
        """Return sentences on what was measured at the end, for the page."""
        return []

    def save_config(self, folder: Path) -> None:
        """Write the settings, as a config that gives the run again."""
        kept = self.config.clone()
        kept.resume = None
        with partial_file(folder / CONFIG_FILE) as path:
            self.parser.save(kept, path, skip_unset=False, overwrite=True)

    def _elsewhere(self) -> dict[str, Any]:
        """Return arguments of a Trainer that does not train: workers do, whose devices this machine may not have."""
        if not self.run_config.is_spread:
            return {}
        return {"accelerator": "cpu", "strategy": "auto", "devices": 1, "num_nodes": 1, "precision": "32-true"}

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

    def _run_folder(self) -> Path:
        """Return the folder to go on with, or a new one."""
        runs = Path(self.config.runs)
        if self.place is not None:
            return runs / str(self.config.name)
        if self.config.resume:
            return Path(self.config.resume)
        if self.config.name:
            folder = runs / str(self.config.name)
            if folder.exists():
                go_on = f"go on with that run: unetkit {self.settings.verb} --resume {folder}"
                other = go_on if can_resume(folder) else "delete that folder"
                raise OutputError(f"The run folder {folder} exists already.", f"Choose another --name, or {other}.")
            return folder
        stem = Path(self.run_config.files[-1]).stem if self.run_config.files else self.default_name()
        return next(folder for number in count(1) if not (folder := runs / f"{stem}-{number}").exists())
