"""The run of one fold of a cross-validation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unetkit.foundation.errors import ConfigError
from unetkit.report.run.folder import fold_folder, has_checkpoint
from unetkit.training.run.checkpoint import read_checkpoint
from unetkit.training.run.result import RunResult
from unetkit.training.run.training_run import FoldPlace, TrainingRun
from unetkit.training.settings.config import RunConfig

Split = dict[str, Any]
"""How the images were divided, as `TrainingData` keeps it."""


def train_fold(kind: type[TrainingRun], config: RunConfig, place: FoldPlace, split: Split | None) -> RunResult:
    """Train a fold, from its last whole epoch on if there is one.

    Args:
        kind: Class of the run.
        config: The configuration of the cross-validation.
        place: Which fold it is.
        split: How the images were divided when the cross-validation was begun; None where it begins.

    Raises:
        UnetkitError: The fold cannot be trained.
    """
    run = kind(config, place)
    check_one_process(run)
    if split is not None:
        run.datamodule.keep_split(split)
    result = run.train(resume=has_checkpoint(fold_folder(place.folder, place.fold)))
    run.conclude(result)
    return result


def check_one_process(run: TrainingRun) -> None:
    """Raise a ConfigError if several processes are to train a fold."""
    if run.trainer.world_size > 1:
        raise ConfigError(
            "Each fold is trained in one process, and trainer.devices starts several.",
            "Leave trainer.devices out, or train the folds one by one (data.fold).",
        )


def begun_split(folder: Path) -> Split | None:
    """Return how the images were divided by the first fold of a cross-validation that has a checkpoint."""
    begun = next((fold for fold in sorted(folder.glob("fold-*")) if has_checkpoint(fold)), None)
    return None if begun is None else read_checkpoint(begun).split
