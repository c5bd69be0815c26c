"""`unetkit pretrain`: from images without masks to a run folder with a model that restores images."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path

import torch
from lightning.pytorch import Trainer
from torch.utils.data import default_collate

from unetkit.data.unmasked import ImageData
from unetkit.foundation.console import log
from unetkit.inference.tiling.halo import HaloMeasurement, measure_halo
from unetkit.models.segmenter import MODEL_FILE, Segmenter, load_network, save_model
from unetkit.report.restored import restoration_picture
from unetkit.training.command import RunCLI
from unetkit.training.pretraining.module import PretrainModule
from unetkit.training.segmentation.measuring import HALO_IMAGES
from unetkit.training.segmentation.run import (
    End,
    best_of,
    describe_run,
    quiet_lightning,
    run_training,
    say_best,
    say_how_to_go_on,
)
from unetkit.training.settings.keys import CONFIG_FILE, PRETRAIN

SCORES = ("val_r2", "val_loss")
PICTURE_FILE = "restored.png"
PICTURE_CROPS = 6


class PretrainCLI(RunCLI):
    """The command line of `pretrain`."""

    settings = PRETRAIN
    module = PretrainModule
    data = ImageData
    scores = SCORES


@dataclass(frozen=True)
class PretrainResult:
    """What a run left.

    Attributes:
        folder: The run folder.
        model: The model file.
        r2: Share of the variance of the hidden pixels of the validation crops, or of all where none are hidden, that
            the model restores, at most 1; None without validation images.
        epoch: Number of the epoch that the model is from, the first being 1.
        halo: The halo that was measured.
        interrupted: Whether the run was stopped before its end.
    """

    folder: Path
    model: Path
    r2: float | None
    epoch: int
    halo: HaloMeasurement
    interrupted: bool


def pretrain(args: list[str], began: float | None = None) -> PretrainResult:
    """Train as the command line says.

    Args:
        args: What follows `unetkit pretrain` on the command line.
        began: When the command began, by the monotonic clock; by default now.

    Raises:
        UnetkitError: The settings or the data do not fit, or there is nothing to resume.
    """
    resume = PretrainCLI.resumed(args)
    if resume is not None:
        args = ["--config", str(resume / CONFIG_FILE), *args]
    with quiet_lightning():
        cli = PretrainCLI(args, began)
        result = train_to_restore(cli.trainer, cli.model, cli.datamodule, resume=resume is not None)
    if cli.trainer.is_global_zero:
        _report(result, cli.model, cli.datamodule)
    return result


def train_to_restore(
    trainer: Trainer, module: PretrainModule, data: ImageData, *, resume: bool = False
) -> PretrainResult:
    """Train, note the result in the model file, and draw what the network does.

    Args:
        trainer: From `make_trainer`, with `SCORES`.
        module: What is trained.
        data: The images.
        resume: Go on from the last whole epoch in the run folder.

    Raises:
        UnetkitError: The data or settings do not fit, or there is nothing to resume.
    """
    return run_training(trainer, module, data, lambda end: _finish(trainer, module, data, end), resume=resume)


def _finish(trainer: Trainer, module: PretrainModule, data: ImageData, end: End) -> PretrainResult:
    """Complete the best model and draw what it does."""
    folder, keeper = Path(trainer.default_root_dir), best_of(trainer)
    path = folder / MODEL_FILE
    r2 = keeper.best_score if isfinite(keeper.best_score) else None
    segmenter = load_network(path, trainer.strategy.root_device)
    crops = data.val_crops()
    items = [crops[0, index] for index in range(min(len(crops), HALO_IMAGES))]
    halo = measure_halo(
        segmenter, [(item["image"].numpy(), item["center"].numpy(), item["scale"].numpy()) for item in items]
    )
    training = describe_run(trainer, data, val_r2=r2)
    segmenter.spec = replace(segmenter.spec, halo=halo.halo, halo_error=halo.error, training=training)
    save_model(segmenter, path)
    _draw(segmenter.cpu(), module, data, folder / PICTURE_FILE)
    return PretrainResult(folder, path, r2, keeper.best_epoch + 1, halo, end.interrupted)


def _draw(segmenter: Segmenter, module: PretrainModule, data: ImageData, path: Path) -> None:
    """Draw crops of the first images, damaged as they are for validation."""
    crops = data.val_crops()
    batch = default_collate([crops[0, index] for index in range(min(len(crops), PICTURE_CROPS))])
    clean, damaged, _ = module.cpu().damage(batch, 0, 0)
    with torch.inference_mode():
        restored = module.restore(segmenter.network, damaged)
    rows = zip(damaged.numpy(), restored.numpy(), clean.numpy(), strict=True)
    restoration_picture(path, list(rows))


def _report(result: PretrainResult, module: PretrainModule, data: ImageData) -> None:
    """Say what the run gave, and what to do with it."""
    model = shlex.quote(str(result.model))
    if result.interrupted:
        say_how_to_go_on("pretrain", result.folder)
    counted = "hidden" if module.corruption.hidden else "all"
    score = "" if result.r2 is None else f", R2 of {counted} pixels {result.r2:.3f}"
    say_best(result.model, result.epoch, score)
    log(f"Picture of damaged, restored and clean crops: {result.folder / PICTURE_FILE}")
    log(
        f"A halo of {result.halo.halo} pixels changes {result.halo.error * 1e4:.2g} in 10,000 restored pixels by more "
        "than 1/255 of their range (measured, stored in the model)."
    )
    example = shlex.quote(str(data.example_image()))
    log(f"Restore images with it: unetkit segment {example} restored.tif --output restored --model {model}")
    spec = module.spec
    widths = shlex.quote(str(list(spec.decoder_channels)).replace(" ", ""))
    shape = f"--model.encoder {spec.encoder} --model.depth {spec.depth} --model.decoder_channels {widths}"
    log(f"Start from it: unetkit fit --data.train FOLDER {shape} --model.weights {model}")
