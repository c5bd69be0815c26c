"""SegmentationModule: how a U-Net is trained and judged."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from math import ceil, inf
from typing import Any, Literal, get_args

import torch
from lightning.pytorch import LightningModule
from segmentation_models_pytorch.base import SegmentationModel
from torch import Tensor, nn

from unetkit.data.datamodule import SegmentationData
from unetkit.data.heights import HeightTarget
from unetkit.errors import ConfigError, closest
from unetkit.inference.array import predict_tiled
from unetkit.inference.grid import round_up
from unetkit.models.plain_unet import PlainUnet
from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import DECODER_CHANNELS, DEFAULT_ENCODER, Architecture, ModelSpec, Padding
from unetkit.models.weights import load_weights
from unetkit.report.console import say
from unetkit.training.average import move_average
from unetkit.training.image_classes import batch_logits, image_loss, image_scores
from unetkit.training.losses import MaskAndHeight, WeightedCrossEntropy, build_loss
from unetkit.training.metrics import SegmentationScores
from unetkit.training.processes import leave_out_unused
from unetkit.training.schedule import Schedule, rate_factor

Optimizer = Literal["adamw", "sgd"]
"""Names of the optimizers."""

SGD_MOMENTUM = 0.99


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
        instances: Whether to learn to tell touching objects apart too: the masks number their objects, and the network
            has one more output, the height of each pixel, see `Heights`. For 2 classes.
        instance_weight: Weight of the loss of the heights against that of the mask.
        instance_target: What the heights are: distance or border.
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
        compile: Compile the network for training: the first step takes a minute, the others may be faster.
        image_classes: Names of what whole images show, trained from data.image_labels: one that is there or not, or
            several of which one is there. `segment` then tells their probabilities for each image.
        image_loss_weight: Weight of the loss of whole images, that of masks being 1.

    Attributes:
        segmenter: The model in training; built in `setup`, when the data are known.
        averaged: The average of the weights over the steps, None if `ema_decay` is 0.
    """

    segmenter: Segmenter
    averaged: nn.Module | None

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
        instances: bool = False,
        instance_weight: float = 1.0,
        instance_target: HeightTarget = "distance",
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
        compile: bool = False,
        image_classes: list[str] | None = None,
        image_loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if len(set(image_classes or ())) != len(image_classes or ()):
            raise ConfigError("Two image_classes have the same name.", "Give each a name of its own.")
        if unfreeze_at_epoch is not None and not freeze_encoder:
            raise ConfigError(
                "unfreeze_at_epoch has no meaning while the encoder is not frozen.",
                "Set freeze_encoder: true, or leave unfreeze_at_epoch out.",
            )
        if not 0 <= ema_decay < 1:
            raise ConfigError(f"ema_decay: {ema_decay:g} is not possible.", "Use 0 (off) or a number below 1.")
        positive = {"lr": lr, "unfreeze_lr_factor": unfreeze_lr_factor, "instance_weight": instance_weight}
        positive["image_loss_weight"] = image_loss_weight
        for name, value in positive.items():
            if value <= 0:
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
        self.image_classes = tuple(image_classes or ())
        self.image_loss_weight = image_loss_weight
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
            instances=instances,
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
        self.compiled = compile
        self.instance_target = instance_target
        mask_loss = build_loss(loss, self.spec.out_channels)
        self.weighted = isinstance(mask_loss, WeightedCrossEntropy)
        self.loss = MaskAndHeight(mask_loss, instance_weight) if instances else mask_loss
        self.scores = SegmentationScores(classes)

    def setup(self, stage: str) -> None:  # noqa: ARG002
        """Build the network for the data that the trainer has."""
        if self.unfreeze_at_epoch is not None and self.trainer.world_size > 1:
            raise ConfigError(
                "unfreeze_at_epoch cannot be used with several devices.",
                "Leave it out, or train on one device (--trainer.devices 1).",
            )
        if self.image_classes and self.trainer.world_size > 1:
            raise ConfigError(
                "image_classes cannot be trained with several devices.",
                "Leave them out, or train on one device (--trainer.devices 1).",
            )
        data = self.data
        channels = data.channels if self.in_channels == "auto" else self.in_channels
        height = self.instance_target if self.spec.instances else None
        data.prepare_for(channels, self.spec.classes, self.spec.stride, height, weighted=self.weighted)
        if self.image_classes:
            data.label_images(self.image_classes)
        elif data.image_labels is not None:
            raise ConfigError("data.image_labels has no meaning without classes.", "Name them (model.image_classes).")
        if self.spec.margin and data.crop <= 2 * self.spec.margin + 4:
            least = round_up(2 * self.spec.margin + 5, self.spec.stride)
            raise ConfigError(
                f"crop: {data.crop} leaves nothing to predict with padding: valid.",
                f"Use at least {least}, better {3 * least}, or padding: same.",
            )
        self.spec = replace(
            self.spec,
            image_classes=self.image_classes,
            image_size=data.crop if self.image_classes else 0,
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
            loaded = load_weights(self.segmenter.network, self.weights, self.spec)
            if self.trainer.is_global_zero:
                say(f"{self.weights}: {loaded}.")
        if self.freeze_encoder:
            self._encoder_trainable(False)
        network = self.segmenter.network
        if self.trainer.world_size > 1:
            leave_out_unused(network, torch.zeros(1, channels, self.spec.stride, self.spec.stride))
        self.averaged = deepcopy(network).requires_grad_(False) if self.ema_decay else None
        predict = network.predict_inside if isinstance(network, PlainUnet) else network.__call__
        self._forward = torch.compile(predict) if self.compiled else predict

    @property
    def data(self) -> SegmentationData:
        """The data that the trainer has."""
        return self.trainer.datamodule  # type: ignore[attr-defined,no-any-return]

    def best_network(self) -> nn.Module:
        """Return the network to judge and to keep: the averaged one, or the one in training where none is averaged."""
        return self.segmenter.network if self.averaged is None else self.averaged

    def _encoder_trainable(self, trainable: bool) -> None:
        """Freeze the encoder, its batch norm statistics included, or let go of it."""
        network = self.segmenter.network
        assert isinstance(network, SegmentationModel)
        if trainable:
            network.unfreeze_encoder()
        else:
            network.freeze_encoder()

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:  # noqa: ARG002
        """Compute the loss of a batch of crops: image (N, C, h, w) raw, mask (N, h, w), center and scale (N, C).

        Where instances are told apart also height (N, h, w).
        """
        image = batch["image"].contiguous(memory_format=torch.channels_last)
        logits = self._forward(self.segmenter.normalizer(image, batch["center"], batch["scale"]))
        targets = [_center(batch[name], logits) for name in ("height", "mask", "weight") if name in batch]
        loss: Tensor = self.loss(logits.float(), *targets)
        if self.image_classes:
            judged = batch_logits(self.segmenter.network, self.segmenter.normalizer, batch)
            loss = loss + self.image_loss_weight * image_loss(judged, batch["label"])
        self.log("train_loss_step", loss, prog_bar=True, batch_size=len(image))
        self.log("train_loss_epoch", loss, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(image))
        return loss

    def on_train_start(self) -> None:
        """Go on averaging where a checkpoint left off."""
        self._averaged_steps = self.trainer.global_step

    def on_train_epoch_start(self) -> None:
        """Let go of a frozen encoder when its epoch has come."""
        if self.unfreeze_at_epoch is not None and self.current_epoch >= self.unfreeze_at_epoch:
            self._encoder_trainable(True)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        """Move the average after each step of the optimizer; the share that is kept grows from 0 to `ema_decay`."""
        if self.averaged is not None and self.trainer.global_step > self._averaged_steps:
            steps = self._averaged_steps
            decay = min(self.ema_decay, (1 + steps) / (10 + steps)) if steps else 0.0
            move_average(self.averaged, self.segmenter.network, decay)
            self._averaged_steps = self.trainer.global_step

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
        self.log_dict({f"val_{name}": value for name, value in self._image_scores().items()})

    def _image_scores(self) -> dict[str, Tensor]:
        """Score the labelled images to validate on, judged in full precision as `segment` would."""
        labelled, network = self.data.labelled, self.best_network()
        if labelled is None or not labelled.val:
            return {}
        logits, labels = [], []
        with torch.autocast(self.device.type, enabled=False):
            for cpu_batch in labelled.val_batches(self.data.batch_size):
                batch = {name: values.to(self.device) for name, values in cpu_batch.items()}
                logits.append(batch_logits(network, self.segmenter.normalizer, batch))
                labels.append(batch["label"])
        return image_scores(torch.cat(logits), torch.cat(labels))

    def configure_optimizers(self) -> Any:
        """Return the optimizer with the schedule, both stepped with every batch."""
        parameters, settings = self.segmenter.network.parameters(), {"lr": self.lr, "weight_decay": self.weight_decay}
        optimizer = (
            torch.optim.AdamW(parameters, **settings)
            if self.optimizer == "adamw"
            else torch.optim.SGD(parameters, momentum=self.momentum, **settings)
        )
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
