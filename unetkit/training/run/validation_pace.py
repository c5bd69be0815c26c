"""How often a run with a number of epochs validates: so that validation takes at most a tenth of its time."""

from __future__ import annotations

from math import ceil, floor
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from unetkit.data.base import TrainingData
from unetkit.foundation.console import log
from unetkit.planning.choose_length import VALIDATION_COST, VALIDATION_SHARE

NEVER_VALIDATE = 10**9
"""Number of epochs between validations that means no validation."""


class ValidationPace(Callback):
    """Has as many epochs validated as take a tenth of the time: the first one, the last one, and others evenly between.

    The work is counted in pixels, not timed: a run that is repeated or resumed is validated after the same epochs.
    """

    def __init__(self) -> None:
        self._validated: frozenset[int] = frozenset()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Choose the epochs, and log how many there are if it is not all."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        work = VALIDATION_COST * data.validation_work() if isinstance(data, TrainingData) else 0.0
        steps = ceil(float(trainer.num_training_batches) / trainer.accumulate_grad_batches)
        epochs = ceil(float(trainer.estimated_stepping_batches) / steps)
        self._validated = validated_epochs(epochs, work)
        if len(self._validated) < epochs and trainer.enable_validation and trainer.is_global_zero:
            log(
                f"Validation after {len(self._validated)} of the {epochs} epochs, the last one among them: it takes "
                f"about {VALIDATION_SHARE:.0%} of the time (trainer.check_val_every_n_epoch: 1 validates after each)."
            )

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Have the validation data made ready."""
        trainer.check_val_every_n_epoch = 1

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Decide whether this epoch is validated: if it was chosen, or if the run stops with it."""
        due = trainer.should_stop or trainer.current_epoch in self._validated
        trainer.check_val_every_n_epoch = 1 if due else NEVER_VALIDATE


def validated_epochs(epochs: int, work: float) -> frozenset[int]:
    """Return the epochs, counted from 0, after which to validate.

    Args:
        epochs: Epochs of the run.
        work: Time of a validation as a multiple of that of an epoch.

    >>> sorted(validated_epochs(20, 0.3))
    [0, 3, 6, 10, 13, 16, 19]
    """
    times = epochs if not work else floor(epochs / work * VALIDATION_SHARE / (1 - VALIDATION_SHARE))
    times = min(max(times, 2), epochs)
    return frozenset(round(number * (epochs - 1) / max(times - 1, 1)) for number in range(times))
