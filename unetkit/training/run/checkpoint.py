"""The checkpoint that a run resumes from, kept with the one before it, and checked when it is read."""

from __future__ import annotations

import os
import pickle
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from unetkit.foundation import shell
from unetkit.foundation.console import log
from unetkit.foundation.errors import ConfigError, ModelError
from unetkit.models.model_file import MODEL_FILE
from unetkit.models.segmenter import load_network
from unetkit.models.weight_files import DAMAGED_FILE_ERRORS
from unetkit.report.run.folder import CHECKPOINT_FILE, PREVIOUS_FILE, has_checkpoint
from unetkit.training.run.callbacks import BEFORE_TRAINING, KeepBest, RunFolder

CHECKPOINT_KEYS = ("state_dict", "optimizer_states", "lr_schedulers", "loops", "callbacks", "epoch", "global_step")
"""Keys that a checkpoint of a run has."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read.

    Attributes:
        path: The file.
        state: What it holds.
    """

    path: Path
    state: dict[str, Any]

    @property
    def epochs(self) -> int:
        """Number of epochs that are done."""
        return int(self.state["epoch"]) + 1

    @property
    def settings(self) -> str | None:
        """The config.yaml that it was trained with; None of a run that was not made by the command line."""
        text = self.state["callbacks"].get(RunFolder.__name__, {}).get("settings")
        return text if isinstance(text, str) else None

    @property
    def split(self) -> dict[str, Any] | None:
        """How the images were divided, as `TrainingData` keeps it; None of a run of an older unetkit."""
        return next((v["split"] for v in self.state.values() if isinstance(v, dict) and "split" in v), None)

    def check_model(self, model: Path) -> None:
        """Check that the best model so far is there.

        Raises:
            ModelError: It is missing or damaged.
        """
        best = self.state["callbacks"][KeepBest.__name__]
        if best["best_epoch"] == BEFORE_TRAINING and not best["best_scores"]:
            return
        try:
            load_network(model)
        except ModelError as error:
            again = f"--config {_quote(model.with_name('config.yaml'))} --model.weights {_quote(self.path)}"
            raise ModelError(
                f"The best model so far is missing or damaged: {error.problem}",
                f"Put {model} back; or start a new run from the last epoch of this one: unetkit fit {again}",
            ) from error


class KeepPrevious(Callback):
    """Keeps the checkpoint of the epoch before beside the last one, until the run is at its end.

    Args:
        folder: The run folder.
    """

    def __init__(self, folder: Path) -> None:
        self._last, self._previous = folder / CHECKPOINT_FILE, folder / PREVIOUS_FILE

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the last checkpoint, which is about to be replaced, a second name; that takes no time."""
        if not trainer.is_global_zero or not self._last.is_file():
            return
        new = self._previous.with_name(f"{PREVIOUS_FILE}.partial")
        with suppress(OSError):  # a file system without links
            new.unlink(missing_ok=True)
            os.link(self._last, new)
            new.replace(self._previous)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remove it."""
        if trainer.is_global_zero:
            self._previous.unlink(missing_ok=True)


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read the last checkpoint of a run; where it is damaged, put the one before in its place and log it.

    Raises:
        ModelError: There is no checkpoint, or none that can be read.
    """
    last, previous = folder / CHECKPOINT_FILE, folder / PREVIOUS_FILE
    if not has_checkpoint(folder):
        raise ModelError(f"{folder} has no {CHECKPOINT_FILE} to go on from.", "Start the run again without --resume.")
    try:
        return _read(last)
    except ModelError as error:
        if not previous.is_file():
            raise
        checkpoint = _read(previous)
        log(f"{error.problem} The one of the epoch before is used: the run goes on after epoch {checkpoint.epochs}.")
        previous.replace(last)
        return Checkpoint(last, checkpoint.state)


def read_settings(folder: Path) -> str | None:
    """Return the config.yaml that the last checkpoint of a run was trained with, without reading its weights.

    Raises:
        ModelError: The checkpoint cannot be read.
    """
    return _read(folder / CHECKPOINT_FILE, weights=False).settings


def check_epochs(checkpoint: Checkpoint, trainer: Trainer) -> None:
    """Raise a ConfigError if more epochs are done than the run is to have."""
    most = trainer.max_epochs
    if most is not None and 0 <= most < checkpoint.epochs:
        raise ConfigError(
            f"trainer.max_epochs: {most} is less than the {checkpoint.epochs} epochs that the run has done.",
            f"Use {checkpoint.epochs} to finish it as it is, or more to go on.",
        )


def _read(path: Path, *, weights: bool = True) -> Checkpoint:
    """Read and check a checkpoint.

    Args:
        path: The file.
        weights: Whether tensors are read; if not, they are left in the file.
    """
    start = path.with_name(MODEL_FILE)
    remedy = "Put back a copy of it"
    remedy += f"; or start a new run from the best model: --model.weights {_quote(start)}" if start.is_file() else ""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=None if weights else True)
    except (pickle.UnpicklingError, *DAMAGED_FILE_ERRORS) as error:
        raise ModelError(f"The checkpoint {path} is damaged, or is none, and cannot be read.", f"{remedy}.") from error
    known = isinstance(state, dict) and all(part in state for part in CHECKPOINT_KEYS)
    if not known or KeepBest.__name__ not in state["callbacks"]:
        raise ModelError(f"{path} is no checkpoint of a unetkit run.", f"{remedy}.")
    return Checkpoint(path, state)


def _quote(path: Path) -> str:
    return shell.quote(str(path))
