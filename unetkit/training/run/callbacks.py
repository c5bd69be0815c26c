"""Callbacks beside the training loop: they keep the best model, log progress and write metrics."""

from __future__ import annotations

import csv
import signal
import threading
from collections.abc import Callable
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar

from unetkit.foundation.atomic import make_folder, partial_file
from unetkit.foundation.console import log
from unetkit.foundation.errors import DataError
from unetkit.models.model_file import MODEL_FILE
from unetkit.models.segmenter import Segmenter, save_model
from unetkit.report.run.folder import CONFIG_FILE, METRICS_FILE
from unetkit.scoring.table import IMAGE_SCORES, PIXEL_SCORES, VALIDATED, comparable, validated_names
from unetkit.training.run.base import NetworkModule
from unetkit.training.run.budget import budget_of

SCORES = validated_names(PIXEL_SCORES, IMAGE_SCORES)
"""Validation scores of `fit`; the first one decides which model is kept."""

BEFORE_TRAINING = -1
"""Stands for the number of an epoch before the first one."""

TIMED_BATCHES = 10
"""Batches after which the time of an epoch is estimated."""


class RunFolder(Callback):
    """Makes the run folder once data and settings have been checked, so that a failed start leaves nothing.

    Args:
        folder: The run folder.
        fill: Called with the folder when it is there.
    """

    def __init__(self, folder: Path, fill: Callable[[Path], None] | None) -> None:
        self._folder = folder
        self._fill = fill
        self._settings: str | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make it, and fill it."""
        if not trainer.is_global_zero:
            return
        make_folder(self._folder, "The run folder", "Choose another folder (--runs).")
        if self._fill is not None:
            self._fill(self._folder)
        config = self._folder / CONFIG_FILE
        self._settings = config.read_text(encoding="utf-8") if config.is_file() else None

    def state_dict(self) -> dict[str, Any]:
        """Return the settings: a checkpoint holds those that it was trained with."""
        return {"settings": self._settings}


class OwnSignals(Callback):
    """Leaves SIGTERM to the handler that was there before Lightning's, which waits for the other processes first.

    These may wait for this one in the middle of a step. Where there was no handler, Lightning's stays.
    """

    def __init__(self) -> None:
        self._handler: Any = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Note the handler."""
        self._handler = signal.getsignal(signal.SIGTERM)

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put it back: Lightning has put its own there just now."""
        self._put_back()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put it back, where there was no validation before."""
        self._put_back()

    def _put_back(self) -> None:
        if callable(self._handler) and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._handler)


