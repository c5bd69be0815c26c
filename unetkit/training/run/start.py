"""From a configuration to a finished run, whatever it trains on."""

from __future__ import annotations

from unetkit.training.run.cross_validation import CrossValidation
from unetkit.training.run.fold_runs import fit_folds
from unetkit.training.run.result import RunResult
from unetkit.training.run.trainer import quiet_lightning
from unetkit.training.run.training_run import TrainingRun
from unetkit.training.settings.config import RunConfig


def start(kind: type[TrainingRun], config: RunConfig) -> RunResult | CrossValidation:
    """Train as a configuration says, one run or one for each fold, and log the result.

    Args:
        kind: Class of the run, by what is trained on what.
        config: The configuration; that of a run that goes on is from `resumed`.

    Raises:
        UnetkitError: The settings or the data do not fit, or there is nothing to resume.
        KeyboardInterrupt: It was stopped before there was a model.
    """
    with quiet_lightning():
        run = kind(config)
        if run.has_folds:
            return fit_folds(run)
        config.check_spread(run.config.get("data.folds"), run.config.get("data.fold"))
        result = run.train(resume=config.resume is not None)
    if run.trainer.is_global_zero:
        run.conclude(result)
        run.report(result)
    return result
