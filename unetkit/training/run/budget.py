"""Training for a given time: the learning rate follows the clock, and the run ends when its time is over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from time import monotonic
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from unetkit.foundation.console import log
from unetkit.foundation.errors import ConfigError
from unetkit.inference.tiling.halo import WINDOWS_PER_AXIS
from unetkit.planning.choose_length import VALIDATION_SHARE
from unetkit.training.run.base import NetworkModule
from unetkit.training.run.validation_pace import NEVER_VALIDATE

HALO_SHARE = 0.05
"""Share of the time that measuring the halo may take. If it would take more, fewer windows are used."""

FINISH_SECONDS, FINISH_SHARE = 3.0, 0.02
"""Seconds, and share of the time, for reading and writing the model, pictures and the page at the end of a run."""


@dataclass(frozen=True)
class Budget:
    """The time that a command has.

    Args:
        seconds: Seconds from its start to its end.
        began: When it started, by the clock.
        clock: Returns the time in seconds, from any point in time on.
    """

    seconds: float
    began: float
    clock: Callable[[], float] = monotonic

    def __post_init__(self) -> None:
        if self.seconds <= 0:
            raise ConfigError(f"minutes: {self.seconds / 60:g} is not possible.", "Use a number above 0.")

    def elapsed(self) -> float:
        """Return the seconds since the start."""
        return self.clock() - self.began


class BudgetKeeper(Callback):
    """Ends a run in time: it measures validation and reserves time for it and for what follows training.

    Where several processes train, all of them follow the clock of the first.

    Args:
        budget: The time that there is.

    Attributes:
        progress: Share of the training time that is over, 0 to 1.
        crops: Number of crops trained on.
        validation: Seconds for validating on all images.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.progress = 0.0
        self.crops = 0
        self.validation = 0.0
        self._used = 0.0  # seconds, by the commands that the run was resumed from
        self._origin = (0.0, 0.0)  # seconds and progress at which training began
        self._now = 0.0  # seconds since the run began
        self._validated = 0.0  # when the last validation ended
        self._ends = [0.0]  # when the present one began, and when each of its images was done
        self._pixel = 0.0  # seconds for predicting a pixel
        self._halo = 0  # pixels that are predicted to measure the halo with the usual number of windows

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Have the learning rate follow the clock."""
        if isinstance(pl_module, NetworkModule):
            pl_module.progress = lambda: self.progress

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Have at least two images tried: the first warms up, and the second is measured."""
        trainer.num_sanity_val_steps = max(trainer.num_sanity_val_steps, 2)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the time, by the clock of each process: they may have different numbers of images."""
        self._ends = [self.elapsed()]

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Note the time."""
        self._ends.append(self.elapsed())

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure how long validation takes; estimate it from the trial before training, which may be on few images."""
        first = 1 if trainer.sanity_checking and len(self._ends) > 2 else 0
        if (images := len(self._ends) - 1 - first) > 0:
            image = (self.elapsed() - self._ends[first]) / images
            self.validation = image * sum(trainer.num_val_batches or [images])
        self.validation = float(trainer.strategy.broadcast(self.validation))
        self._validated = self._tick(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the time that there is to train in.

        Raises:
            ConfigError: There is no time, and no model to end with.
        """
        before = self._tick(trainer)
        if isinstance(pl_module, NetworkModule) and (pixels := pl_module.predict_window()):
            self._pixel = (self._tick(trainer) - before) / pixels
            self._halo = pl_module.halo_pixels()
        now = self._tick(trainer)
        self._origin = (now, self.progress)
        self._validated = max(self._validated, now)
        reserve = self._reserve(pl_module)
        minutes = self.budget.seconds / 60
        if now + reserve < self.budget.seconds:
            if trainer.is_global_zero:
                log(f"Training ends within the {minutes:g} min, of which {spell_seconds(now)} are over.")
            return
        if not trainer.global_step and not (isinstance(pl_module, NetworkModule) and pl_module.starts_trained):
            raise ConfigError(
                f"minutes: {minutes:g} is too little: {now:.0f} s are over before training begins, and the end takes "
                f"{reserve:.0f} s.",
                f"Give at least {ceil(2 * (now + reserve) / 60)} minutes.",
            )
        if trainer.is_global_zero:
            log(f"The {minutes:g} min leave no time to train{'' if trainer.global_step else ': the start is kept'}.")
        trainer.should_stop = True

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Have the validation data made ready."""
        trainer.check_val_every_n_epoch = 1

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Find from the clock how far the run has come, whether it is over, and whether it is time to validate."""
        before, now = self._now, self._tick(trainer)
        self.crops += len(next(iter(batch.values()))) * trainer.world_size  # of crops or of whole images
        reserve = self._reserve(pl_module)
        start, begun = self._origin
        length = max(self.budget.seconds - reserve - start, 1e-9)
        self.progress = max(self.progress, min(1.0, begun + (1 - begun) * (now - start) / length))
        trainer.should_stop = trainer.should_stop or now + reserve + (now - before) / 2 >= self.budget.seconds
        waited = now - self._validated >= (1 / VALIDATION_SHARE - 1) * self.validation
        first = trainer.current_epoch == 0  # from then on there is a model to end with
        trainer.check_val_every_n_epoch = 1 if first or waited or trainer.should_stop else NEVER_VALIDATE

    def elapsed(self) -> float:
        """Return the seconds that the run has taken, those before it was resumed included."""
        return self._used + self.budget.elapsed()

    @property
    def halo_positions(self) -> int:
        """Windows to measure the halo with: the fewest where the usual ones take too much time."""
        return WINDOWS_PER_AXIS if self._pixel * self._halo <= HALO_SHARE * self.budget.seconds else 2

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run has to know."""
        seconds = self.budget.seconds
        return {"used": self.elapsed(), "progress": self.progress, "crops": self.crops, "seconds": seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint, with the time that is left.

        If there is more time than before, a smaller share of it is over.
        """
        self._used, self.progress, self.crops = (state_dict[name] for name in ("used", "progress", "crops"))
        self.progress *= min(1.0, state_dict["seconds"] / self.budget.seconds)

    def _tick(self, trainer: Trainer) -> float:
        """Read the clock of the first process."""
        self._now = float(trainer.strategy.broadcast(self.elapsed()))
        return self._now

    def _reserve(self, module: LightningModule) -> float:
        """Return the seconds for a last validation and for what comes after training."""
        finish = 0.0
        if isinstance(module, NetworkModule):
            finish = module.finish_seconds(self.validation, self._pixel, self.halo_positions)
        return FINISH_SECONDS + FINISH_SHARE * self.budget.seconds + self.validation + finish


def spell_use(keeper: BudgetKeeper, covering: float | None, epochs: int) -> str:
    """Return a sentence on how far a run has come in its time.

    Args:
        keeper: Callback that kept it to its time.
        covering: Crops that cover the images to train on once, if that is known.
        epochs: Epochs that were begun.
    """
    passes = f", each part of the images about {keeper.crops / covering:.3g} times" if covering else ""
    return (
        f"{spell_seconds(keeper.elapsed())} of {spell_seconds(keeper.budget.seconds)} used: {keeper.crops:,} crops"
        f"{passes}, in {epochs} epoch{'s' * (epochs != 1)}."
    )


def budget_of(trainer: Trainer) -> BudgetKeeper | None:
    """Return the callback that keeps a run to its time; None for a run with a number of epochs alone."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return next((callback for callback in callbacks if isinstance(callback, BudgetKeeper)), None)


def spell_seconds(seconds: float) -> str:
    """Return a time in words: "45 s", "2 min 05 s"."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02} s"
