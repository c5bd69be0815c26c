"""One training run: from a module and its data to a run folder with a model in it."""

from __future__ import annotations

import logging
import shlex
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, ProgressBar

from unetkit.data.base import TrainingData
from unetkit.data.datamodule import SegmentationData
from unetkit.data.dataset import NamedItem
from unetkit.foundation.console import log
from unetkit.foundation.errors import ConfigError, ModelError
from unetkit.foundation.signals import is_hurried
from unetkit.inference.array import predict_tiled
from unetkit.inference.tiling.halo import HaloMeasurement
from unetkit.inference.tuning.device import has_bfloat16
from unetkit.models.segmenter import MODEL_FILE, Segmenter, load_model, save_model
from unetkit.report.pictures import validation_picture
from unetkit.scoring.pixels import count_pixels, dice
from unetkit.training.base import NetworkModule, log_notes
from unetkit.training.budget import Budget, BudgetKeeper, budget_of
from unetkit.training.callbacks import (
    BEFORE_TRAINING,
    SCORES,
    CpuNotice,
    KeepBest,
    MetricsTable,
    OwnSignals,
    RunFolder,
    TrainingBar,
)
from unetkit.training.checkpoint import CHECKPOINT_FILE, KeepPrevious, check_epochs, has_checkpoint, read_checkpoint
from unetkit.training.divergence import DivergenceError, StopWhenBroken
from unetkit.training.measuring import first_items, note_halo
from unetkit.training.module import SegmentationModule
from unetkit.training.objects import score_objects
from unetkit.training.processes import check_processes, end_children


class Finished(Protocol):
    """What is known of every run that has come to an end."""

    @property
    def interrupted(self) -> bool:
        """Whether the run was stopped before its end."""


Result = TypeVar("Result", bound=Finished)

PICTURE_FILE = "validation.png"
PICTURE_IMAGES = 12

TRAINER_DEFAULTS: dict[str, Any] = {
    "max_epochs": 50,
    "deterministic": "warn",  # the same run twice where the device has deterministic kernels
    "logger": False,  # metrics.csv is always written; any Lightning logger comes on top
    "enable_model_summary": False,
    "num_sanity_val_steps": 1,  # a validation that cannot work fails before the first epoch, not after it
    "log_every_n_steps": 10,
    "devices": 1,  # a batch has as many crops on every machine
    "use_distributed_sampler": False,  # the loaders of SegmentationData divide the images among the processes
}
"""Arguments of Lightning's Trainer that differ from its own defaults."""


class End(Enum):
    """How training has ended: by itself, by Ctrl-C or a fault, or by a signal after which a process is soon killed."""

    DONE = "done"
    STOPPED = "stopped"
    HURRIED = "hurried"

    @property
    def interrupted(self) -> bool:
        """Whether it was stopped before its end."""
        return self is not End.DONE


@dataclass(frozen=True)
class RunResult:
    """What a run left.

    Attributes:
        folder: The run folder.
        model: The model file.
        dice: Mean Dice of the model over the validation images, None without validation images.
        scores: All scores of the model over the validation images, named as in metrics.csv; empty without them. Of one
            that tells instances apart also those of its objects, pooled over the images: val_ap50, val_f1 and val_pq.
        epoch: Number of the epoch that the model is from, the first being 1; 0 for the model that the run started from.
        halo: The halo that was measured; None if the run was stopped before.
        interrupted: Whether the run was stopped before its end.
        compared: Sentence that compares the result with the model that the run started from; "" without one.
    """

    folder: Path
    model: Path
    dice: float | None
    scores: dict[str, float]
    epoch: int
    halo: HaloMeasurement | None
    interrupted: bool
    compared: str = ""


