"""Dice and IoU of whole images, as the mean over images and pooled over all pixels."""

from __future__ import annotations

from collections.abc import Callable

import segmentation_models_pytorch as smp
import torch
from torch import Tensor
from torchmetrics import Metric


class SegmentationScores(Metric):
    """Adds up the pixel counts of whole images, over batches and processes.

    Dice is 2 TP / (2 TP + FP + FN), IoU is TP / (TP + FP + FN). With more than two classes they are the mean over the
    foreground classes. A class that is neither in the truth nor in the prediction of an image scores 1.

    Args:
        classes: Number of mask values, the background included.

    Example:
        >>> scores = SegmentationScores(classes=2)
        >>> scores.update(torch.tensor([[0, 1], [0, 1]]), torch.tensor([[0, 1], [0, 0]]))
        >>> round(float(scores.compute()["dice"]), 4)
        0.6667
    """

    full_state_update = False
    counts: Tensor
    dice: Tensor
    iou: Tensor
    images: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.add_state("counts", torch.zeros(4, classes - 1, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("dice", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("iou", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros(()), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, truth: Tensor) -> None:
        """Add one image.

        Args:
            predicted: (H, W) class numbers.
            truth: (H, W) class numbers.
        """
        foreground = torch.arange(1, self.classes, device=predicted.device)[:, None, None]
        stats = smp.metrics.get_stats(
            (predicted[None] == foreground)[None].long(), (truth[None] == foreground)[None].long(), mode="multilabel"
        )
        counts = torch.stack([count[0] for count in stats])
        self.counts += counts
        self.dice += _ratios(counts, smp.metrics.f1_score)
        self.iou += _ratios(counts, smp.metrics.iou_score)
        self.images += 1

    def compute(self) -> dict[str, Tensor]:
        """Return "dice" and "iou" (means over images), "pooled_dice" and "pooled_iou", 0 to 1."""
        images = self.images.clamp(min=1)
        return {
            "dice": self.dice / images,
            "iou": self.iou / images,
            "pooled_dice": _ratios(self.counts, smp.metrics.f1_score),
            "pooled_iou": _ratios(self.counts, smp.metrics.iou_score),
        }


def _ratios(counts: Tensor, score: Callable[..., Tensor]) -> Tensor:
    """Return the mean over classes of a score of smp; 0/0 counts as 1."""
    return score(*counts, reduction=None, zero_division=1.0).mean()
