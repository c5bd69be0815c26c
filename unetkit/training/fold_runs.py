"""The runs of a cross-validation from one command line: each fold's own, with its own data, module and trainer."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from unetkit.foundation.console import log, show
from unetkit.foundation.errors import ConfigError
from unetkit.training.command import RunCLI
from unetkit.training.run.budget import Budget
from unetkit.training.run.checkpoint import has_checkpoint, read_checkpoint
from unetkit.training.run.cross_validation import CrossValidation, FoldRun, cross_validate, fold_folder
from unetkit.training.settings.changes import Changes


class FoldCLI(RunCLI):
    """Put before a command line, makes it that of one fold, with the settings of the whole cross-validation.

    Args:
        whole: The cross-validation.
        args: The arguments that it was made from.
        fold: The fold to validate on.
    """

    def __init__(self, whole: RunCLI, args: list[str], fold: int) -> None:
        self.whole = whole
        self.folder = fold_folder(Path(whole.trainer.default_root_dir), fold)
        self.share = whole.datamodule.folds
        own = ["--data.fold", str(fold), "--runs", str(self.folder.parent), "--name", self.folder.name]
        super().__init__([*args, *own], whole.began if fold == 0 else None)

    def _run_folder(self) -> Path:
        return self.folder

    def _compare(self) -> Changes:
        return {}  # a cross-validation is resumed without other settings

    def budget(self) -> Budget | None:
        """Return the time of this fold: all folds have the same."""
        whole = super().budget()
        return None if whole is None else replace(whole, seconds=whole.seconds / self.share)

    def save_config(self, folder: Path) -> None:
        """Write the settings of this fold, and those of all beside the folds."""
        super().save_config(folder)
        self.whole.save_config(folder.parent)


def fit_folds(
    cli: RunCLI, args: list[str], fold_cli: type[FoldCLI], train: Callable[..., FoldRun], target: str
) -> CrossValidation:
    """Train a model for each fold, and say how they do.

    Args:
        cli: The command line of all of them.
        args: The arguments that it was made from.
        fold_cli: That of one fold.
        train: Trains (trainer, module, data, *, resume).
        target: What `segment` is to write, for the command that is said at the end.

    Raises:
        ConfigError: Several processes are to train.
        UnetkitError: A fold cannot be trained.
    """
    if cli.trainer.world_size > 1:
        raise ConfigError(
            "Folds that follow each other are trained in one process, and trainer.devices starts several.",
            "Leave trainer.devices out, or train the folds one by one (data.fold).",
        )
    data: Any = cli.datamodule

    def train_fold(fold: int) -> FoldRun:
        part = fold_cli(cli, args, fold)
        others = (other for other in folder.glob("fold-*") if has_checkpoint(other))
        if (begun := next(others, None)) is not None and (split := read_checkpoint(begun).split) is not None:
            part.datamodule.keep_split(split)
        return train(part.trainer, part.model, part.datamodule, resume=has_checkpoint(part.folder))

    folder = Path(cli.trainer.default_root_dir)
    result = cross_validate(folder, data.folds, train_fold)
    if result.rows:
        show(result.table())
    if result.interrupted:
        log(f"Stopped. Go on with: unetkit fit --resume {shlex.quote(str(folder))}")
    else:
        example, models = (shlex.quote(str(path)) for path in (data.example_image(), folder))
        log(f"All {result.folds} models together: unetkit segment {example} {target} --model {models}")
    return result
