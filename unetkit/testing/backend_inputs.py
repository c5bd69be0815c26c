"""Models and windows that show whether a backend computes what the model says."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from unetkit.models.segmenter import Segmenter
from unetkit.models.spec import ModelSpec
from unetkit.models.trimmed import Kept

DTYPES = [torch.uint8, torch.int8, torch.uint16, torch.int16, torch.uint32, torch.int32, torch.float32]
"""In which raw pixels reach a backend."""

KEPT: dict[str, Kept] = {
    "everything": (slice(0, 64), slice(0, 96)),
    "inside": (slice(16, 48), slice(17, 79)),
    "top left": (slice(0, 40), slice(0, 80)),
    "bottom right": (slice(24, 64), slice(16, 96)),
    "before the padding": (slice(16, 61), slice(16, 89)),
    "one pixel": (slice(33, 34), slice(50, 51)),
}
"""Parts of a window of 64 x 96, at all its borders."""

KEPT_OF_VOLUME: dict[str, Kept] = {
    "everything": (slice(0, 8), slice(0, 32), slice(0, 24)),
    "inside": (slice(2, 5), slice(8, 25), slice(7, 17)),
    "first corner": (slice(0, 4), slice(0, 20), slice(0, 8)),
    "last corner": (slice(3, 8), slice(16, 32), slice(1, 24)),
}
"""Parts of a volume of 8 x 32 x 24, at all its sides."""

POOLING = ((1, 2, 2), (2, 2, 2), (2, 2, 2))
"""By how much the levels of a network of volumes reduce the resolution, as where voxels are longer along z."""


def make_segmenter(
    encoder: str = "resnet18", *, channels: int = 1, classes: int = 2, depth: int = 3, axes: int = 2
) -> Segmenter:
    """Return a model with random weights, always the same; its batch norms are far from the identity.

    Args:
        encoder: Encoder of the U-Net.
        channels: Channels of an image.
        classes: Classes, background included.
        depth: Levels of the U-Net; windows are multiples of 2 ** depth pixels.
        axes: 2 for a model of planes. 3 for one of volumes, of depth 3; windows are multiples of (4, 8, 8) voxels.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        decoder = (32, 24, 16, 8, 8)[:depth]
        spec = ModelSpec(encoder, in_channels=channels, classes=classes, depth=depth, decoder_channels=decoder, halo=16)
        if axes == 3:
            spec = replace(spec, dims=3, pooling=POOLING)
        segmenter = Segmenter(spec).eval()
        scramble(segmenter.network)
    return segmenter


def scramble(network: nn.Module) -> None:
    """Give batch norms statistics and weights as training does."""
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.5, 2)


def make_windows(
    batch: int = 2, channels: int = 1, size: tuple[int, ...] = (64, 96), dtype: torch.dtype = torch.uint8
) -> tuple[Tensor, Tensor, Tensor]:
    """Return raw pixels and normalisation values that differ from window to window.

    Args:
        batch: Number of windows, N.
        channels: Channels of an image, C.
        size: Height and width of a window, in pixels.
        dtype: Type of the raw pixels.

    Returns:
        Pixels (N, C, h, w) from 0 to 119, center and scale (N, C) of float32.
    """
    generator = torch.Generator().manual_seed(7)
    pixels = torch.randint(0, 120, (batch, channels, *size), generator=generator).to(dtype)
    center = torch.rand(batch, channels, generator=generator) * 60
    scale = 20 + torch.rand(batch, channels, generator=generator) * 60
    return pixels, center, scale


def expect(segmenter: Segmenter, windows: tuple[Tensor, Tensor, Tensor], kept: Kept) -> Tensor:
    """Return the kept part of what the plain model predicts, as a backend returns it."""
    with torch.inference_mode():
        predicted: Tensor = segmenter(*windows)
    return predicted[:, :, *kept]
