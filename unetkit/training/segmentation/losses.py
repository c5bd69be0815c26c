"""Losses by name, of planes and of volumes; most are smp's."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from unetkit.data.annotated import UNKNOWN
from unetkit.foundation.errors import ConfigError, closest
from unetkit.training.segmentation.center_lines import CenterLineDice

CENTER_LINES = 0.3
"""Weight of the center lines in the loss "bce_dice_cldice"."""

POSITIONAL = frozenset({"bce_dice_cldice"})
"""Losses that depend on where pixels lie, and so need masks without unannotated pixels."""


class CrossEntropy(nn.Module):
    """Binary cross-entropy for one output channel, categorical for more."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the mean over pixels.

        Args:
            logits: (N, out_channels, ...).
            target: (N, ...) int64 class numbers.
        """
        if logits.shape[1] == 1:
            return nn.functional.binary_cross_entropy_with_logits(logits[:, 0], target.to(logits.dtype))
        return nn.functional.cross_entropy(logits, target)


class WeightedCrossEntropy(nn.Module):
    """Cross-entropy in which pixels count differently (Ronneberger et al. 2015)."""

    def forward(self, logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Compute the mean over pixels of weight times cross-entropy.

        Args:
            logits: (N, out_channels, ...).
            target: (N, ...) int64 class numbers.
            weight: (N, ...); 1 for all by default.
        """
        if logits.shape[1] == 1:
            truth = target.to(logits.dtype)
            each = nn.functional.binary_cross_entropy_with_logits(logits[:, 0], truth, reduction="none")
        else:
            each = nn.functional.cross_entropy(logits, target, reduction="none")
        return (each if weight is None else each * weight).mean()


class Sum(nn.Module):
    """The sum of several losses.

    Args:
        losses: The losses.
        weights: Their weights; 1 by default.
    """

    def __init__(self, *losses: nn.Module, weights: Sequence[float] | None = None) -> None:
        super().__init__()
        self.losses = nn.ModuleList(losses)
        self.weights = weights or (1.0,) * len(losses)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Add up the losses of the same arguments."""
        each = zip(self.losses, self.weights, strict=True)
        return torch.stack([weight * loss(logits, target) for loss, weight in each]).sum()


def _dice(mode: str) -> nn.Module:
    loss: nn.Module = smp.losses.DiceLoss(mode, from_logits=True)
    return loss


class OfAnnotated(nn.Module):
    """A loss of the annotated pixels alone, as if the others were not there: they have no part in it, nor a gradient.

    The loss must not depend on where pixels lie, only on their logits and targets: all of `LOSSES` but `POSITIONAL`
    are so. It is 0 where nothing is annotated.

    Args:
        loss: Loss of logits, target and what else there is for each pixel.

    Attributes:
        partly: Whether there may be pixels that nobody has annotated. Looking for them waits for the device.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss
        self.partly = False

    def forward(self, logits: Tensor, target: Tensor, *others: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            logits: (N, out_channels, ...).
            target: (N, ...) int64 class numbers, `UNKNOWN` where nobody has annotated.
            others: (N, ...) what else the loss takes.
        """
        if self.partly:
            annotated = target != UNKNOWN
            chosen = logits.movedim(1, -1)[annotated]  # (n, out_channels)
            if not len(chosen):
                return chosen.sum()  # 0, from which the gradient of all weights is 0
            logits = chosen.T[None, :, :, None]
            target, *rest = (each[annotated][None, :, None] for each in (target, *others))
            others = tuple(rest)
        loss: Tensor = self.loss(logits, target, *others)
        return loss


class MaskAndDistanceLoss(nn.Module):
    """The loss of a mask plus the weighted cross-entropy of the distance map, the last channel of the output.

    The cross-entropy of the distance map is its mean over the objects plus its mean over the background. The values
    inside objects separate them, and thus count the same however few objects there are. Pixels whose distance is
    `UNKNOWN` have no part in it.

    Args:
        mask_loss: Loss of the logits of the mask and their target.
        weight: Weight of the distance map.
    """

    def __init__(self, mask_loss: nn.Module, weight: float) -> None:
        super().__init__()
        self.mask_loss = mask_loss
        self.weight = weight

    def forward(self, logits: Tensor, distance_map: Tensor, *mask: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            logits: (N, out_channels + 1, ...).
            distance_map: (N, ...), 0 to 1, or `UNKNOWN`.
            mask: What the loss of the mask takes beside its logits; the first is (N, ...) class numbers.
        """
        loss: Tensor = self.mask_loss(logits[:, :-1], *mask)
        known = distance_map != UNKNOWN
        distance = torch.where(known, logits[:, -1], 0)
        each = nn.functional.binary_cross_entropy_with_logits(distance, distance_map.clamp(min=0), reduction="none")
        for inside in (mask[0] > 0, mask[0] == 0):
            part = (inside & known).to(each.dtype)
            loss = loss + self.weight * (each * part).sum() / part.sum().clamp(min=1)
        return loss


LOSSES: dict[str, Callable[[str], nn.Module]] = {
    "bce_dice": lambda mode: Sum(CrossEntropy(), _dice(mode)),
    "bce": lambda _: CrossEntropy(),
    "weighted_bce": lambda _: WeightedCrossEntropy(),
    "bce_dice_cldice": lambda mode: Sum(CrossEntropy(), _dice(mode), CenterLineDice(), weights=(1, 1, CENTER_LINES)),
    "dice": _dice,
    "focal": smp.losses.FocalLoss,
    "tversky": lambda mode: smp.losses.TverskyLoss(mode, from_logits=True, alpha=0.3, beta=0.7),
    "lovasz": lambda mode: smp.losses.LovaszLoss(mode, from_logits=True),
}
"""Functions of the mode, "binary" or "multiclass", that return a module of (logits, target) -> scalar."""


def build_loss(name: str, out_channels: int) -> nn.Module:
    """Return the loss of this name.

    Args:
        name: "bce_dice" (cross-entropy + Dice), "bce_dice_cldice" (that and the center lines of thin structures, Shit
            et al. 2021), "bce", "weighted_bce" (each pixel with a weight of its own), "dice" (Milletari et al. 2016),
            "focal" (Lin et al. 2017), "tversky" (Salehi et al. 2017, with misses weighted 0.7 and false alarms 0.3) or
            "lovasz" (Berman et al. 2018).
        out_channels: Channels of the network's output; 1 is binary.

    Returns:
        A module that maps logits (N, out_channels, ...) and target (N, ...) int64 to a scalar.

    Raises:
        ConfigError: There is no such loss.
    """
    if name not in LOSSES:
        raise ConfigError(f"There is no loss '{name}'.", closest(name, LOSSES))
    return LOSSES[name]("binary" if out_channels == 1 else "multiclass")
