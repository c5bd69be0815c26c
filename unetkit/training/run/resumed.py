"""A run that goes on: its files are checked, and its settings are those that it began with."""

from __future__ import annotations

from pathlib import Path

from unetkit.foundation.errors import ConfigError
from unetkit.report.run.folder import CONFIG_FILE, fold_folder, has_checkpoint
from unetkit.training.run.checkpoint import read_checkpoint
from unetkit.training.settings.changes import check_config
from unetkit.training.settings.config import RunConfig, cannot_resume

FOLD_SETTINGS = ("data.fold", "runs", "name", "resume")
"""Settings in which a fold differs from its cross-validation."""


def can_resume(folder: Path) -> bool:
    """Whether a folder holds a run, or a cross-validation, to go on with."""
    return has_checkpoint(folder) or (fold_folder(folder, 0).is_dir() and (folder / CONFIG_FILE).is_file())


def resumed(config: RunConfig) -> RunConfig:
    """Return a configuration over that of the run that it goes on with; as it is where it begins one.

    Raises:
        UnetkitError: The run cannot go on.
    """
    folder = config.resume
    if folder is None:
        return config
    if not can_resume(folder):
        raise cannot_resume(folder)
    own = has_checkpoint(folder)
    begun = folder if own else next((fold for fold in folder.glob("fold-*") if has_checkpoint(fold)), None)
    stored = None if begun is None else read_checkpoint(begun).settings
    if stored is not None:
        check_config(folder, stored, () if own else FOLD_SETTINGS)
    elif not (folder / CONFIG_FILE).is_file():
        raise ConfigError(f"{folder} has no {CONFIG_FILE}, and its checkpoint holds none.", "Put it back.")
    if fold_folder(folder, 0).is_dir() and len(config.values) > 1:
        raise ConfigError(
            f"{folder} is a cross-validation, whose folds must all be trained alike.",
            "Give --resume without any other setting.",
        )
    return config.over(folder / CONFIG_FILE)
