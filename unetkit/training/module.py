"""SegmentationModule: how a U-Net is trained and judged."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, inf
from typing import Any, Literal, get_args

import torch
from lightning.pytorch import LightningModule
from segmentation_models_pytorch.base import SegmentationModel
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from unetkit.data.datamodule import SegmentationData
from unetkit.errors import ConfigError, closest
from unetkit.inference.array import predict_tiled
from unetkit.inference.grid import round_up
from unetkit.models.plain_unet import PlainUnet
from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import DECODER_CHANNELS, DEFAULT_ENCODER, Architecture, ModelSpec, Padding
from unetkit.models.weights import load_weights
from unetkit.report.console import say
from unetkit.training.losses import WeightedCrossEntropy, build_loss
from unetkit.training.metrics import SegmentationScores
from unetkit.training.schedule import Schedule, rate_factor

Optimizer = Literal["adamw", "sgd"]
"""Names of the optimizers."""

SGD_MOMENTUM = 0.99

Tensors = tuple[Tensor, ...] | list[Tensor]


class SegmentationModule(LightningModule):
    """A U-Net that predicts masks, on an encoder or the plain one of 2015.

    Args:
        encoder: Contracting path of "unet": resnet18, 34, 50, 101 or 152; resnext50_32x4d or resnext101_32x8d;
            resnetv2_18, 34, 50, 101 or 152 (pre-activation); vgg11, 13, 16 or 19, with "_bn" for batch norm;
            inceptionv4; inceptionresnetv2.
        weights: "imagenet" (downloaded once), or a local `.safetensors` or `.pth` file with the weights of an encoder
            or of a whole model; by default the weights are random.
        in_channels: Channels of the images, or "auto" to take as many as the training images have.
        classes: Number of mask values, the background included: 2 is foreground/background.
        class_names: Names of the mask values, stored in the model file.
        depth: Number of times that the encoder halves the resolution, 3 to 5.
        decoder_channels: Channels of the expanding path from the deepest block up, one for each level of `depth`.
        arch: "unet" has an encoder as its contracting path; "plain_unet" is the network of Ronneberger et al. 2015.
        base_channels: Channels of the first convolutions of "plain_unet"; doubled at each halving of the resolution.
        padding: Of the convolutions of "plain_unet": same, or valid as in the paper: of a crop of 576 pixels the 388 in
            the middle are then predicted and judged, and no pixel sees zeros.
        batch_norm: Whether the convolutions of "plain_unet" are followed by batch norm.
        loss: bce_dice, bce, weighted_bce (rare classes and gaps between objects count more), dice, focal, tversky or
            lovasz.
        optimizer: adamw, or sgd as in the U-Net paper.
        momentum: Of sgd; 0.99 by default, as in the paper.
        lr: Highest learning rate.
        weight_decay: Weight decay.
        schedule: one_cycle, cosine or constant.
        ema_decay: How much of the averaged weights is kept at each step; the averaged ones are validated and saved.
            0 turns averaging off. Early in a run less is kept, so that the random start is soon forgotten.
        freeze_encoder: Train the decoder alone; the encoder's weights and batch norm statistics stay as loaded.
        unfreeze_at_epoch: Epoch from which a frozen encoder is trained too.
        unfreeze_lr_factor: Factor on every learning rate from that epoch on.
        threshold: Foreground probability, 0 to 1, from which a pixel is foreground.

    Attributes:
        segmenter: The model in training; built in `setup`, when the data are known.
        averaged: The average of the weights over the steps, None if `ema_decay` is 0.
    """

    segmenter: Segmenter
    averaged: AveragedModel | None

    def __init__(
        self,
        encoder: str = DEFAULT_ENCODER,
        weights: str | None = None,
        in_channels: int | Literal["auto"] = "auto",
        classes: int = 2,
        class_names: list[str] | None = None,
        depth: int = 5,
        decoder_channels: list[int] | None = None,
        arch: Architecture = "unet",
        base_channels: int = 64,
        padding: Padding = "same",
        batch_norm: bool = False,
        loss: str = "bce_dice",
        optimizer: Optimizer = "adamw",
        momentum: float | None = None,
        lr: float = 1e-3,
        weight_decay: float = 1e-2,
        schedule: Schedule = "one_cycle",
        ema_decay: float = 0.99,
        freeze_encoder: bool = False,
        unfreeze_at_epoch: int | None = None,
        unfreeze_lr_factor: float = 0.1,
        threshold: float = 0.5,
    ) -> None:
        super().__init__()
        if unfreeze_at_epoch is not None and not freeze_encoder:
            raise ConfigError(
                "unfreeze_at_epoch has no meaning while the encoder is not frozen.",
                "Set freeze_encoder: true, or leave unfreeze_at_epoch out.",
            )
        if not 0 <= ema_decay < 1:
            raise ConfigError(f"ema_decay: {ema_decay:g} is not possible.", "Use 0 (off) or a number below 1.")
        if lr <= 0 or unfreeze_lr_factor <= 0:
            name, value = ("lr", lr) if lr <= 0 else ("unfreeze_lr_factor", unfreeze_lr_factor)
            raise ConfigError(f"{name}: {value:g} is not possible.", "Use a number above 0.")
        if weight_decay < 0 or (unfreeze_at_epoch or 0) < 0:
            name = "weight_decay" if weight_decay < 0 else "unfreeze_at_epoch"
            raise ConfigError(f"{name} is below 0.", "Use 0 or more.")
        if schedule not in get_args(Schedule):
            raise ConfigError(f"There is no schedule '{schedule}'.", closest(schedule, get_args(Schedule)))
        if optimizer not in get_args(Optimizer):
            raise ConfigError(f"There is no optimizer '{optimizer}'.", closest(optimizer, get_args(Optimizer)))
        if momentum is not None and (optimizer != "sgd" or not 0 <= momentum < 1):
            raise ConfigError(
                f"momentum: {momentum:g} is not possible for the optimizer {optimizer}.",
                "Use 0 or a number below 1 for sgd, or leave it out.",
            )
        if class_names and len(class_names) != classes:
            raise ConfigError(
                f"{len(class_names)} class_names do not fit {classes} classes.",
                "Give a name for each mask value, the background first.",
            )
        self.weights = weights
        self.in_channels = in_channels
        levels = DECODER_CHANNELS[-depth:] if arch == "unet" else DECODER_CHANNELS
        self.spec = ModelSpec(
            arch=arch,
            encoder=encoder,
            in_channels=1 if in_channels == "auto" else in_channels,
            classes=classes,
            depth=depth,
            decoder_channels=tuple(decoder_channels or levels),
            base_channels=base_channels,
            padding=padding,
            batch_norm=batch_norm,
            class_names=tuple(class_names or ()),
            threshold=threshold,
        )
        self.optimizer = optimizer
        self.momentum = SGD_MOMENTUM if momentum is None else momentum
        self.lr = lr
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.ema_decay = ema_decay
        self.freeze_encoder = freeze_encoder
        self.unfreeze_at_epoch = unfreeze_at_epoch
        self.unfreeze_lr_factor = unfreeze_lr_factor
        self.loss = build_loss(loss, self.spec.out_channels)
        self.scores = SegmentationScores(classes)

    def setup(self, stage: str) -> None:  # noqa: ARG002
        """Build the network for the data that the trainer has."""
        data = self.data
        channels = data.channels if self.in_channels == "auto" else self.in_channels
        weighted = isinstance(self.loss, WeightedCrossEntropy)
        data.prepare_for(channels, self.spec.classes, self.spec.stride, weighted=weighted)
        if self.spec.margin and data.crop <= 2 * self.spec.margin + 4:
            least = round_up(2 * self.spec.margin + 5, self.spec.stride)
            raise ConfigError(
                f"crop: {data.crop} leaves nothing to predict with padding: valid.",
                f"Use at least {least}, better {3 * least}, or padding: same.",
            )
        self.spec = replace(
            self.spec,
            in_channels=channels,
            normalization=data.normalization,
            channel_names=data.channel_names,
            pixel_size_um=data.pixel_size_um,
            training_images=data.describe_images(),
        )
        if hasattr(self, "segmenter"):
            return  # validated after it was fitted: the network is there
        self.segmenter = Segmenter(self.spec).to(memory_format=torch.channels_last)
        resuming = self.trainer.ckpt_path is not None  # then the weights come from the checkpoint
        if self.weights is not None and not resuming:
            say(f"{self.weights}: {load_weights(self.segmenter.network, self.weights, self.spec)}.")
        if self.freeze_encoder:
            self._encoder_trainable(False)
        self.averaged = (
            AveragedModel(self.segmenter.network, multi_avg_fn=self._average, use_buffers=True)
            if self.ema_decay
            else None
        )

    @property
    def data(self) -> SegmentationData:
        """The data that the trainer has."""
        return self.trainer.datamodule  # type: ignore[attr-defined,no-any-return]

    def best_network(self) -> nn.Module:
        """Return the network to judge and to keep: the averaged one, or the one in training where none is averaged."""
        return self.segmenter.network if self.averaged is None else self.averaged.module

    def _encoder_trainable(self, trainable: bool) -> None:
        """Freeze the encoder, its batch norm statistics included, or let go of it."""
        network = self.segmenter.network
        assert isinstance(network, SegmentationModel)
        if trainable:
            network.unfreeze_encoder()
        else:
            network.freeze_encoder()

    def _average(self, average: Tensors, current: Tensors, steps: Tensor | int) -> None:
        """Move the averages, in place, after `steps` updates; the decay grows from 2/11 to `ema_decay`."""
        decay = min(self.ema_decay, (1 + int(steps)) / (10 + int(steps)))
        get_ema_multi_avg_fn(decay)(average, current, steps)  # type: ignore[no-untyped-call]

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:  # noqa: ARG002
        """Compute the loss of a batch of crops: image (N, C, h, w) raw, mask (N, h, w), center and scale (N, C)."""
        image = batch["image"].contiguous(memory_format=torch.channels_last)
        normalized = self.segmenter.normalizer(image, batch["center"], batch["scale"])
        network = self.segmenter.network
        logits = network.predict_inside(normalized) if isinstance(network, PlainUnet) else network(normalized)
        targets = [_center(batch[name], logits) for name in ("mask", "weight") if name in batch]
        loss: Tensor = self.loss(logits.float(), *targets)
        self.log("train_loss", loss, on_step=True, on_epoch=True, prog_bar=True, batch_size=len(image))
        return loss

    def on_train_epoch_start(self) -> None:
        """Let go of a frozen encoder when its epoch has come."""
        if self.unfreeze_at_epoch is not None and self.current_epoch >= self.unfreeze_at_epoch:
            self._encoder_trainable(True)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        """Update the averaged weights after each step of the optimizer."""
        if self.averaged is not None and self.trainer.global_step > int(self.averaged.n_averaged):
            self.averaged.update_parameters(self.segmenter.network)

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:  # noqa: ARG002
        """Score a whole image, predicted as `segment` would."""
        segmenter = Segmenter(self.spec, self.best_network())
        with torch.autocast(self.device.type, enabled=False):  # `segment` computes in full precision
            mask = predict_tiled(batch["image"].cpu().numpy(), segmenter, axes="CYX", device=str(self.device))
        truth = batch["mask"].to(self.device)
        predicted = torch.from_numpy(mask).to(self.device)
        self.scores.update(predicted // 255 if self.spec.classes == 2 else predicted, truth)

    def on_validation_epoch_end(self) -> None:
        """Log Dice and IoU: means over the images (val_dice, val_iou) and pooled (val_pooled_dice, val_pooled_iou)."""
        scores = {f"val_{name}": value for name, value in self.scores.compute().items()}
        self.log("val_dice", scores.pop("val_dice"), prog_bar=True)
        self.log_dict(scores)
        self.scores.reset()

    def configure_optimizers(self) -> Any:
        """Return the optimizer with the schedule, both stepped with every batch."""
        parameters, rate, decay = self.segmenter.network.parameters(), self.lr, self.weight_decay
        optimizer: torch.optim.Optimizer
        if self.optimizer == "sgd":
            optimizer = torch.optim.SGD(parameters, lr=rate, momentum=self.momentum, weight_decay=decay)
        else:
            optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=decay)
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        epoch_steps = ceil(float(self.trainer.num_training_batches) / self.trainer.accumulate_grad_batches)
        unfreeze_step = inf if self.unfreeze_at_epoch is None else epoch_steps * self.unfreeze_at_epoch

        def factor(step: int) -> float:
            lowered = self.unfreeze_lr_factor if step >= unfreeze_step else 1.0
            return lowered * rate_factor(self.schedule, step / steps)

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _center(target: Tensor, logits: Tensor) -> Tensor:
    """Return the part (N, h, w) in the middle of a target that was predicted, logits (N, classes, h, w)."""
    top, left = ((target.shape[1 + axis] - logits.shape[2 + axis]) // 2 for axis in (0, 1))
    return target[:, top : top + logits.shape[2], left : left + logits.shape[3]]
