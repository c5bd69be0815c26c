"""A network with a small receptive field and exact arithmetic, so that results can be compared bit by bit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import ModelSpec, Normalization


class Neighbours(nn.Module):
    """Two 3 x 3 convolutions of small whole numbers around an optional halving: it sees at most 6 pixels far.

    Whole numbers are added exactly in any order, so that the order in which a library adds does not matter.
    """

    def __init__(self, channels: int, classes: int, stride: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.first = nn.Conv2d(channels, 4, 3, stride=stride, padding=1, bias=False)
        self.last = nn.Conv2d(4, classes, 3, padding=1, bias=False)
        self.stride = stride
        for convolution in (self.first, self.last):
            shape = convolution.weight.shape
            convolution.weight.data = torch.randint(-2, 3, shape, generator=generator).float()

    def forward(self, pixels: Tensor) -> Tensor:
        deep = self.last(self.first(pixels).relu())
        return nn.functional.interpolate(deep, scale_factor=self.stride, mode="nearest") / 256


def make_exact(
    *, channels: int = 1, classes: int = 2, stride: int = 1, halo: int = 8, instances: bool = False
) -> Segmenter:
    """Return a model with `Neighbours` in place of the U-Net; raw pixels are its input."""
    spec = ModelSpec(
        encoder="resnet18",
        depth=3,
        decoder_channels=(32, 16, 8),
        in_channels=channels,
        classes=classes,
        instances=instances,
        halo=halo,
        normalization=Normalization(scope="dataset", center=(0.0,) * channels, scale=(1.0,) * channels),
    )
    return Segmenter(spec, Neighbours(channels, spec.network_channels, stride))


@pytest.fixture
def exact_segmenter() -> Callable[..., Segmenter]:
    """A function that makes a model with `Neighbours` in place of the U-Net."""
    return make_exact
