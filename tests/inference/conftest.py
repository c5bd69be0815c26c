"""A network with a small receptive field and exact arithmetic, so that results can be compared bit by bit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from unetkit.models.normalization import Normalization
from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import ModelSpec


class Neighbours(nn.Module):
    """Two convolutions of 3 pixels along each axis around an optional reduction: it sees at most 2 strides + 2 far.

    Their weights are small whole numbers, which are added exactly in any order: in which order a library adds does not
    matter.

    Args:
        channels: Channels of the input.
        classes: Channels of the output.
        stride: How much the resolution is reduced; for volumes three numbers, one for each axis.
    """

    def __init__(self, channels: int, classes: int, stride: int | tuple[int, int, int]) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        convolution = nn.Conv2d if isinstance(stride, int) else nn.Conv3d
        self.first = convolution(channels, 4, 3, stride=stride, padding=1, bias=False)
        self.last = convolution(4, classes, 3, padding=1, bias=False)
        self.stride = stride
        for convolution in (self.first, self.last):
            shape = convolution.weight.shape
            convolution.weight.data = torch.randint(-2, 3, shape, generator=generator).float()

    def forward(self, pixels: Tensor) -> Tensor:
        deep = self.last(self.first(pixels).relu())
        return nn.functional.interpolate(deep, scale_factor=self.stride, mode="nearest") / 256


def make_exact(
    *,
    channels: int = 1,
    classes: int = 2,
    stride: int | tuple[int, int, int] = 1,
    halo: int = 8,
    instances: bool = False,
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
        dims=2 if isinstance(stride, int) else 3,
        pooling=() if isinstance(stride, int) else ((2, 2, 2),) * 3,
        normalization=Normalization(scope="dataset", center=(0.0,) * channels, scale=(1.0,) * channels),
    )
    return Segmenter(spec, Neighbours(channels, spec.network_channels, stride))


@pytest.fixture
def exact_segmenter() -> Callable[..., Segmenter]:
    """A function that makes a model with `Neighbours` in place of the U-Net."""
    return make_exact
