"""ClassificationModule: an encoder that learns what whole images show, where there are no masks."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unetkit.data.labelled import LabelledData
from unetkit.foundation.errors import ConfigError
from unetkit.models.architectures import DECODER_CHANNELS, DEFAULT_ENCODER
from unetkit.models.image_head import to_image_probabilities
from unetkit.models.spec import ModelSpec
from unetkit.scoring.image_scores import EVEN_THRESHOLD, score_images
from unetkit.training.run.axes import first_pooling
from unetkit.training.run.base import NetworkModule
from unetkit.training.run.freezing import Freezing
from unetkit.training.run.image_classes import batch_logits, check_names, check_one_device, image_loss
from unetkit.training.run.schedule import Schedule


class ClassificationModule(NetworkModule):
    """An encoder with an image head: it classifies whole images and predicts no masks.

    Args:
        image_classes: Names of what whole images show: one that is there or not (labels 1 and 0), or several of which
            one is there (labels are names).
        encoder: Network, as for masks: resnet18 to resnet152 and so on.
        weights: "imagenet", "micronet" or hf:owner/name, downloaded once; the name of a built-in model; or a local
            `.safetensors` or `.pth` file with the weights of an encoder or of a whole model; default: random.
        in_channels: Channels of the images, or "auto" to take as many as the training images have.
        dims: Axes of what the network sees: 2 for planes, 3 for volumes, which are resized to `data.crop`.
        depth: Number of times that the encoder halves the resolution, 3 to 5.
        lr: Highest learning rate.
        weight_decay: Weight decay.
        schedule: one_cycle, cosine or constant.
        ema_decay: How much of the averaged weights is kept at each step; the averaged ones are validated and saved.
            0 turns averaging off.
        freeze_encoder: Train the image head alone; the encoder's weights and batch norm statistics stay as loaded.
        unfreeze_at_epoch: Epoch from which a frozen encoder is trained too.
        unfreeze_lr_factor: Factor on every learning rate from that epoch on.
        image_head_hidden: Units of a hidden layer between the encoder's features and the classes; 0 for none.
        image_head_dropout: Share of the values before the last layer that is dropped in training.
        compile: Compile the network for training: the first step takes minutes, the others may be faster.
    """

    def __init__(
        self,
        image_classes: list[str],
        encoder: str = DEFAULT_ENCODER,
        weights: str | None = None,
        in_channels: int | Literal["auto"] = "auto",
        dims: Literal[2, 3] = 2,
        depth: int = 5,
        lr: float = 1e-3,
        weight_decay: float = 1e-2,
        schedule: Schedule = "one_cycle",
        ema_decay: float = 0.99,
        freeze_encoder: bool = False,
        unfreeze_at_epoch: int | None = None,
        unfreeze_lr_factor: float = 0.1,
        image_head_hidden: int = 0,
        image_head_dropout: float = 0.2,
        compile: bool = False,
    ) -> None:
        check_names(image_classes)
        if not image_classes:
            raise ConfigError("There are no image_classes.", "Name at least one.")
        spec = ModelSpec(
            encoder=encoder,
            in_channels=1 if in_channels == "auto" else in_channels,
            dims=dims,
            pooling=first_pooling(dims, "auto", depth),
            depth=depth,
            decoder_channels=DECODER_CHANNELS[-depth:],
            image_head_hidden=image_head_hidden,
            image_head_dropout=image_head_dropout,
        )
        freezing = Freezing(freeze_encoder, unfreeze_at_epoch, unfreeze_lr_factor)
        super().__init__(spec, weights, False, in_channels, lr, weight_decay, schedule, ema_decay, compile, freezing)
        self.image_classes = tuple(image_classes)
        self._classified: list[tuple[Tensor, Tensor]] = []
        self.save_hyperparameters()

    @property
    def data(self) -> LabelledData:
        """The data that the trainer has."""
        return self.trainer.datamodule  # type: ignore[attr-defined,no-any-return]

    def setup(self, stage: str) -> None:
        """Read the images, and build the network for them."""
        check_one_device(self.trainer)
        if isinstance(self.data, LabelledData):
            self.data.label_images(self.image_classes, None if self.in_channels == "auto" else self.in_channels)
        super().setup(stage)

    def volume_sizes(self) -> list[tuple[int, ...]]:
        """Return the size of the cubes that volumes are resized to."""
        return [self.data.crop_size]

    def fit_data(self, channels: int) -> None:  # noqa: ARG002  # `label_images` has checked them
        """Take the size of the images from the data."""
        self.spec = replace(
            self.spec, task="classification", image_classes=self.image_classes, image_size=self.data.image_size
        )

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:  # noqa: ARG002
        """Compute the loss of a batch of `LabelledItem`s; the statistics of batch norm are those of whole images."""
        pixels = self.laid_out(batch["whole"])
        logits = self.run_network(self.segmenter.normalizer(pixels, batch["whole_center"], batch["whole_scale"]))
        loss = image_loss(logits.float(), batch["label"])
        self.log_loss(loss, len(pixels))
        return loss

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:  # noqa: ARG002
        """Classify images in full precision, as `segment` does."""
        with torch.autocast(self.device.type, enabled=False):
            logits = batch_logits(self.best_network(), self.segmenter.normalizer, batch)
        self._classified.append((logits, batch["label"]))

    def predict_step(self, batch: dict[str, Tensor], batch_idx: int) -> NDArray[np.float32]:  # noqa: ARG002
        """Return the probability of each class of whole images (N, classes), 0 to 1."""
        with torch.autocast(self.device.type, enabled=False):
            logits = batch_logits(self.best_network(), self.segmenter.normalizer, batch)
        probabilities: NDArray[np.float32] = to_image_probabilities(logits).cpu().numpy()
        return probabilities

    def test_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Classify images, as in validation."""
        self.validation_step(batch, batch_idx)

    def on_test_epoch_end(self) -> None:
        """Log test_image_auroc, where every class is among the images, and test_image_accuracy."""
        logits, labels = (torch.cat(part) for part in zip(*self._classified, strict=True))
        self._classified.clear()
        probabilities = to_image_probabilities(logits)
        scores = score_images(probabilities, labels, self.image_classes, self.spec.image_threshold)
        self.log_dict({f"test_{name}": value for name, value in scores.flat().items()})

    def on_validation_epoch_end(self) -> None:
        """Log the scores of all validation images, and choose the threshold on them."""
        logits, labels = (torch.cat(part) for part in zip(*self._classified, strict=True))
        self._classified.clear()
        if (
            self.trainer.sanity_checking and not self.starts_trained
        ):  # these are a few images, perhaps not of every class
            return
        scores = score_images(to_image_probabilities(logits), labels, self.image_classes)
        self.spec = replace(self.spec, image_threshold=scores.threshold or EVEN_THRESHOLD)
        for name, value in scores.flat().items():
            self.log(f"val_{name}", value, prog_bar=name == "image_auroc")
