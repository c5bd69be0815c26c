"""How unsure models are of each pixel: the entropy of their mean, and how far they differ from each other."""

from __future__ import annotations

from math import log

import torch
from torch import Tensor

UNCERTAINTY_CHANNELS = ("entropy", "spread")
"""Names of the channels. The spread is there where there are several predictions of each pixel."""


def normalised_entropy(probabilities: Tensor) -> Tensor:
    """Return the entropy of the classes of each pixel, as a share of the largest possible one.

    It is 0 where one class is sure, and 1 where all are equally likely (Shannon, 1948; as a measure of what is worth
    annotating: Settles, Active learning literature survey, 2009).

    Args:
        probabilities: (N, classes, ...) of each class; (N, 1, ...) of the foreground alone.

    Returns:
        (N, 1, ...), 0 to 1.
    """
    known = probabilities.float().clamp(0, 1)
    known = torch.cat([known, 1 - known], dim=1) if known.shape[1] == 1 else known
    classes = known.shape[1]
    total = _sum_in_order(torch.special.entr(known))
    return total.div_(log(classes)).clamp_(0, 1)


class Spread:
    """Standard deviation between the predictions of each pixel: by several models, in several orientations, or both.

    The variance is summed up as the predictions come (Youngs and Cramer, Technometrics 13, 1971). It is that of all
    members, not of a sample. Ensembles that disagree show what is worth annotating: Beluch et al., CVPR 2018.

    Args:
        classes: Channels that are probabilities.
    """

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._count = 0
        self._squares: Tensor | None = None

    def add(self, predicted: Tensor, total: Tensor) -> None:
        """Take one more prediction (N, channels, ...), and the sum of all up to this one."""
        self._count += 1
        count, part = self._count, slice(0, self._classes)
        if self._squares is None:
            self._squares = torch.zeros_like(predicted[:, part], dtype=torch.float32)
        if count > 1:
            beyond = predicted[:, part].float() * count - total[:, part].float()
            self._squares += beyond.square_().div_(count * (count - 1))

    def result(self) -> Tensor:
        """Return the standard deviation (N, 1, ...): of the foreground; of several classes the mean over them."""
        assert self._squares is not None
        return _sum_in_order(self._squares.div(self._count).sqrt_()).div_(self._classes)


def _sum_in_order(values: Tensor) -> Tensor:
    """Return the sum (N, 1, ...) over the channels, in an order that does not depend on the size of the window."""
    total = values[:, :1].clone()
    for channel in range(1, values.shape[1]):
        total += values[:, channel : channel + 1]
    return total
