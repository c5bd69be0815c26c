"""How far training has come, in a notebook."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar

from unetkit.foundation.notebook import NotebookBar, clock
from unetkit.training.run.budget import budget_of
from unetkit.training.run.callbacks import name_epoch


class NotebookTrainingBar(ProgressBar):
    """One bar for the whole run: its steps, or its time where that is over first. Lines of epochs stand below."""

    def __init__(self) -> None:
        super().__init__()
        self._bar: NotebookBar | None = None
        self._first = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the bar."""
        super().on_train_start(trainer, pl_module)
        self._first = trainer.global_step
        if trainer.is_global_zero:
            self._bar = NotebookBar("Training", None)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move it."""
        self._move(trainer, f"Epoch {name_epoch(trainer)}")

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say that images are scored meanwhile."""
        if not trainer.sanity_checking:
            self._move(trainer, f"Epoch {name_epoch(trainer)}, validation", at_once=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave it as far as it has come."""
        self._move(trainer, f"Trained to epoch {trainer.current_epoch}", at_once=True)

    def _move(self, trainer: Trainer, title: str, *, at_once: bool = False) -> None:
        if self._bar is None:
            return
        budget, steps = budget_of(trainer), float(trainer.estimated_stepping_batches)
        timed = 0.0 if budget is None else budget.progress
        share, here = trainer.global_step / steps, (trainer.global_step - self._first) / steps
        if timed > share:  # the time is over before the epochs are
            share = here = timed
        left = f", about {clock(self._bar.seconds * (1 - share) / here)} left" if here > 0 and share < 1 else ""
        note = f"{clock(self._bar.seconds)}{left}"
        self._bar.update(min(share, 1), title=title, total=1, note=note, at_once=at_once)
