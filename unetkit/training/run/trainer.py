"""Lightning's Trainer, as unetkit uses it: it fills a run folder, and is quiet."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, ProgressBar

from unetkit.foundation.errors import ConfigError
from unetkit.foundation.notebook import in_notebook
from unetkit.inference.tuning.device import has_bfloat16
from unetkit.report.run.folder import CHECKPOINT_FILE
from unetkit.training.run.budget import Budget, BudgetKeeper
from unetkit.training.run.callbacks import (
    SCORES,
    CpuNotice,
    KeepBest,
    MetricsTable,
    OwnSignals,
    RunFolder,
    TrainingBar,
)
from unetkit.training.run.checkpoint import KeepPrevious
from unetkit.training.run.divergence import StopWhenBroken
from unetkit.training.run.notebook_bar import NotebookTrainingBar
from unetkit.training.run.processes import check_processes
from unetkit.training.run.validation_pace import ValidationPace
from unetkit.training.settings.options import TRAINER_DEFAULTS


def make_trainer(
    folder: Path,
    fill: Callable[[Path], None] | None = None,
    scores: tuple[str, ...] = SCORES,
    budget: Budget | None = None,
    **arguments: Any,
) -> Trainer:
    """Return a Trainer that fills a run folder.

    Unless `precision` is given, it trains in mixed precision on CUDA and on processors that compute in bfloat16,
    which about doubles the speed there. On a terminal it shows a progress bar, else it prints a line for each epoch; in
    a notebook both.

    Args:
        folder: The run folder; made, if it is missing, when the data have been checked.
        fill: Called with the run folder when it is there.
        scores: Names of the validation scores, the one that decides which model is kept first.
        budget: Time after which the run ends, whatever its number of epochs.
        arguments: Arguments of Lightning's Trainer.

    Raises:
        ConfigError: Lightning cannot do what the arguments ask for, for example train on a GPU that is not there.
    """
    arguments = {**TRAINER_DEFAULTS, **arguments}
    epochs = arguments["max_epochs"]
    endless = epochs == -1 and budget is None and arguments.get("max_steps", -1) <= 0
    if epochs is not None and (epochs < -1 or epochs == 0 or endless):
        raise ConfigError(f"trainer.max_epochs: {epochs} is not possible.", "Use 1 or more.")
    if arguments["use_distributed_sampler"]:
        raise ConfigError(
            "trainer.use_distributed_sampler: true is not possible; the images are divided among the processes anyway.",
            "Leave it out.",
        )
    if arguments.get("precision") is None:
        arguments["precision"] = _fastest_precision(arguments.get("accelerator", "auto"))
    callbacks = list(arguments.get("callbacks") or [])
    interval, end = arguments.get("val_check_interval"), arguments.get("max_time")
    paced = budget is None and interval is None and end is None and arguments["check_val_every_n_epoch"] is None
    if arguments["check_val_every_n_epoch"] is None and not isinstance(interval, int):
        arguments["check_val_every_n_epoch"] = 1
    notebook, terminal = in_notebook(), sys.stdout.isatty()
    bar = arguments.get("enable_progress_bar") is not False and (notebook or terminal)
    arguments["enable_progress_bar"] = bar
    if bar and not any(isinstance(callback, ProgressBar) for callback in callbacks):
        callbacks.append(NotebookTrainingBar() if notebook else TrainingBar())
    callbacks += [
        OwnSignals(),
        StopWhenBroken(),
        *([] if budget is None else [BudgetKeeper(budget)]),
        *([ValidationPace()] if paced else []),
        RunFolder(folder, fill),
        KeepPrevious(folder),
        KeepBest(folder, scores),
        MetricsTable(folder, scores, speak=notebook or not bar),
        CpuNotice(),
        ModelCheckpoint(folder, Path(CHECKPOINT_FILE).stem, save_on_train_epoch_end=True, enable_version_counter=False),
    ]
    try:
        trainer = Trainer(**{**arguments, "callbacks": callbacks, "default_root_dir": folder})
    except (MisconfigurationException, ValueError, ImportError) as error:
        problem = str(error).strip().splitlines()[0].rstrip(".!")
        raise ConfigError(f"Training cannot be set up so: {problem}.", "Correct the settings under trainer.") from error
    check_processes(trainer)
    # With deterministic algorithms PyTorch fills all new memory, a tenth of a step on a CPU. No kernel reads it first.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return trainer


def _fastest_precision(accelerator: str) -> str:
    """Return the mixed precision that the hardware is made for, or full precision."""
    if torch.cuda.is_available() and accelerator in ("auto", "gpu", "cuda"):
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not torch.backends.mps.is_available())
    return "bf16-mixed" if on_cpu and has_bfloat16() else "32-true"


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's hints and advertisements, which do not concern our users, off the terminal."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
