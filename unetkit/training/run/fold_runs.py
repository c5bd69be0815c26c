"""The runs of a cross-validation: each fold has its own data, module and trainer, of one configuration."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from unetkit.foundation.console import log, show
from unetkit.foundation.errors import ConfigError
from unetkit.report.run.folder import has_checkpoint
from unetkit.training.run.checkpoint import read_checkpoint
from unetkit.training.run.cross_validation import CrossValidation, cross_validate
from unetkit.training.run.noting import make_page
from unetkit.training.run.result import RunResult, log_page
from unetkit.training.run.training_run import TrainingRun


def fit_folds(whole: TrainingRun) -> CrossValidation:
    """Train a model for each fold, and log their scores.

    Args:
        whole: The run of all folds together.

    Raises:
        ConfigError: Several processes are to train.
        UnetkitError: A fold cannot be trained.
    """
    if whole.trainer.world_size > 1:
        raise ConfigError(
            "Folds that follow each other are trained in one process, and trainer.devices starts several.",
            "Leave trainer.devices out, or train the folds one by one (data.fold).",
        )
    data: Any = whole.datamodule

    def train_fold(fold: int) -> RunResult:
        part = type(whole)(whole.run_config, whole, fold)
        others = (other for other in folder.glob("fold-*") if has_checkpoint(other))
        if (begun := next(others, None)) is not None and (split := read_checkpoint(begun).split) is not None:
            part.datamodule.keep_split(split)
        result = part.train(resume=has_checkpoint(Path(part.trainer.default_root_dir)))
        part.conclude(result)
        return result

    folder = Path(whole.trainer.default_root_dir)
    result = cross_validate(folder, data.folds, train_fold)
    if result.rows:
        show(result.table())
    make_page(folder)
    log_page(result.report)
    if result.interrupted:
        log(f"Stopped. Go on with: unetkit fit --resume {shlex.quote(str(folder))}")
    else:
        example, models = (shlex.quote(str(path)) for path in (data.example_image(), folder))
        log(f"All {result.folds} models together: unetkit segment {example} {whole.target} --model {models}")
    return result
