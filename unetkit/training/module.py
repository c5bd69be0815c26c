"""SegmentationModule: how a U-Net is trained and judged."""

from __future__ import annotations

from math import ceil
from typing import Any, Literal

import torch
from segmentation_models_pytorch.base import SegmentationModel
from torch import Tensor

from unetkit.data.heights import HeightTarget
from unetkit.errors import ConfigError
from unetkit.inference.array import predict_tiled
from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import DECODER_CHANNELS, ModelSpec
from unetkit.training.base import NetworkModule
from unetkit.training.losses import MaskAndHeight, build_loss
from unetkit.training.metrics import SegmentationScores
from unetkit.training.schedule import Schedule


class SegmentationModule(NetworkModule):
    """A U-Net on a ResNet encoder that predicts masks.

    Args:
        encoder: ResNet of the contracting path: resnet18, resnet34, resnet50, resnet101 or resnet152.
        weights: "imagenet" (downloaded once), the name of a built-in model such as "nuclei", or a local `.safetensors`
            or `.pth` file with the weights of an encoder or of a whole model, such as one that `unetkit pretrain`
            wrote; by default the weights are random.
        decoder_weights: Whether the decoder starts from these weights too, where they have one of its sizes.
        in_channels: Channels of the images, or "auto" to take as many as the training images have.
        classes: Number of mask values, the background included: 2 is foreground/background.
        class_names: Names of the mask values, stored in the model file.
        depth: Number of times that the encoder halves the resolution, 3 to 5.
        decoder_channels: Channels of the expanding path from the deepest block up, one for each level of `depth`.
        instances: Whether to learn to tell touching objects apart too: the masks number their objects, and the network
            has one more output, the height of each pixel, see `Heights`. For 2 classes.
        instance_weight: Weight of the loss of the heights against that of the mask.
        instance_target: What the heights are: distance or border.
        loss: bce_dice, bce, dice, focal, tversky or lovasz.
        lr: Highest learning rate of AdamW.
        weight_decay: Weight decay of AdamW.
        schedule: one_cycle, cosine or constant.
        ema_decay: How much of the averaged weights is kept at each step; the averaged ones are validated and saved.
            0 turns averaging off. Early in a run less is kept, so that the random start is soon forgotten.
        freeze_encoder: Train the decoder alone; the encoder's weights and batch norm statistics stay as loaded.
        unfreeze_at_epoch: Epoch from which a frozen encoder is trained too.
        unfreeze_lr_factor: Factor on every learning rate from that epoch on.
        threshold: Foreground probability, 0 to 1, from which a pixel is foreground.
        compile: Compile the network for training: the first step takes a minute, the others may be faster.
    """

    def __init__(
        self,
        encoder: str = "resnet34",
        weights: str | None = None,
        decoder_weights: bool = True,
        in_channels: int | Literal["auto"] = "auto",
        classes: int = 2,
        class_names: list[str] | None = None,
        depth: int = 5,
        decoder_channels: list[int] | None = None,
        instances: bool = False,
        instance_weight: float = 1.0,
        instance_target: HeightTarget = "distance",
        loss: str = "bce_dice",
        lr: float = 1e-3,
        weight_decay: float = 1e-2,
        schedule: Schedule = "one_cycle",
        ema_decay: float = 0.99,
        freeze_encoder: bool = False,
        unfreeze_at_epoch: int | None = None,
        unfreeze_lr_factor: float = 0.1,
        threshold: float = 0.5,
        compile: bool = False,
    ) -> None:
        if unfreeze_at_epoch is not None and not freeze_encoder:
            raise ConfigError(
                "unfreeze_at_epoch has no meaning while the encoder is not frozen.",
                "Set freeze_encoder: true, or leave unfreeze_at_epoch out.",
            )
        positive = {"unfreeze_lr_factor": unfreeze_lr_factor, "instance_weight": instance_weight}
        for name, value in positive.items():
            if value <= 0:
                raise ConfigError(f"{name}: {value:g} is not possible.", "Use a number above 0.")
        if (unfreeze_at_epoch or 0) < 0:
            raise ConfigError("unfreeze_at_epoch is below 0.", "Use 0 or more.")
        if class_names and len(class_names) != classes:
            raise ConfigError(
                f"{len(class_names)} class_names do not fit {classes} classes.",
                "Give a name for each mask value, the background first.",
            )
        spec = ModelSpec(
            encoder=encoder,
            in_channels=1 if in_channels == "auto" else in_channels,
            classes=classes,
            depth=depth,
            decoder_channels=tuple(decoder_channels or DECODER_CHANNELS[-depth:]),
            instances=instances,
            class_names=tuple(class_names or ()),
            threshold=threshold,
        )
        super().__init__(spec, weights, decoder_weights, in_channels, lr, weight_decay, schedule, ema_decay, compile)
        self.freeze_encoder = freeze_encoder
        self.unfreeze_at_epoch = unfreeze_at_epoch
        self.unfreeze_lr_factor = unfreeze_lr_factor
        self.instance_target = instance_target
        mask_loss = build_loss(loss, self.spec.out_channels)
        self.loss = MaskAndHeight(mask_loss, instance_weight) if instances else mask_loss
        self.scores = SegmentationScores(classes)

    def setup(self, stage: str) -> None:
        """Build the network for the data that the trainer has."""
        if self.unfreeze_at_epoch is not None and self.trainer.world_size > 1:
            raise ConfigError(
                "unfreeze_at_epoch cannot be used with several devices.",
                "Leave it out, or train on one device (--trainer.devices 1).",
            )
        super().setup(stage)

    def fit_data(self, channels: int) -> None:
        """Fit the data to the model; they compute heights where it tells instances apart."""
        height = self.instance_target if self.spec.instances else None
        self.data.prepare_for(channels, self.spec.classes, self.spec.stride, height)

    def prepare_network(self) -> None:
        """Freeze the encoder if it is to be frozen."""
        if self.freeze_encoder:
            self._encoder_trainable(False)

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
        targets = [batch[name] for name in ("mask", "height") if name in batch]
        loss: Tensor = self.loss(logits.float(), *targets)
        self.log_loss(loss, len(image))
        return loss

    def on_train_epoch_start(self) -> None:
        """Let go of a frozen encoder when its epoch has come."""
        if self.unfreeze_at_epoch is not None and self.current_epoch >= self.unfreeze_at_epoch:
            self._encoder_trainable(True)

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

    def rate_factor(self, step: int, steps: int) -> float:
        """Return the factor on the learning rate at a step of a run of `steps`; lower once the encoder is let go."""
        factor = super().rate_factor(step, steps)
        if self.unfreeze_at_epoch is None:
            return factor
        epoch_steps = ceil(float(self.trainer.num_training_batches) / self.trainer.accumulate_grad_batches)
        return factor * (self.unfreeze_lr_factor if step >= epoch_steps * self.unfreeze_at_epoch else 1.0)
