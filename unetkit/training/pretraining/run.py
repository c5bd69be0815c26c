"""Training on images without masks: a run whose model restores images."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite
from pathlib import Path

import torch
from lightning.pytorch import Trainer
from torch.utils.data import default_collate

from unetkit.data.unmasked import ImageData
from unetkit.drawing.cuts import flatten
from unetkit.foundation.console import log
from unetkit.foundation.errors import OutputError
from unetkit.inference.tiling.halo import HALO_IMAGES, measure_halo
from unetkit.models.model_file import MODEL_FILE
from unetkit.models.segmenter import Segmenter, load_network, save_model
from unetkit.report.restored import restoration_picture
from unetkit.report.run.folder import RESTORED_PICTURE
from unetkit.training.pretraining.module import PretrainModule
from unetkit.training.pretraining.report import remarks, report
from unetkit.training.pretraining.result import PretrainResult
from unetkit.training.run.loop import End, best_of, describe_run, run_training
from unetkit.training.run.training_run import TrainingRun
from unetkit.training.settings.tasks import PRETRAIN

SCORES = ("val_r2", "val_loss")
"""Validation scores of `pretrain`; the first one decides which model is kept."""

PICTURE_CROPS = 6
"""Most crops in the picture of a run."""


class PretrainRun(TrainingRun):
    """A run of `pretrain`."""

    settings = PRETRAIN
    module = PretrainModule
    data = ImageData
    scores = SCORES

    def train(self, *, resume: bool) -> PretrainResult:
        """Train, see `train_to_restore`."""
        return train_to_restore(self.trainer, self.model, self.datamodule, resume=resume)

    def remarks(self, result: PretrainResult) -> list[str]:
        """Return sentences on what was measured at the end."""
        return remarks(result)

    def report(self, result: PretrainResult) -> None:
        """Log what the run gave, and what to do with it."""
        report(result, self.model, self.datamodule)


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
    try:
        _draw(segmenter.cpu(), module, data, folder / RESTORED_PICTURE)
    except OutputError as error:
        log(f"There is no picture: {error.problem} {error.remedy}")
    return PretrainResult(folder, path, keeper.best_epoch + 1, keeper.best_scores, end.interrupted, r2, halo)


def _draw(segmenter: Segmenter, module: PretrainModule, data: ImageData, path: Path) -> None:
    """Draw crops of the first images, damaged as they are for validation."""
    crops = data.val_crops()
    batch = default_collate([crops[0, index] for index in range(min(len(crops), PICTURE_CROPS))])
    clean, damaged, _ = module.cpu().damage(batch, 0, 0)
    with torch.inference_mode():
        restored = module.restore(segmenter.network, damaged)
    voxel = segmenter.spec.pixel_size_um
    columns = [[flatten(crop, voxel) for crop in crops.numpy()] for crops in (damaged, restored, clean)]
    restoration_picture(path, list(zip(*columns, strict=True)))