class KeepBest(Callback):
    """Writes the model file whenever the validation score is the best so far.

    Without validation images it is written after every epoch. A network whose weights all come from a model is scored
    before its first epoch too, so that no run ends with less than it started from.

    Args:
        folder: The run folder.
        scores: Names of the validation scores. The first decides, and higher is better; where it is the same, the next
            one decides.
    """

    def __init__(self, folder: Path, scores: tuple[str, ...] = SCORES) -> None:
        self.path = folder / MODEL_FILE
        self.scores = scores
        self.best_score = -inf
        self.best_epoch = BEFORE_TRAINING
        self.best_scores: dict[str, float] = {}
        self.best_rank = [-inf]
        self.start_scores: dict[str, float] = {}
        self.trained_score = -inf

    def compare_start(self) -> str:
        """Compare what the run started from with the best epoch, by the score that decides; "" if one is missing."""
        name = self.scores[0]
        if name not in self.start_scores or self.trained_score == -inf:
            return ""
        kept = "the start" if self.best_epoch == BEFORE_TRAINING else f"epoch {self.best_epoch + 1}"
        return (
            f"Validation {VALIDATED[name].short}: {self.start_scores[name]:.4f} before training, "
            f"{self.trained_score:.4f} at best after it; {kept} is kept."
        )

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Have a network that is trained already scored on all validation images."""
        if _is_start(trainer, pl_module):
            trainer.num_sanity_val_steps = inf

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare, and write."""
        if trainer.sanity_checking and not _is_start(trainer, pl_module):
            return
        metrics = trainer.callback_metrics
        scores = {name: float(metrics[name]) for name in self.scores if name in metrics}
        ranked = pl_module.rank(scores) if isinstance(pl_module, NetworkModule) else comparable(scores)
        if _is_start(trainer, pl_module):
            self.start_scores = scores
        elif scores:
            self.trained_score = max(self.trained_score, scores[next(iter(scores))])
        if ranked > self.best_rank:
            self.best_rank = ranked
            self.best_score = scores[self.scores[0]]
            self.best_scores = scores
            self._write(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write, where there is nothing to compare."""
        if not sum(trainer.num_val_batches):
            self._write(trainer, pl_module)

    def _write(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.best_epoch = BEFORE_TRAINING if trainer.sanity_checking else trainer.current_epoch
        if trainer.is_global_zero and isinstance(pl_module, NetworkModule):
            save_model(Segmenter(pl_module.scored_spec, pl_module.best_network()), self.path)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run has to know."""
        names = ("best_score", "best_epoch", "best_scores", "best_rank", "start_scores", "trained_score")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.best_score = state_dict["best_score"]
        self.best_epoch = state_dict["best_epoch"]
        self.best_scores = state_dict["best_scores"]
        self.best_rank = state_dict.get("best_rank", list(self.best_scores.values()) or [-inf])
        self.start_scores = state_dict.get("start_scores", {})
        self.trained_score = state_dict.get("trained_score", -inf)


class MetricsTable(Callback):
    """Writes one line for each epoch to `metrics.csv`; a resumed run goes on after the epoch that it resumes from.

    Args:
        folder: The run folder.
        scores: Names of the validation scores; the first is logged.
        speak: Whether each line is logged too.

    Attributes:
        columns: Columns of the table.
    """

    def __init__(self, folder: Path, scores: tuple[str, ...] = SCORES, *, speak: bool) -> None:
        self.path = folder / METRICS_FILE
        self.scores = scores
        self.columns = ("epoch", "step", "lr", "train_loss", *scores, "seconds")
        self.speak = speak
        self._epoch_start = 0.0
        self._validated = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the lines of the epochs before this run, and no others."""
        if not trainer.is_global_zero:
            return
        kept = [row for row in self._rows() if int(row["epoch"]) < trainer.current_epoch]
        with partial_file(self.path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns, restval="", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(kept)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the time."""
        self._epoch_start = monotonic()
        self._validated = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that this epoch has validation scores of its own; log those from before the first."""
        self._validated = True
        if self.speak and trainer.is_global_zero and _is_start(trainer, pl_module):
            decides = self.scores[0]
            score = _rounded(float(trainer.callback_metrics[decides]))
            log(f"before training  validation {VALIDATED[decides].short} {score}")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the line of the epoch."""
        if not trainer.is_global_zero:
            return
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if not self._validated:
            metrics = {name: value for name, value in metrics.items() if name not in self.scores}
        row: dict[str, Any] = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            "lr": f"{trainer.optimizers[0].param_groups[0]['lr']:.3e}",
            "train_loss": _rounded(metrics.get("train_loss_epoch")),
            "seconds": f"{monotonic() - self._epoch_start:.1f}",
            **{name: _rounded(metrics.get(name)) for name in self.scores},
        }
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns).writerow(row)
        if self.speak:
            decides = self.scores[0]
            score = f"  validation {VALIDATED[decides].short} {row[decides]}" if row[decides] else ""
            log(f"epoch {name_epoch(trainer)}  loss {row['train_loss']}{score}  ({row['seconds']} s)")

    def check(self, epochs: int) -> None:
        """Check that the table of a run that is resumed is whole; log it if there is none.

        Args:
            epochs: Number of epochs that are done.

        Raises:
            DataError: The table is cut off.
        """
        if not self.path.is_file():
            log(f"There is no {self.path}: it begins anew with epoch {epochs + 1}.")
            return
        remedy = "Put it back; or delete it, and it begins anew where the run goes on."
        try:
            rows = self._rows()
            found = {int(row["epoch"]) for row in rows if None not in row and None not in row.values()}
        except (ValueError, KeyError, TypeError, csv.Error) as error:
            raise DataError(f"{self.path} is damaged: it is not the table of a run.", remedy) from error
        whole = self.path.read_bytes().endswith(b"\n") and set(range(min(found, default=0), epochs)) <= found
        if not whole:
            raise DataError(f"{self.path} is damaged: epochs of the {epochs} that are done are missing.", remedy)

    def _rows(self) -> list[dict[str, str]]:
        if not self.path.is_file():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))


def name_epoch(trainer: Trainer) -> str:
    """Return the number of the present epoch, from 1, and how far the run has come."""
    budget = budget_of(trainer)
    if budget is not None:
        return f"{trainer.current_epoch + 1}, {budget.progress:.0%} of the time"
    return f"{trainer.current_epoch + 1}/{trainer.max_epochs}"


class TrainingBar(RichProgressBar):
    """A progress bar that counts epochs from 1, or shows how much of the time is over."""

    def _get_train_description(self, current_epoch: int) -> str:
        return f"Epoch {name_epoch(self.trainer)}"


class CpuNotice(Callback):
    """Logs that training runs on the CPU, and the time that an epoch takes."""

    def __init__(self) -> None:
        self._start = 0.0
        self._batches = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log that no GPU is in use."""
        if pl_module.device.type == "cpu" and trainer.is_global_zero:
            threads = torch.get_num_threads()
            log(f"Training on the CPU ({threads} thread{'s' * (threads > 1)}): no GPU is in use.")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Estimate the time of an epoch from the first batches; the very first one warms up and does not count."""
        if pl_module.device.type != "cpu" or not trainer.is_global_zero or self._batches > TIMED_BATCHES:
            return
        if self._batches == 0:
            self._start = monotonic()
        self._batches += 1
        if self._batches == TIMED_BATCHES + 1 or (self._batches > 1 and trainer.is_last_batch):
            seconds = (monotonic() - self._start) / (self._batches - 1)
            epoch = seconds * float(trainer.num_training_batches)
            left = seconds * (float(trainer.estimated_stepping_batches) - trainer.global_step)
            whole = "" if budget_of(trainer) else f", the whole run about {_duration(left)}"
            log(f"A batch takes {seconds:.2f} s: an epoch about {_duration(epoch)}{whole}, and validation on top.")
            self._batches = TIMED_BATCHES + 1


def _is_start(trainer: Trainer, module: LightningModule) -> bool:
    """Return whether a network that is trained already is scored before its first epoch."""
    return trainer.sanity_checking and isinstance(module, NetworkModule) and module.starts_trained


def _rounded(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
