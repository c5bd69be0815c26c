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

from unetkit.io.base.contracts import Window
from unetkit.models.decoding import Factors, factors_of, upsample

Kept = Window
"""The part of a window that is kept: one slice for each axis, for example rows and columns."""

Cuts = NDArray[np.int64]
"""(n, 2 * axes): start and stop along each axis, at each place where a network is cut."""

Reaches = tuple[tuple[int, ...], ...]
"""How far parts of a network see along each axis, in pixels of what they give."""


def trim(network: nn.Module) -> TrimmedUnet | CroppedNetwork:
    """Wrap a network so that it computes the kept part of a window, with as little work as its kind allows."""
    return TrimmedUnet(network) if isinstance(network, smp.Unet) else CroppedNetwork(network)


class TrimmedUnet(nn.Module):
    """smp's U-Net of planes or volumes. Its expanding path is computed only around the kept pixels.

    Args:
        network: The U-Net; it shares the parts and weights.
    """

    def __init__(self, network: smp.Unet) -> None:
        super().__init__()
        self.encoder = network.encoder
        self.center: nn.Module = network.decoder.center
        self.blocks: nn.ModuleList = network.decoder.blocks
        self.head = network.segmentation_head
        self.factors = factors_of(network)
        self._reaches = tuple(_reach(part) for part in (*self.blocks, self.head))

    def forward(self, pixels: Tensor, cuts: Tensor | Sequence[Sequence[int]]) -> Tensor:
        """Predict the kept part of windows.

        Args:
            pixels: (N, C, ...) normalised planes or volumes.
            cuts: What `plan` returns for the kept part: numbers or, for a graph that takes any, a tensor.

        Returns:
            Logits (N, classes, *kept).
        """
        skips = self.encoder(pixels)[1:]  # the deepest last; each is let go of when it has been used
        features = self.center(skips.pop())
        block: Any  # a decoder block of smp's, in steps: no features stay that are not needed
        for level, (block, factors) in enumerate(zip(self.blocks, self.factors, strict=True)):
            features = upsample(block, _cut(features, cuts[2 * level]), factors)
            if skips:
                features = block.attention1(cat([features, _cut(skips.pop(), cuts[2 * level + 1])], dim=1))
            features = block.attention2(block.conv2(block.conv1(features)))
        return _cut(self.head(features), cuts[2 * len(self.blocks) - 1])

    def plan(self, window: tuple[int, ...], kept: Kept) -> Cuts:
        """Return the cuts for the kept part of a window."""
        return plan_cuts(window, kept, self.factors, self._reaches)


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


def plan_cuts(window: tuple[int, ...], kept: Kept, factors: Factors, reaches: Reaches) -> Cuts:
    """Plan where features are cut so that the kept pixels come out as if nothing had been.

    Args:
        window: Size along each axis, multiples of the strides.
        kept: Part of the window that is kept.
        factors: By how much each block raises the resolution along each axis, the deepest block first.
        reaches: How far each block sees along each axis, in pixels of its output; of the head last.

    Returns:
        (2 * blocks, 2 * axes) int64. Row 2 i cuts the input of block i (from the deepest), row 2 i + 1 its skip
        features, and the last row, whose block has no skip features, the output; each within the features as they are
        there.
    """
    by_axis = zip(window, kept, zip(*factors, strict=True), zip(*reaches, strict=True), strict=True)
    return np.concatenate([_plan_axis(*axis) for axis in by_axis], axis=1)


def _plan_axis(length: int, kept: slice, factors: Sequence[int], reaches: Sequence[int]) -> NDArray[np.int64]:
    """Return (2 * blocks, 2) starts and stops along one axis, from the deepest block on."""
    *blocks, head = reaches
    coarse: list[tuple[int, int]] = []  # what each block takes of its input, from the last block down
    start, stop = kept.start - head, kept.stop + head
    for factor, reach in zip(reversed(factors), reversed(blocks), strict=True):
        length //= factor
        start = max(start - reach, 0) // factor
        stop = min(-(-(stop + reach) // factor), length)
        coarse.append((start, stop))
    cuts = np.zeros((2 * len(coarse), 2), np.int64)
    origin = 0  # where the features begin that reach a block, at the resolution of its input
    for i, ((start, stop), factor) in enumerate(zip(reversed(coarse), factors, strict=True)):
        cuts[2 * i] = start - origin, stop - origin
        cuts[2 * i + 1] = factor * start, factor * stop
        origin = factor * start
    cuts[-1] = kept.start - origin, kept.stop - origin
    return cuts


def _reach(part: nn.Module) -> tuple[int, ...]:
    """Return how far the convolutions of a part see together along each axis, in pixels."""
    kernels = [part.weight.shape[2:] for part in part.modules() if isinstance(part, (nn.Conv2d, nn.Conv3d))]
    return tuple(sum(length // 2 for length in lengths) for lengths in zip(*kernels, strict=True))


def _cut(features: Tensor, cut: Tensor | Sequence[int]) -> Tensor:
    return features[:, :, *[slice(cut[2 * axis], cut[2 * axis + 1]) for axis in range(features.dim() - 2)]]
