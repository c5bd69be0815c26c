"""A loss that sees gaps in thin structures: soft clDice (Shit et al. 2021, https://arxiv.org/abs/2003.07311)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

STEPS = 5
"""Erosions of a soft skeleton, at least half the width of the structures in pixels. Membranes of 4 nm are up to 10."""

SMOOTHING = 1.0
"""Added to all sums, so that the share of an empty skeleton is 1."""


class CenterLineDice(nn.Module):
    """1 less soft clDice, the overlap of each side's center lines with the other side's structures.

    A gap in a line weighs as much here as anywhere else on it, however few its pixels are. Of two classes the one with
    fewer pixels in the batch is taken for the thin one: membranes where the inside of cells is the foreground, vessels
    where they are. Of more classes each but the background is thin.
    """

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss, the mean over the thin classes.

        Args:
            logits: (N, out_channels, ...).
            target: (N, ...) int64 class numbers.
        """
        if logits.shape[1] == 1:
            predicted, true = logits[:, 0].sigmoid(), target.to(logits.dtype)
            thin = true.mean() <= 0.5  # not taken to Python, which would wait for the device
            return 1 - soft_cl_dice(torch.where(thin, predicted, 1 - predicted), torch.where(thin, true, 1 - true))
        chances = logits.softmax(1)
        classes = range(1, logits.shape[1])
        return 1 - torch.stack([soft_cl_dice(chances[:, k], (target == k).to(chances)) for k in classes]).mean()


def soft_cl_dice(predicted: Tensor, true: Tensor) -> Tensor:
    """Return soft clDice, 0 to 1: the harmonic mean of the shares of center lines that lie in the other structures.

    Args:
        predicted: (N, ...) probabilities of the structures.
        true: (N, ...) 0 or 1.
    """
    precision, sensitivity = _share(soft_skeleton(predicted), true), _share(soft_skeleton(true), predicted)
    return 2 * precision * sensitivity / (precision + sensitivity)


def soft_skeleton(structures: Tensor, steps: int = STEPS) -> Tensor:
    """Return the center lines (N, ...), 0 to 1: what openings of each eroded image take away.

    This is algorithm 1 of Shit et al.

    Args:
        structures: (N, ...) planes or volumes, 0 to 1.
        steps: See `STEPS`.
    """
    eroded = structures
    skeleton = torch.zeros_like(structures)
    for _ in range(steps + 1):
        inner = _erode(eroded)
        skeleton = skeleton + (1 - skeleton) * nn.functional.relu(eroded - _dilate(inner))
        eroded = inner
    return skeleton


def _share(skeleton: Tensor, structures: Tensor) -> Tensor:
    return ((skeleton * structures).sum() + SMOOTHING) / (skeleton.sum() + SMOOTHING)


def _pool(values: Tensor, size: tuple[int, ...]) -> Tensor:
    """Return the largest value (N, ...) around each pixel, in a box of an odd size along each axis."""
    pool = nn.functional.max_pool2d if len(size) == 2 else nn.functional.max_pool3d
    pooled: Tensor = pool(values[:, None], size, 1, tuple(length // 2 for length in size))
    return pooled[:, 0]


def _erode(values: Tensor) -> Tensor:
    """Return the smallest value of each pixel and its neighbours along the axes."""
    axes = values.dim() - 1
    crosses = [tuple(3 if axis == along else 1 for axis in range(axes)) for along in range(axes)]
    return -torch.stack([_pool(-values, size) for size in crosses]).amax(0)


def _dilate(values: Tensor) -> Tensor:
    """Return the largest value of each pixel and all its neighbours."""
    return _pool(values, (3,) * (values.dim() - 1))
