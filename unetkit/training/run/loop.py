"""One training run, from a module and its data to the best model in a run folder, whatever stops it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar, cast

from lightning.pytorch import Trainer

from unetkit.data.base import TrainingData
from unetkit.foundation.console import log
from unetkit.foundation.errors import ModelError
from unetkit.foundation.signals import is_hurried
from unetkit.models.model_file import MODEL_FILE
from unetkit.report.run.folder import has_checkpoint
from unetkit.training.run.base import NetworkModule, log_notes
from unetkit.training.run.callbacks import BEFORE_TRAINING, KeepBest, MetricsTable
from unetkit.training.run.checkpoint import check_epochs, read_checkpoint
from unetkit.training.run.divergence import DivergenceError
from unetkit.training.run.processes import end_children
from unetkit.training.run.result import RunResult

Result = TypeVar("Result", bound=RunResult)


class End(Enum):
    """How training has ended: by itself, by Ctrl-C or a fault, or by a signal after which a process is soon killed."""

    DONE = "done"
    STOPPED = "stopped"
    HURRIED = "hurried"

    @property
    def interrupted(self) -> bool:
        """Whether it was stopped before its end."""
        return self is not End.DONE


def run_training(
    trainer: Trainer, module: NetworkModule, data: TrainingData, finish: Callable[[End], Result], *, resume: bool
) -> Result:
    """Train, keep the best model in the run folder, and finish that model.

    Args:
        trainer: From `make_trainer`.
        module: What is trained.
        data: What it is trained on.
        finish: Called in the first process when there is a model, with how the run has ended.
        resume: Go on from the last whole epoch in the run folder.

    Returns:
        What `finish` returned, in all processes.

    Raises:
        UnetkitError: The data or settings do not fit, there is nothing to resume, or training has diverged.
        KeyboardInterrupt: It was stopped before there was a model.
    """
    folder = Path(trainer.default_root_dir)
    data.see(module.spec.dims, module.spec.planes)
    start = _resume(trainer, data, folder) if resume else None
    end, broken = End.DONE, None
    module.resuming = resume
    try:
        with _same_ctrl_c():
            trainer.fit(module, datamodule=data, ckpt_path=start, weights_only=True)
    except (SystemExit, KeyboardInterrupt) as error:  # Lightning's answer to Ctrl-C is SystemExit
        end = End.HURRIED if is_hurried(error) or trainer.received_sigterm else End.STOPPED
    except DivergenceError as error:
        end, broken = End.STOPPED, error
    except BaseException:  # whatever it is, the processes that were started must not go on waiting
        end_children(trainer)
        log_notes(trainer, data)
        raise
    if end.interrupted:
        end_children(trainer)
        if not trainer.is_global_zero:
            raise broken or KeyboardInterrupt
    model = folder / MODEL_FILE
    began = has_checkpoint(folder) or best_of(trainer).best_epoch != BEFORE_TRAINING
    if end.interrupted and broken is None and not began:
        model.unlink(missing_ok=True)  # what it started from, if that was scored
        log("Stopped before the first epoch was over: there is no model.")
        raise KeyboardInterrupt
    if not model.is_file():
        raise broken or ModelError("Training has diverged: no epoch has a score that is a number.", "Lower model.lr.")
    try:
        result = finish(end) if trainer.is_global_zero else None
    except KeyboardInterrupt:
        log(f"Stopped while the run was finished. Its best model is kept: {model}")
        end_children(trainer)
        raise
    if broken is not None:
        kept = best_of(trainer).best_epoch + 1
        which = f"that of epoch {kept}" if kept else "the one that the run started from"
        raise DivergenceError(f"{broken.problem} The best model so far is kept: {model}, {which}.", broken.remedy)
    if not end.interrupted and (result is None or not result.interrupted):
        result = trainer.strategy.broadcast(result)
    assert result is not None
    return result


def _resume(trainer: Trainer, data: TrainingData, folder: Path) -> Path:
    """Check that a run can go on, divide the data as before, and return its checkpoint."""
    checkpoint = read_checkpoint(folder)
    check_epochs(checkpoint, trainer)
    checkpoint.check_model(folder / MODEL_FILE)
    next(callback for callback in trainer.callbacks if isinstance(callback, MetricsTable)).check(checkpoint.epochs)  # type: ignore[attr-defined]
    if checkpoint.split is not None:
        data.keep_split(checkpoint.split)
    return checkpoint.path


@contextmanager
def _same_ctrl_c() -> Iterator[None]:
    """Keep the handler of Ctrl-C: once Lightning has answered it, it leaves the signal ignored."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)


def best_of(trainer: Trainer) -> KeepBest:
    """Return the callback that keeps the best model of a run."""
    return next(callback for callback in trainer.callbacks if isinstance(callback, KeepBest))  # type: ignore[attr-defined]


def describe_run(trainer: Trainer, data: TrainingData, **scores: float | None) -> dict[str, Any]:
    """Return the facts about a run for its model file: plain values for JSON."""
    origin = cast(NetworkModule, trainer.lightning_module).origin
    return {
        "epoch": best_of(trainer).best_epoch + 1,
        "epochs": trainer.current_epoch if trainer.max_epochs == -1 else trainer.max_epochs,
        "steps": trainer.global_step,
        **scores,
        "data": data.describe(),
        **({} if origin is None else {"start": origin.noted()}),
    }
