"""Losses by name, all of them smp's."""

from __future__ import annotations

from collections.abc import Callable

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from unetkit.foundation.errors import ConfigError, closest


class CrossEntropy(nn.Module):
    """Binary cross-entropy for one output channel, categorical for more."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the mean over pixels.

        Args:
            logits: (N, out_channels, h, w).
            target: (N, h, w) int64 class numbers.
        """
        if logits.shape[1] == 1:
            return nn.functional.binary_cross_entropy_with_logits(logits[:, 0], target.to(logits.dtype))
        return nn.functional.cross_entropy(logits, target)


class WeightedCrossEntropy(nn.Module):
    """Cross-entropy in which pixels count differently (Ronneberger et al. 2015)."""

    def forward(self, logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Compute the mean over pixels of weight times cross-entropy.

        Args:
            logits: (N, out_channels, h, w).
            target: (N, h, w) int64 class numbers.
            weight: (N, h, w); 1 for all by default.
        """
        if logits.shape[1] == 1:
            truth = target.to(logits.dtype)
            each = nn.functional.binary_cross_entropy_with_logits(logits[:, 0], truth, reduction="none")
        else:
            each = nn.functional.cross_entropy(logits, target, reduction="none")
        return (each if weight is None else each * weight).mean()


class Sum(nn.Module):
    """The sum of several losses."""

    def __init__(self, *losses: nn.Module) -> None:
        super().__init__()
        self.losses = nn.ModuleList(losses)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Add up the losses of the same arguments."""
        return torch.stack([loss(logits, target) for loss in self.losses]).sum()


def _dice(mode: str) -> nn.Module:
    loss: nn.Module = smp.losses.DiceLoss(mode, from_logits=True)
    return loss


class MaskAndHeight(nn.Module):
    """The loss of a mask plus the weighted cross-entropy of the heights, the last channel of the output.

    The cross-entropy of the heights is its mean over the objects plus that over the background: what keeps objects
    apart are the heights inside, and these count the same however few objects there are.

    Args:
        mask_loss: Loss of the logits of the mask and their target.
        weight: Weight of the distance map.
    """

    def __init__(self, mask_loss: nn.Module, weight: float) -> None:
        super().__init__()
        self.mask_loss = mask_loss
        self.weight = weight

    def forward(self, logits: Tensor, height: Tensor, *mask: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            logits: (N, out_channels + 1, h, w).
            height: (N, h, w), 0 to 1.
            mask: What the loss of the mask takes beside its logits: (N, h, w) class numbers first.
        """
        loss: Tensor = self.mask_loss(logits[:, :-1], *mask)
        each = nn.functional.binary_cross_entropy_with_logits(logits[:, -1], height, reduction="none")
        inside = (mask[0] > 0).to(each.dtype)
        for part in (inside, 1 - inside):
            loss = loss + self.weight * (each * part).sum() / part.sum().clamp(min=1)
        return loss


LOSSES: dict[str, Callable[[str], nn.Module]] = {
    "bce_dice": lambda mode: Sum(CrossEntropy(), _dice(mode)),
    "bce": lambda _: CrossEntropy(),
    "weighted_bce": lambda _: WeightedCrossEntropy(),
    "dice": _dice,
    "focal": smp.losses.FocalLoss,
    "tversky": lambda mode: smp.losses.TverskyLoss(mode, from_logits=True, alpha=0.3, beta=0.7),
    "lovasz": lambda mode: smp.losses.LovaszLoss(mode, from_logits=True),
}
"""Each takes the mode, "binary" or "multiclass", and gives a module of (logits, target) -> scalar."""


def build_loss(name: str, out_channels: int) -> nn.Module:
    """Return the loss of this name.

    Args:
        name: "bce_dice" (cross-entropy + Dice), "bce", "weighted_bce" (each pixel with a weight of its own), "dice"
            (Milletari et al. 2016), "focal" (Lin et al. 2017), "tversky" (Salehi et al. 2017, with misses weighted 0.7
            and false alarms 0.3) or "lovasz" (Berman et al. 2018).
        out_channels: Channels of the network's output; 1 is binary.

    Returns:
        A module that maps logits (N, out_channels, h, w) and target (N, h, w) int64 to a scalar.

    Raises:
        ConfigError: There is no such loss.
    """
    if name not in LOSSES:
        raise ConfigError(f"There is no loss '{name}'.", closest(name, LOSSES))
    return LOSSES[name]("binary" if out_channels == 1 else "multiclass")
