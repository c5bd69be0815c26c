"""Keep the encoder as it was loaded, for a whole run or for its first epochs."""

from __future__ import annotations

from dataclasses import dataclass

from segmentation_models_pytorch.base import SegmentationModel
from torch import nn

from unetkit.foundation.errors import ConfigError


@dataclass(frozen=True)
class Freezing:
    """Whether, and for how long, the encoder keeps the weights and batch norm statistics that it was loaded with.

    Args:
        freeze_encoder: Whether it keeps them.
        unfreeze_at_epoch: Epoch from which it is trained too; None for never.
        unfreeze_lr_factor: Factor on every learning rate from that epoch on.

    Raises:
        ConfigError: The values do not go together.
    """

    freeze_encoder: bool = False
    unfreeze_at_epoch: int | None = None
    unfreeze_lr_factor: float = 0.1

    def __post_init__(self) -> None:
        if self.unfreeze_at_epoch is not None and not self.freeze_encoder:
            raise ConfigError(
                "unfreeze_at_epoch has no meaning while the encoder is not frozen.",
                "Set freeze_encoder: true, or leave unfreeze_at_epoch out.",
            )
        if self.unfreeze_lr_factor <= 0:
            raise ConfigError(
                f"unfreeze_lr_factor: {self.unfreeze_lr_factor:g} is not possible.", "Use a number above 0."
            )
        if (self.unfreeze_at_epoch or 0) < 0:
            raise ConfigError("unfreeze_at_epoch is below 0.", "Use 0 or more.")


def set_encoder_trainable(network: nn.Module, trainable: bool) -> None:
    """Freeze the encoder of a network, its batch norm statistics included, or unfreeze it."""
    assert isinstance(network, SegmentationModel)
    if trainable:
        network.unfreeze_encoder()
    else:
        network.freeze_encoder()
