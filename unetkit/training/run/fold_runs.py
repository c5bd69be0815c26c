"""The runs of a cross-validation: each fold has its own data, module and trainer, of one configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unetkit.foundation import shell
from unetkit.foundation.console import log, show
from unetkit.training.run.cross_validation import CrossValidation, FoldRun, cross_validate, one_by_one
from unetkit.training.run.fold import begun_split, check_one_process, train_fold
from unetkit.training.run.noting import make_page
from unetkit.training.run.result import log_page
from unetkit.training.run.spread_folds import on_cluster
from unetkit.training.run.training_run import FoldPlace, TrainingRun


def fit_folds(whole: TrainingRun) -> CrossValidation:
    """Train a model for each fold, and log their scores.

    Args:
        whole: The run of all folds together.

    Raises:
        ConfigError: Several processes are to train.
        UnetkitError: A fold cannot be trained.
    """
    data: Any = whole.datamodule
    folder = Path(whole.trainer.default_root_dir)

    def train_one(fold: int) -> FoldRun:
        place = FoldPlace(folder, fold, whole.fill_beside_folds)
        return train_fold(type(whole), whole.run_config, place, begun_split(folder))

    if whole.run_config.is_spread:
        train = on_cluster(whole, data.folds, begun_split(folder))
    else:
        check_one_process(whole)
        train = one_by_one(folder, data.folds, train_one)
    result = cross_validate(folder, data.folds, train)
    if result.rows:
        show(result.table())
    make_page(folder)
    log_page(result.report)
    if result.interrupted:
        log(f"Stopped. Go on with: unetkit fit --resume {shell.quote(str(folder))}")
    else:
        example, models = (shell.quote(str(path)) for path in (data.example_image(), folder))
        log(f"All {result.folds} models together: unetkit segment {example} {whole.target} --model {models}")
    return result
