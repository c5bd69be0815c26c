"""A short run whose gradients and losses are recorded: in one process, or in several that are started together.

Batch norm is frozen, and the loss is a mean over pixels, so that the crops of a batch do not know of each other.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from tiny_fit import SMALL_HALO

from unetkit.data.datamodule import SegmentationData
from unetkit.inference.tiling import halo
from unetkit.training.run.trainer import make_trainer
from unetkit.training.segmentation.module import SegmentationModule
from unetkit.training.segmentation.result import SegmentationResult
from unetkit.training.segmentation.run import train

SETTINGS: dict[str, Any] = {"encoder": "resnet18", "depth": 3, "decoder_channels": [8, 8, 8], "loss": "bce"}


class Recorder(Callback):
    """Keeps the gradients of the first step and the losses of all, and lets batch norm be."""

    def __init__(self) -> None:
        self.gradients: dict[str, torch.Tensor] = {}
        self.losses: list[float] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        for layer in pl_module.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.eval()

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        if not self.gradients:
            named = pl_module.named_parameters()
            self.gradients = {name: value.grad.clone() for name, value in named if value.grad is not None}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.losses.append(float(outputs["loss"]))


def recorded_run(cells: Path, folder: Path, devices: int, batch: int) -> tuple[Recorder, SegmentationResult]:
    """Train, and return what was recorded in this process."""
    torch.manual_seed(0)
    recorder = Recorder()
    trainer = make_trainer(
        folder,
        accelerator="cpu",
        precision="32-true",
        max_epochs=2,
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
        callbacks=[recorder],
    )
    data = SegmentationData(str(cells), val=0.4, crop=64, batch_size=batch, crops_per_epoch=12, workers=0)
    return recorder, train(trainer, SegmentationModule(**SETTINGS), data)


def record_rank(rank: int, port: int, cells: Path, folder: Path, devices: int, batch: int) -> None:
    """Train as one process of several, each of which calls this, and write what was recorded to `rank<n>.pt`."""
    place = {"LOCAL_RANK": rank, "NODE_RANK": 0, "WORLD_SIZE": devices, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()})
    for name, value in SMALL_HALO.items():
        setattr(halo, name, value)
    run, result = recorded_run(cells, folder, devices, batch)
    kept = {"gradients": run.gradients, "losses": run.losses, "dice": result.dice, "epoch": result.epoch}
    torch.save(kept, folder / f"rank{torch.distributed.get_rank()}.pt")
