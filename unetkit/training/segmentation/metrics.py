"""Scores of the masks of whole images, as the mean over images and pooled over all pixels."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from unetkit.data.annotated import UNKNOWN
from unetkit.scoring.pixels import Counts
from unetkit.scoring.table import MASK_SCORES, POOLED


class SegmentationScores(Metric):
    """Adds up the pixel counts of whole images, over batches and processes.

    With more than two classes, scores are the mean over the foreground classes. Where a class is neither in the truth
    nor in the prediction of an image, its Dice and IoU are 1.

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
    sums: Tensor
    images: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.add_state("counts", torch.zeros(4, classes - 1, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("sums", torch.zeros(len(MASK_SCORES)), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros(()), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, truth: Tensor) -> None:
        """Add one image.

        Args:
            predicted: (...) class numbers.
            truth: (...) class numbers, `UNKNOWN` where nobody has annotated: that is not counted.
        """
        annotated = truth != UNKNOWN
        foreground = torch.arange(1, self.classes, device=predicted.device)[:, None]
        counts = _count(predicted[annotated] == foreground, truth[annotated] == foreground)
        self.counts += counts
        self.sums += _scores(counts)
        self.images += 1

    def compute(self) -> dict[str, Tensor]:
        """Return each score as mean over images by its name, and pooled by its name after "pooled_"; 0 to 1."""
        means, pooled = self.sums / self.images.clamp(min=1), _scores(self.counts)
        names = [score.name for score in MASK_SCORES]
        return dict(zip(names, means, strict=True)) | dict(zip([POOLED + name for name in names], pooled, strict=True))


def _count(predicted: Tensor, truth: Tensor) -> Tensor:
    """Count TP, FP, FN and TN (4, classes) of masks (classes, pixels)."""
    tp = (predicted & truth).sum(1)
    fp, fn = predicted.sum(1) - tp, truth.sum(1) - tp
    return torch.stack([tp, fp, fn, predicted[0].numel() - tp - fp - fn])


def _scores(counts: Tensor) -> Tensor:
    """Return the scores (N,) of counts (4, classes): means over the classes."""
    classes = [Counts(*each) for each in counts.T.tolist()]
    values = [torch.tensor([score.compute(each) for each in classes]).mean() for score in MASK_SCORES]
    return torch.stack(values).to(counts.device)
