"""Weights for other channels, planes or axes than they were trained with, so that responses stay what they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unetkit.models.pooling import across
from unetkit.models.spec import ModelSpec


@dataclass(frozen=True)
class Adapter:
    """How convolutions of one network start from those of another.

    Attributes:
        planes: Neighbouring planes that the network sees at once.
        known_planes: Neighbouring planes that the other network saw at once.
        across: Axis along which kernels of planes are spread, for a network of volumes.
    """

    planes: int = 1
    known_planes: int = 1
    across: int = 0

    @classmethod
    def between(cls, source: ModelSpec | None, target: ModelSpec) -> Adapter:
        """Return how a model starts from another; None is one of single planes, such as those of ImageNet."""
        axis = across(target.pooling) if target.dims == 3 else 0
        return cls(target.planes, 1 if source is None else source.planes, axis)

    def adapt_channels(self, weight: Tensor, inputs: int) -> Tensor:
        """Return the weight (out, inputs, *kernel) of a first convolution for other channels or other planes."""
        planes = weight.chunk(self.known_planes, 1)
        adapted = [adapt_first_convolution(plane, inputs // self.planes) for plane in planes]
        return torch.cat(_adapt_planes(adapted, self.planes), 1)

    def fits_channels(self, weight: Tensor) -> bool:
        """Return whether a first convolution has the same number of channels for each plane that it saw."""
        return weight.shape[1] % self.known_planes == 0

    def adapt_kernel(self, weight: Tensor, kernel: Sequence[int]) -> Tensor:
        """Return the weight of a convolution for a kernel of other lengths.

        A kernel of planes gets the axis across them. Along each axis a kernel of length 1 is spread: repeated, and
        divided by the new length. One that becomes 1 is summed. For an image that does not change along these axes the
        response stays the same (Carreira and Zisserman 2017, https://arxiv.org/abs/1705.07750).

        Args:
            weight: (out, in, k, k) of planes, or (out, in, *lengths) of volumes.
            kernel: The new lengths.

        Returns:
            (out, in, *kernel) where each length is the old one, or either is 1; else with the old ones.
        """
        if weight.dim() - 2 < len(kernel):
            weight = weight.unsqueeze(2 + self.across)
        for axis, length in enumerate(kernel, 2):
            if length == 1:
                weight = weight.sum(axis, keepdim=True)
            elif weight.shape[axis] == 1:
                weight = weight.repeat_interleave(length, axis) / length
        return weight


def _adapt_planes(known: list[Tensor], planes: int) -> list[Tensor]:
    """Return a weight for each plane.

    That of a single plane is shared out to all in equal parts. Of several planes each keeps its own: new ones beyond
    them start with no weight, and what lies beyond the new ones is added to the outermost, which repeat there.
    """
    if len(known) == 1:
        return [known[0] / planes] * planes
    middle, last = len(known) // 2, planes - 1
    adapted = [torch.zeros_like(known[0]) for _ in range(planes)]
    for number, weight in enumerate(known):
        adapted[min(max(number - middle + planes // 2, 0), last)] += weight
    return adapted


def adapt_first_convolution(weight: Tensor, channels: int) -> Tensor:
    """Adapt a convolution's weight to another number of input channels, keeping the size of its response.

    One channel gets the sum over the old channels, which is exact for a grey image shown as RGB. More channels repeat
    the old ones in turn, scaled by old / new channels; exact where the new number is a multiple of the old one.

    Args:
        weight: (out, old channels, *kernel).
        channels: The new number of input channels.

    Returns:
        (out, channels, *kernel).
    """
    old = weight.shape[1]
    if channels == 1:
        return weight.sum(1, keepdim=True)
    return weight[:, torch.arange(channels) % old] * (old / channels)
