"""How labels of whole images are trained and judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torchmetrics.functional.classification import (
    binary_accuracy,
    binary_auroc,
    multiclass_accuracy,
    multiclass_auroc,
)

from unetkit.errors import ConfigError
from unetkit.models.image_head import image_logits, to_image_probabilities
from unetkit.models.normalizer import Normalizer


def check_names(classes: Sequence[str]) -> None:
    """Raise a ConfigError if two image classes have the same name."""
    if len(set(classes)) != len(classes):
        raise ConfigError("Two image_classes have the same name.", "Give each a name of its own.")


def check_one_device(trainer: Trainer) -> None:
    """Raise a ConfigError where image classes would be trained by several processes."""
    if trainer.world_size > 1:
        raise ConfigError(
            "image_classes cannot be trained with several devices.",
            "Leave them out, or train on one device (--trainer.devices 1).",
        )


def batch_logits(network: nn.Module, normalizer: Normalizer, batch: Mapping[str, Any]) -> Tensor:
    """Judge the whole images of a batch: logits (N, image classes)."""
    return image_logits(network, normalizer(batch["whole"], batch["whole_center"], batch["whole_scale"]))


def image_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of logits (N, k) for labels (N,): binary for one class."""
    if logits.shape[1] == 1:
        return nn.functional.binary_cross_entropy_with_logits(logits[:, 0], labels.float())
    return nn.functional.cross_entropy(logits, labels)


def image_scores(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Return "image_accuracy" and, where every class is among the labels, "image_auroc", 0 to 1.

    Of several classes the area under the ROC curve is the mean over the classes, each against the others.
    """
    probabilities = to_image_probabilities(logits)
    classes = probabilities.shape[1]
    complete = len(torch.unique(labels)) == max(classes, 2)
    if classes == 1:
        scores = {"image_accuracy": binary_accuracy(probabilities[:, 0], labels)}
        return scores | ({"image_auroc": binary_auroc(probabilities[:, 0], labels)} if complete else {})
    scores = {"image_accuracy": multiclass_accuracy(probabilities, labels, classes, average="micro")}
    return scores | ({"image_auroc": multiclass_auroc(probabilities, labels, classes)} if complete else {})
