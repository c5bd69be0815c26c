"""Small networks that unetkit did not build, and files of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn


class Scales(nn.Module):
    """Convolutions at full and at a quarter of the resolution, whose outputs are a mask and features.

    Args:
        channels: Channels of the image.
        classes: Channels of the mask.
        end: What is done to the logits.
        axes: Axes of the image.
    """

    def __init__(
        self, channels: int = 1, classes: int = 1, end: Callable[[Tensor], Tensor] = torch.sigmoid, axes: int = 2
    ) -> None:
        super().__init__()
        conv, pool = (nn.Conv2d, nn.MaxPool2d(4)) if axes == 2 else (nn.Conv3d, nn.MaxPool3d(4))
        self.fine, self.coarse = conv(channels, 6, 3, padding=1), conv(6, 6, 3, padding=1)
        self.pool, self.grow = pool, nn.Upsample(scale_factor=4)
        self.head = conv(12, classes, 1)
        self.end = end
        generator = torch.Generator().manual_seed(1)
        for weight in self.parameters():
            nn.init.normal_(
                weight, std=0.6 if weight.dim() == 1 else 1.2 / weight[0].numel() ** 0.5, generator=generator
            )

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.fine(pixels).relu()
        features = torch.cat([fine, self.grow(self.coarse(self.pool(fine)).relu())], 1)
        logits = self.head(features)
        return self.end(logits), features


class ChannelsLast(nn.Module):
    """A network that takes and gives channels in the last axis."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        return self.network(pixels.permute(0, 3, 1, 2))[0].permute(0, 2, 3, 1)


class WritesOnLoading(nn.Module):
    """Writes a file as soon as it is loaded, if it is TorchScript.

    Args:
        name: The file.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return self.name, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.name = state[0]
        self.training = state[1]
        torch.save(torch.zeros(1), self.name)

    def forward(self, pixels: Tensor) -> Tensor:
        return pixels


def write_onnx(
    network: nn.Module,
    path: Path,
    shape: tuple[int, ...],
    free: tuple[int, ...] = (),
    outputs: Sequence[str] = ("mask", "features"),
) -> Path:
    """Write a network as ONNX.

    Args:
        network: The network.
        path: The file.
        shape: Shape of its input.
        free: Axes whose lengths are free.
        outputs: Names of its outputs.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, that this exporter is the older one
        torch.onnx.export(
            network.eval(),
            (torch.zeros(shape),),
            str(path),
            input_names=["image"],
            output_names=list(outputs),
            dynamic_axes={"image": {axis: f"axis{axis}" for axis in free}} if free else None,
            dynamo=False,
            opset_version=18,
        )
    return path