def make_trainer(
    folder: Path,
    fill: Callable[[Path], None] | None = None,
    scores: tuple[str, ...] = SCORES,
    budget: Budget | None = None,
    **arguments: Any,
) -> Trainer:
    """Return a Trainer that fills a run folder.

    Unless `precision` says otherwise, it trains in mixed precision on CUDA and on processors that compute in bfloat16,
    which about doubles the speed there. On a terminal it shows a progress bar, else it prints a line for each epoch.

    Args:
        folder: The run folder; made, if it is missing, when the data have been checked.
        fill: Called with the run folder when it is there.
        scores: Names of the validation scores, the one that decides which model is kept first.
        budget: Time after which the run ends, whatever its number of epochs.
        arguments: Arguments of Lightning's Trainer.

    Raises:
        ConfigError: Lightning cannot do what the arguments say, for example train on a GPU that is not there.
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
    bar = arguments.get("enable_progress_bar") is not False and sys.stdout.isatty()
    arguments["enable_progress_bar"] = bar
    if bar and not any(isinstance(callback, ProgressBar) for callback in callbacks):
        callbacks.append(TrainingBar())
    callbacks += [
        OwnSignals(),
        StopWhenBroken(),
        *([] if budget is None else [BudgetKeeper(budget)]),
        RunFolder(folder, fill),
        KeepPrevious(folder),
        KeepBest(folder, scores),
        MetricsTable(folder, scores, speak=not bar),
        CpuNotice(),
        ModelCheckpoint(folder, Path(CHECKPOINT_FILE).stem, save_on_train_epoch_end=True, enable_version_counter=False),
    ]
    try:
        trainer = Trainer(**{**arguments, "callbacks": callbacks, "default_root_dir": folder})
    except (MisconfigurationException, ValueError, ImportError) as error:
        problem = str(error).strip().splitlines()[0].rstrip(".!")
        raise ConfigError(f"Training cannot be set up so: {problem}.", "Correct the settings under trainer.") from error
    check_processes(trainer)
    return trainer


def _fastest_precision(accelerator: str) -> str:
    """Return the mixed precision that the hardware is made for, or full precision."""
    if torch.cuda.is_available() and accelerator in ("auto", "gpu", "cuda"):
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not torch.backends.mps.is_available())
    return "bf16-mixed" if on_cpu and has_bfloat16() else "32-true"


def train(trainer: Trainer, module: SegmentationModule, data: SegmentationData, *, resume: bool = False) -> RunResult:
    """Train, and finish the model file: its halo is measured, its result noted, a picture of it drawn.

    Stopping with Ctrl-C keeps the best model so far and finishes it in the same way. Where several processes train, the
    first finishes the model, and all return its result.

    Args:
        trainer: From `make_trainer`.
        module: What is trained.
        data: What it is trained on.
        resume: Go on from the last whole epoch in the run folder.

    Raises:
        UnetkitError: The data or settings do not fit, or there is nothing to resume.
    """
    folder = Path(trainer.default_root_dir)
    return run_training(trainer, module, data, lambda end: _finish(trainer, data, folder, end), resume=resume)


def run_training(
    trainer: Trainer, module: NetworkModule, data: TrainingData, finish: Callable[[End], Result], *, resume: bool
) -> Result:
    """Train, keeping the best model in the run folder, and finish that.

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
        model.unlink(missing_ok=True)  # what it started from, if it was judged
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
    """Check that a run can go on, have the data divided as they were, and return its checkpoint."""
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
    """Return what knows the best model of a run."""
    return next(callback for callback in trainer.callbacks if isinstance(callback, KeepBest))  # type: ignore[attr-defined]


def say_how_to_go_on(verb: str, folder: Path) -> None:
    """Say how a run that was stopped goes on."""
    if has_checkpoint(folder):
        log(f"Stopped. Go on with: unetkit {verb} --resume {shlex.quote(str(folder))}")
    else:
        log("Stopped before the first epoch was kept to go on from: there is nothing to resume.")


def say_best(model: Path, epoch: int, scores: str) -> None:
    """Say which model a run has kept: of which epoch, 0 for the one that it started from, and with which scores."""
    log(f"Best model: {model} ({f'epoch {epoch}' if epoch else 'as it was before training'}{scores}).")
    if not epoch:
        log(
            "No epoch was better than what the run started from: it may need no training; else train for longer, or "
            "lower model.lr."
        )


def _finish(trainer: Trainer, data: SegmentationData, folder: Path, end: End) -> RunResult:
    """Complete the best model and draw what it does.

    Measuring takes a while, so what is known already is written before, and Ctrl-C ends it with that.
    """
    path = folder / MODEL_FILE
    keeper = best_of(trainer)
    segmenter = load_model(path, trainer.strategy.root_device)
    best_dice = keeper.best_scores.get("val_dice")
    training = describe_run(trainer, data, val_dice=best_dice)
    segmenter.spec = replace(segmenter.spec, smallest_object=data.smallest_object().pixels, training=training)
    save_model(segmenter, path)
    halo, objects, interrupted = None, {}, end.interrupted
    if end is not End.HURRIED:
        log("Measuring the halo of the model." if not interrupted else "Measuring the halo of the best model so far.")
        try:
            budget = budget_of(trainer)
            halo = note_halo(segmenter, data, None if budget is None else budget.halo_positions)
            objects = score_objects(segmenter, data) if segmenter.spec.instances else {}
            segmenter.spec = replace(segmenter.spec, training=training | objects)
            _draw(segmenter, first_items(data, PICTURE_IMAGES), folder / PICTURE_FILE)
        except KeyboardInterrupt:
            end_children(trainer)
            interrupted = True
        save_model(segmenter, path)
    scores, compared = keeper.best_scores | objects, keeper.compare_start()
    return RunResult(folder, path, best_dice, scores, keeper.best_epoch + 1, halo, interrupted, compared)


def describe_run(trainer: Trainer, data: TrainingData, **scores: float | None) -> dict[str, Any]:
    """Return what a run was like, for its model file: plain values that go to JSON."""
    return {
        "epoch": best_of(trainer).best_epoch + 1,
        "epochs": trainer.current_epoch if trainer.max_epochs == -1 else trainer.max_epochs,
        "steps": trainer.global_step,
        **scores,
        "data": data.describe(),
    }


def _draw(segmenter: Segmenter, items: list[NamedItem], path: Path) -> None:
    """Draw images with the contours of truth and prediction."""
    drawn = []
    device = str(next(segmenter.parameters()).device)
    for item in items:
        predicted = predict_tiled(item["image"].numpy(), segmenter, axes="CYX", device=device)
        truth = item["mask"].numpy()
        score = dice(count_pixels(predicted > 0, truth > 0))
        drawn.append((item["name"], item["image"].numpy(), truth, predicted, score))
    spec = segmenter.spec
    names = spec.class_names or [f"class {number}" for number in range(spec.classes)]
    validation_picture(path, drawn, names[1:])


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
