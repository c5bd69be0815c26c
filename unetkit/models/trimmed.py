"""Networks that compute only what the kept pixels of a tile need.

A tile of a U-Net needs its halo in the contracting path, whose deep features see far. In the expanding path a pixel
depends on a few neighbours only, so most of the halo is computed there for nothing: at full resolution, where it costs
most. Cutting the features to what the kept pixels can see leaves these as they are.

    contracting path   |<-------------- window --------------->|
    expanding path 1/16      |<-------------------------->|
                   1/4           |<------------------->|
                   1               |<---- kept ---->|
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import segmentation_models_pytorch as smp
from numpy.typing import NDArray
from torch import Tensor, cat, nn
from torch.nn.functional import interpolate

from unetkit.io.base.contracts import Window

BLOCK_REACH = 2
"""How far a decoder block sees at its output's resolution, in pixels: two 3 x 3 convolutions."""

HEAD_REACH = 1
"""How far the segmentation head sees, in pixels: one 3 x 3 convolution."""

Kept = Window
"""The part of a window that is kept: one slice for each axis, for example rows and columns."""

Cuts = NDArray[np.int64]
"""(n, 2 * axes): start and stop along each axis, at each place where a network is cut."""


def trim(network: nn.Module) -> TrimmedUnet | CroppedNetwork:
    """Wrap a network so that it computes the kept part of a window, with as little work as its kind allows."""
    return TrimmedUnet(network) if isinstance(network, smp.Unet) else CroppedNetwork(network)


class TrimmedUnet(nn.Module):
    """smp's U-Net, its expanding path computed only around the kept pixels; shares the parts and weights.

    Args:
        network: The U-Net.
    """

    def __init__(self, network: smp.Unet) -> None:
        super().__init__()
        self.encoder = network.encoder
        self.center: nn.Module = network.decoder.center
        self.blocks: nn.ModuleList = network.decoder.blocks
        self.head = network.segmentation_head

    def forward(self, pixels: Tensor, cuts: Tensor | Sequence[Sequence[int]]) -> Tensor:
        """Predict the kept part of windows.

        Args:
            pixels: (N, C, h, w) normalised.
            cuts: What `plan_cuts` returns for the kept part: numbers or, for a graph that takes any, a tensor.

        Returns:
            Logits (N, classes, kept rows, kept columns).
        """
        skips = self.encoder(pixels)[1:]  # the deepest last; each is let go of when it has been used
        features = self.center(skips.pop())
        block: Any  # a decoder block of smp's
        for level, block in enumerate(self.blocks):
            features = interpolate(_cut(features, cuts[2 * level]), scale_factor=2.0, mode=block.interpolation_mode)
            if skips:
                features = block.attention1(cat([features, _cut(skips.pop(), cuts[2 * level + 1])], dim=1))
            features = block.attention2(block.conv2(block.conv1(features)))
        return _cut(self.head(features), cuts[2 * len(self.blocks) - 1])

    def plan(self, window: tuple[int, ...], kept: Kept) -> Cuts:
        """Return the cuts for the kept part of a window."""
        return plan_cuts(window, kept, len(self.blocks))


class CroppedNetwork(nn.Module):
    """Any network, computed on the whole window and cut afterwards.

    Args:
        network: Maps (N, C, ...) to logits of the same size, in any number of axes.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor, cuts: Tensor | Sequence[Sequence[int]]) -> Tensor:
        """Predict the kept part of windows: logits (N, classes, *kept)."""
        return _cut(self.network(pixels), cuts[0])

    def plan(self, window: tuple[int, ...], kept: Kept) -> Cuts:  # noqa: ARG002
        """Return the cuts (1, 2 * axes) for the kept part of a window."""
        return np.array([[end for part in kept for end in (part.start, part.stop)]], np.int64)


def plan_cuts(window: tuple[int, ...], kept: Kept, depth: int) -> Cuts:
    """Plan where features are cut so that the kept pixels come out as if nothing had been.

    Args:
        window: Size along each axis, multiples of 2 ** depth.
        kept: Part of the window that is kept.
        depth: Number of decoder blocks.

    Returns:
        (2 * depth, 2 * axes) int64. Row 2 i cuts the input of block i (from the deepest), row 2 i + 1 its skip
        features, and the last row, whose block has no skip features, the output; each within the features as they are
        there.
    """
    return np.concatenate([_plan_axis(length, part, depth) for length, part in zip(window, kept, strict=True)], axis=1)


def _plan_axis(length: int, kept: slice, depth: int) -> NDArray[np.int64]:
    """Return (2 * depth, 2) starts and stops along one axis, from the deepest block on."""
    coarse: list[tuple[int, int]] = []  # what each block takes of its input, from the last block down
    start, stop = kept.start - HEAD_REACH, kept.stop + HEAD_REACH
    for level in range(1, depth + 1):
        start = max(start - BLOCK_REACH, 0) // 2
        stop = min(-(-(stop + BLOCK_REACH) // 2), length >> level)
        coarse.append((start, stop))
    cuts = np.zeros((2 * depth, 2), np.int64)
    origin = 0  # where the features begin that reach a block, at the resolution of its input
    for i, (start, stop) in enumerate(reversed(coarse)):
        cuts[2 * i] = start - origin, stop - origin
        cuts[2 * i + 1] = 2 * start, 2 * stop
        origin = 2 * start
    cuts[-1] = kept.start - origin, kept.stop - origin
    return cuts


def _cut(features: Tensor, cut: Tensor | Sequence[int]) -> Tensor:
    return features[:, :, *[slice(cut[2 * axis], cut[2 * axis + 1]) for axis in range(features.dim() - 2)]]
