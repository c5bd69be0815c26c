"""SegmentationModule: how a U-Net is trained and scored."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, get_args

import torch
from lightning.pytorch.trainer.states import TrainerFn
from numpy.typing import NDArray
from torch import Tensor

from unetkit.data.datamodule import SegmentationData
from unetkit.foundation.errors import ConfigError, ModelError, closest
from unetkit.inference.tiling.grid import round_up
from unetkit.models.architectures import DECODER_CHANNELS, DEFAULT_ENCODER, Architecture, architecture_info
from unetkit.models.image_head import to_image_probabilities
from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import ModelSpec, Padding
from unetkit.models.statistics import adapt_normalization
from unetkit.models.weight_sources import find_source
from unetkit.models.weights import LoadReport
from unetkit.scoring.image_scores import EVEN_THRESHOLD, score_images
from unetkit.training.run.axes import first_pooling
from unetkit.training.run.base import START_KEY, NetworkModule
from unetkit.training.run.divergence import DivergenceError
from unetkit.training.run.freezing import Freezing
from unetkit.training.run.image_classes import batch_logits, check_names, check_one_device, image_loss
from unetkit.training.run.schedule import Schedule
from unetkit.training.segmentation.choosing import FEWEST_IMAGES, LEARNING_SECONDS, MOST_IMAGES
from unetkit.training.segmentation.losses import (
    POSITIONAL,
    MaskAndDistanceLoss,
    OfAnnotated,
    WeightedCrossEntropy,
    build_loss,
)
from unetkit.training.segmentation.metrics import SegmentationScores
from unetkit.training.segmentation.objects import score_objects
from unetkit.training.segmentation.predicting import predict_item

Optimizer = Literal["adamw", "sgd"]
"""Names of the optimizers."""

SGD_MOMENTUM = 0.99

SCORES_OBJECTS_KEY = "judges_objects"
"""Key in a checkpoint, among those of the start, of whether epochs are compared by their objects too."""


class SegmentationModule(NetworkModule):
    """A U-Net that predicts masks, on an encoder or the plain one of 2015.

    Args:
        encoder: Contracting path of "unet": resnet18, 34, 50, 101 or 152; resnext50_32x4d or resnext101_32x8d;
            resnetv2_18, 34, 50, 101 or 152 (pre-activation); vgg11, 13, 16 or 19, with "_bn" for batch norm;
            inceptionv4; inceptionresnetv2.
        weights: "imagenet", "micronet" or "image-micronet" (micrographs), or hf:owner/name, each downloaded once; the
            name of a built-in model such as "nuclei"; or a local `.safetensors` or `.pth` file with the weights of an
            encoder or of a whole model, such as one that `unetkit pretrain` wrote; by default the weights are random.
        decoder_weights: Whether the decoder starts from these weights too, where they have one of its sizes.
        in_channels: Channels of the images, or "auto" to take as many as the training images have.
        dims: Axes of what the network sees at once: 2 for planes, 3 for volumes, which it segments as a whole.
        planes: Neighbouring planes of a stack that a network of planes sees at once, an odd number; it predicts the
            middle one.
        pooling: By how much each level of `depth` of a network of volumes reduces the resolution along z, y and x, the
            first level first, for example [[1, 2, 2], [2, 2, 2], [2, 2, 2]]; or "auto" to choose it from the size of
            the voxels.
        classes: Number of mask values, the background included: 2 is foreground/background.
        class_names: Names of the mask values, stored in the model file.
        depth: Number of times that the encoder halves the resolution, 3 to 5.
        decoder_channels: Channels of the expanding path from the deepest block up, one for each level of `depth`.
        arch: "unet" has an encoder as its contracting path; "plain_unet" is the network of Ronneberger et al. 2015.
        base_channels: Channels of the first convolutions of "plain_unet"; doubled at each halving of the resolution.
        padding: Padding of the convolutions of "plain_unet": same, or valid as in the paper. With valid the middle 388
            pixels of a crop of 576 are predicted, and no pixel sees zeros.
        batch_norm: Whether the convolutions of "plain_unet" are followed by batch norm.
        instances: Whether to learn to separate touching objects too. The masks number their objects, and the network
            has one more output, the distance map of the objects. For 2 classes.
        instance_weight: Weight of the loss of the distance map against that of the mask.
        loss: bce_dice, bce_dice_cldice (gaps in thin structures, such as membranes, count more), bce, weighted_bce
            (rare classes and gaps between objects count more), dice, focal, tversky or lovasz.
        optimizer: adamw, or sgd as in the U-Net paper.
        momentum: Momentum of sgd; 0.99 by default, as in the paper.
        lr: Highest learning rate.
        weight_decay: Weight decay.
        schedule: one_cycle, cosine or constant.
        ema_decay: How much of the averaged weights is kept at each step; the averaged ones are validated and saved.
            0 turns averaging off. Early in a run less is kept, so that the random start is soon forgotten.
        freeze_encoder: Train the decoder alone; the encoder's weights and batch norm statistics stay as loaded.
        unfreeze_at_epoch: Epoch from which a frozen encoder is trained too.
        unfreeze_lr_factor: Factor on every learning rate from that epoch on.
        threshold: Foreground probability, 0 to 1, from which a pixel is foreground; by default 0.5, or what the
            validation images show to be better at the end of the run.
        compile: Compile the network for training: the first step takes minutes, the others may be faster.
        checkpointing: Whether the network keeps less for the gradients and computes the rest again, which takes less
            memory and more time; "auto" does so where volumes would not fit.
        image_classes: Names of what whole images show, trained from data.image_labels: one that is there or not, or
            several of which one is there. `segment` then writes their probabilities for each image.
        image_loss_weight: Weight of the loss of whole images, that of masks being 1.
        image_head_hidden: Units of a hidden layer between the encoder's features and the image classes; 0 for none.
        image_head_dropout: Share of the values before its last layer that is dropped in training.
    """

    def __init__(
        self,
        encoder: str = DEFAULT_ENCODER,
        weights: str | None = None,
        decoder_weights: bool = True,
        in_channels: int | Literal["auto"] = "auto",
        dims: Literal[2, 3] = 2,
        planes: int = 1,
        pooling: list[list[int]] | Literal["auto"] = "auto",
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
        threshold: float | None = None,
        compile: bool = False,
        checkpointing: bool | Literal["auto"] = "auto",
        image_classes: list[str] | None = None,
        image_loss_weight: float = 1.0,
        image_head_hidden: int = 0,
        image_head_dropout: float = 0.2,
    ) -> None:
        check_names(image_classes or ())
        freezing = Freezing(freeze_encoder, unfreeze_at_epoch, unfreeze_lr_factor)
        for name, value in {"instance_weight": instance_weight, "image_loss_weight": image_loss_weight}.items():
            if value <= 0:
                raise ConfigError(f"{name}: {value:g} is not possible.", "Use a number above 0.")
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
        levels = DECODER_CHANNELS if "decoder_channels" in architecture_info(arch).unused else DECODER_CHANNELS[-depth:]
        spec = ModelSpec(
            arch=arch,
            encoder=encoder,
            in_channels=1 if in_channels == "auto" else in_channels,
            dims=dims,
            planes=planes,
            pooling=first_pooling(dims, pooling, depth),
            classes=classes,
            depth=depth,
            decoder_channels=tuple(decoder_channels or levels),
            base_channels=base_channels,
            padding=padding,
            batch_norm=batch_norm,
            instances=instances,
            class_names=tuple(class_names or ()),
            threshold=EVEN_THRESHOLD if threshold is None else threshold,
            image_head_hidden=image_head_hidden,
            image_head_dropout=image_head_dropout,
        )
        super().__init__(
            spec,
            weights,
            decoder_weights,
            in_channels,
            lr,
            weight_decay,
            schedule,
            ema_decay,
            compile,
            freezing,
            pooling,
            checkpointing,
        )
        self.image_classes = tuple(image_classes or ())
        self.image_loss_weight = image_loss_weight
        self.threshold = threshold
        self.optimizer = optimizer
        self.momentum = SGD_MOMENTUM if momentum is None else momentum
        mask_loss = build_loss(loss, self.spec.out_channels)
        self.scores_objects = False
        self.object_scores: dict[str, float] = {}
        self.weighted = isinstance(mask_loss, WeightedCrossEntropy)
        self.loss_name = loss
        self.mask_loss = OfAnnotated(mask_loss)
        self.loss = MaskAndDistanceLoss(self.mask_loss, instance_weight) if instances else self.mask_loss
        self.scores = SegmentationScores(classes)
        self.save_hyperparameters()

    def setup(self, stage: str) -> None:
        """Build the network for the data that the trainer has."""
        if self.image_classes:
            check_one_device(self.trainer)
        super().setup(stage)

    @property
    def data(self) -> SegmentationData:
        """The data that the trainer has."""
        return self.trainer.datamodule  # type: ignore[attr-defined,no-any-return]

    def volume_sizes(self) -> list[tuple[int, ...]]:
        """Return the sizes of the volumes of the data."""
        pool = self.data.pool
        return pool.sizes(range(len(pool.records)))

    def fit_data(self, channels: int) -> None:
        """Fit the data to the model: distance maps, weights of pixels and labels of images, where it needs them."""
        data = self.data
        spec = self.spec
        data.prepare_for(
            channels,
            spec.classes,
            spec.strides,
            class_names=spec.class_names,
            distance_maps=spec.instances,
            weighted=self.weighted,
        )
        names = data.targets.value_names
        if not spec.class_names and len(names) == spec.classes:
            self.spec = replace(spec, class_names=names)
        self.mask_loss.partly = data.targets.partly
        if data.targets.partly and self.loss_name in POSITIONAL:
            raise ConfigError(
                f"loss: {self.loss_name} follows lines, and parts of the masks are not annotated.",
                "Use bce_dice or another loss, or annotate these images fully.",
            )
        if self.image_classes:
            data.label_images(self.image_classes)
            self.spec = replace(self.spec, image_classes=self.image_classes, image_size=data.image_size)
        elif data.image_labels is not None:
            raise ConfigError("data.image_labels has no meaning without classes.", "Name them (model.image_classes).")
        if self.spec.margin and min(data.crop_size) <= 2 * self.spec.margin + 4:
            least = round_up(2 * self.spec.margin + 5, self.spec.stride)
            raise ConfigError(
                f"crop: {data.crop} leaves nothing to predict with padding: valid.",
                f"Use at least {least}, better {3 * least}, or padding: same.",
            )

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:  # noqa: ARG002
        """Compute the loss of a batch of crops: image (N, C, ...) raw, mask (N, ...), center and scale (N, C).

        A network for single objects also takes distance_map (N, ...).
        """
        image = self.laid_out(batch["image"])
        logits = self.run_network(self.segmenter.normalizer(image, batch["center"], batch["scale"]))
        targets = [_center(batch[name], logits) for name in ("distance_map", "mask", "weight") if name in batch]
        loss: Tensor = self.loss(logits.float(), *targets)
        if self.image_classes:
            with self.sound_precision():
                image_logits = batch_logits(self.segmenter.network, self.segmenter.normalizer, batch)
            loss = loss + self.image_loss_weight * image_loss(image_logits, batch["label"])
        self.log_loss(loss, len(image))
        return loss

    def predict_step(self, batch: dict[str, Any], batch_idx: int) -> NDArray[Any]:  # noqa: ARG002
        """Return the mask (...) of a whole image or volume, predicted as `segment` would.

        Args:
            batch: image (C, ...) raw.
            batch_idx: Its number.
        """
        segmenter = Segmenter(self.scored_spec, self.best_network())
        with torch.autocast(self.device.type, enabled=False):  # `segment` computes in full precision
            return predict_item(segmenter, batch["image"].cpu().numpy())

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Score a whole image: image (C, ...) raw, mask (...), `UNKNOWN` where nobody has annotated."""
        try:
            mask = self.predict_step(batch, batch_idx)
        except ModelError as error:  # the weights are finite, but values within the network grew too large
            if self.trainer.sanity_checking or self.trainer.state.fn != TrainerFn.FITTING:
                raise
            raise DivergenceError(f"Training has diverged: {error.problem}", "Lower model.lr.") from error
        predicted = torch.from_numpy(mask).to(self.device)
        truth = batch["mask"].to(self.device)
        self.scores.update(predicted // 255 if self.spec.classes == 2 else predicted, truth)

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Score a whole image, as in validation."""
        self.validation_step(batch, batch_idx)

    def on_validation_epoch_end(self) -> None:
        """Log Dice and IoU: means over the images (val_dice, val_iou) and pooled (val_pooled_dice, val_pooled_iou)."""
        self._log_scores("val")

    def on_test_epoch_end(self) -> None:
        """Log the same as for validation: test_dice and so on."""
        self._log_scores("test")

    def _log_scores(self, stage: str) -> None:
        scores = {f"{stage}_{name}": value for name, value in self.scores.compute().items()}
        self.log(f"{stage}_dice", scores.pop(f"{stage}_dice"), prog_bar=True)
        self.log_dict(scores)
        self.scores.reset()
        self.log_dict({f"{stage}_{name}": value for name, value in self._image_scores().items()})
        if self.scores_objects:
            with torch.autocast(self.device.type, enabled=False):
                self.object_scores = score_objects(Segmenter(self.scored_spec, self.best_network()), self.data)

    def take_start(self, report: LoadReport) -> None:
        """Note which outputs the first weights have already, and the settings that they go with."""
        super().take_start(report)
        source = None if self.weights is None else find_source(self.weights)
        if source is None or not self.starts_trained:
            return
        normalization = adapt_normalization(source.normalization, self.spec.in_channels)
        both = source.classes == self.spec.classes == 2
        threshold = source.threshold if both else self.spec.threshold
        objects = source if source.instances and self.spec.instances else self.spec
        self.start_spec = replace(
            self.spec,
            normalization=normalization,
            threshold=threshold,
            min_confidence=objects.min_confidence,
            choice=objects.choice,
        )
        self.scores_objects = report.stand_in

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store how epochs are compared."""
        super().on_save_checkpoint(checkpoint)
        checkpoint[START_KEY][SCORES_OBJECTS_KEY] = self.scores_objects

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore how epochs are compared."""
        super().on_load_checkpoint(checkpoint)
        self.scores_objects = bool(checkpoint.get(START_KEY, {}).get(SCORES_OBJECTS_KEY, False))

    def rank(self, scores: dict[str, float]) -> list[float]:
        """Return what decides which epoch is the best: the scores in their order, of which the first decides.

        Where the start could not separate objects, the mean of Dice and the F1 score of the objects decides: its mask
        alone is not comparable with an epoch that separates them.
        """
        ranked = super().rank(scores)
        return [(scores["val_dice"] + self.object_scores["val_f1"]) / 2, *ranked] if self.object_scores else ranked

    def _image_scores(self) -> dict[str, float]:
        """Score the labelled validation images, classified in full precision as by `segment`.

        In validation the threshold is chosen on these images.
        """
        labelled, network = getattr(self.data, "labelled", None), self.best_network()
        if labelled is None or not labelled.val:
            return {}
        logits, labels = [], []
        with torch.autocast(self.device.type, enabled=False):
            for cpu_batch in labelled.val_batches(self.data.batch_size):
                batch = {name: values.to(self.device) for name, values in cpu_batch.items()}
                logits.append(batch_logits(network, self.segmenter.normalizer, batch))
                labels.append(batch["label"])
        threshold = self.spec.image_threshold if self.trainer.testing else None
        probabilities = to_image_probabilities(torch.cat(logits))
        scores = score_images(probabilities, torch.cat(labels), self.image_classes, threshold)
        chosen = scores.threshold or EVEN_THRESHOLD
        self.spec = replace(self.spec, image_threshold=chosen)
        self.start_spec = None if self.start_spec is None else replace(self.start_spec, image_threshold=chosen)
        return scores.flat()

    def finish_seconds(self, validation: float, pixel: float, positions: int) -> float:
        """Return the seconds for what follows training, settings that are chosen on validation images included."""
        finish = super().finish_seconds(validation, pixel, positions)
        images = len(self.data.pool.val)
        if images < FEWEST_IMAGES:
            return finish
        share = min(1, MOST_IMAGES / images) * validation
        if self.spec.instances and self.spec.dims == 2:  # objects are chosen: as many pixels to learn from
            return finish + 3 * share + validation + LEARNING_SECONDS
        return finish + share * (2 if self.spec.instances else 1)

    def build_optimizer(self) -> torch.optim.Optimizer:
        """Return the optimizer of the network."""
        if self.optimizer == "adamw":
            return super().build_optimizer()
        parameters = self.segmenter.network.parameters()
        return torch.optim.SGD(parameters, lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay)


def _center(target: Tensor, logits: Tensor) -> Tensor:
    """Return the middle (N, ...) of a target, as large as logits (N, classes, ...)."""
    sizes = list(zip(target.shape[1:], logits.shape[2:], strict=True))
    return target[:, *(slice((outer - inner) // 2, (outer - inner) // 2 + inner) for outer, inner in sizes)]
