"""How labels of whole images are trained and predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lightning.pytorch import Trainer
from torch import Tensor, nn

from unetkit.foundation.errors import ConfigError
from unetkit.models.image_head import image_logits
from unetkit.models.normalizer import Normalizer

RESERVED_COLUMNS = ("image", "predicted")
"""Columns of the table that `segment` writes, beside those of the classes."""


def check_names(classes: Sequence[str]) -> None:
    """Raise a ConfigError if two image classes have the same name, or one that a column of tables has."""
    if len(set(classes)) != len(classes):
        raise ConfigError("Two image_classes have the same name.", "Give each a name of its own.")
    if taken := set(RESERVED_COLUMNS).intersection(classes):
        raise ConfigError(f"An image class cannot be called '{taken.pop()}'.", "Give it another name.")


def check_one_device(trainer: Trainer) -> None:
    """Raise a ConfigError where image classes would be trained by several processes."""
    if trainer.world_size > 1:
        raise ConfigError(
            "image_classes cannot be trained with several devices.",
            "Leave them out, or train on one device (--trainer.devices 1).",
        )


def batch_logits(network: nn.Module, normalizer: Normalizer, batch: Mapping[str, Any]) -> Tensor:
    """Return the logits (N, image classes) of the whole images of a batch."""
    return image_logits(network, normalizer(batch["whole"], batch["whole_center"], batch["whole_scale"]))


def image_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of logits (N, k) for labels (N,): binary for one class."""
    if logits.shape[1] == 1:
        return nn.functional.binary_cross_entropy_with_logits(logits[:, 0], labels.float())
    return nn.functional.cross_entropy(logits, labels)
